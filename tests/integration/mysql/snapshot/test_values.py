"""Values read by a snapshot are those that the stream brings, for every type."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.mysql.columns import charset_columns, columns_of, create_table
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

GENERATED = {"computed", "stored"}
# SQL values of some columns, the same number of each; what isn't here is null or made from its type.
_LISTS: dict[str, list[str]] = {
    "ti": ["-128", "127", "0"],
    "tiu": ["255", "0", "1"],
    "boolish": ["1", "0", "-1"],
    "si": ["-32768", "32767", "0"],
    "siu": ["65535", "0", "1"],
    "mi": ["-8388608", "8388607", "-1"],
    "miu": ["16777215", "0", "1"],
    "i": ["-2147483648", "2147483647", "0"],
    "iu": ["4294967295", "0", "1"],
    "padded": ["7", "99999", "0"],
    "bi": ["-9223372036854775808", "9223372036854775807", "0"],
    "biu": ["18446744073709551615", "0", "9223372036854775808"],
    "f": ["123456.789", "-1e-38", "0.1"],
    "fu": ["16777217", "0", "3.4e38"],
    "fr": ["1.2345", "-9999.999", "0"],
    "d": ["0.1", "-1.7976931348623157e308", "4.9e-324"],
    "dr": ["1.005", "0", "99999999.99"],
    "de": ["-99999999.99", "0.01", "-0.5"],
    "deu": ["99999999.99", "0", "1"],
    "deb": ["-" + "9" * 35 + "." + "9" * 30, "0." + "0" * 29 + "1", "123456789.000000001"],
    "ded": ["-9999999999", "0", "42"],
    "y": ["1901", "2155", "0"],
    "b1": ["1", "0", "1"],
    "b8": ["255", "0", "1"],
    "b11": ["2047", "256", "1"],
    "b64": ["18446744073709551615", "1", "0"],
    "da": ["'1000-01-01'", "'9999-12-31'", "'2024-02-29'"],
    "dt": ["'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'2024-01-01 00:00:00'"],
    "dt3": ["'2024-01-01 01:02:03.456'", "'2024-01-01'", "'1999-12-31 23:59:59.999'"],
    "dt6": ["'2024-01-01 01:02:03.000001'", "'0001-01-01'", "'9999-12-31 23:59:59.999999'"],
    "ts": ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2024-01-01'"],
    "ts1": ["'1970-01-01 00:00:01.1'", "'2038-01-19 03:14:07.9'", "'2024-01-01'"],
    "t": ["'-838:59:59'", "'838:59:59'", "'00:00:00'"],
    "t5": ["'-00:00:00.01'", "'-01:02:03.00001'", "'100:00:00.99999'"],
    "ch": ["'a  '", "''", "'üöä'"],
    "ch255": ["repeat('\u00e4', 255)", "''", "'x'"],
    "chb": ["x'61'", "x'61200000'", "x''"],
    "vc": ["'a  '", "''", "'\U0001f600'"],
    "vcl": ["repeat('x', 255)", "repeat('x', 256)", "repeat('\u00fc', 300)"],
    "vb": ["x'00'", "x''", "x'ff00'"],
    "vbl": ["repeat(x'00', 255)", "repeat(x'01', 256)", "repeat(x'ff', 400)"],
    "bin": ["x'00'", "x'61'", "x'ffffffffffffff'"],
    "bin255": ["x'00'", "repeat(x'61', 255)", "x''"],
    "tx": ["repeat('x', 65000)", "''", "'é'"],
    "lt": ["repeat('x', 70000)", "''", "'é'"],
    "lb": ["repeat(x'00ff', 50000)", "x''", "x'00'"],
    "e": ["1", "2", "6"],
    "el": ["1", "2", "1"],
    "eb": ["1", "2", "1"],
    "e300": ["1", "256", "300"],
    "s": ["0", "3", "2"],
    "s9": ["511", "256", "0"],
    "s20": ["1048575", "1", "65536"],
    "s64": ["18446744073709551615", "1", "9223372036854775808"],
    "g": ["st_geomfromtext('point(1 2)')", "st_geomfromtext('linestring(0 0,1 1)')", "null"],
    "po": ["st_geomfromtext('point(1 2)')", "st_geomfromtext('point(-1.5 0)')", "null"],
    "hidden": ["7", "default", "null"],
}
_MYSQL: dict[str, list[str]] = {
    "j": [
        """'{"bb": [1, 2.50, -0.0, 1e100, true, null], "a": {"\u00e4": "\\\\n\\\\u0001"}}'""",
        "json_object('d', cast('2024-01-01 01:02:03.5' as datetime(6)), 'n', 1.10, 'b', x'00ff')",
        "'18446744073709551615'",
    ],
    "v3": ["string_to_vector('[1,2.5,-3]')", "null", "string_to_vector('[0,0,0.1]')"],
    "after_vector": ["'é'", "'€'", "''"],
    "p4326": ["st_geomfromtext('point(10 20)', 4326)", "null", "null"],
}
_MARIADB: dict[str, list[str]] = {
    "u": ["'123e4567-e89b-12d3-a456-426655440000'", "'00000000-0000-0000-0000-000000000000'", "uuid()"],
    "i6": ["'::1'", "'2001:db8::ff00:42:8329'", "'::'"],
    "i4": ["'1.2.3.0'", "'255.255.255.255'", "'0.0.0.0'"],
    "j": ["""'{"a": 1.0}'""", "'[]'", "'\"\u00e4\"'"],
    "vcc": ["'é€'", "''", "repeat('a', 20)"],
    "vcl2": ["repeat('b', 300)", "'ü'", "''"],
    "vbc": ["x'00ff'", "x''", "repeat(x'00', 30)"],
    "txc": ["repeat('c', 5000)", "''", "'ü'"],
    "lbc": ["repeat(x'00', 5000)", "x''", "x'01'"],
}


def _fill(database: MysqlDatabase) -> None:
    flavour = database.server.flavour
    values = {**_LISTS, **(_MYSQL if flavour == "mysql" else _MARIADB)}
    names = [name for name in columns_of(flavour) if name in values]
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set sql_mode = '', time_zone = '+00:00'")
        for i in range(3):
            listed = ", ".join(f"`{name}`" for name in ("id", "second", *names))
            row = ", ".join([str(i), f"'row {i}'", *(values[name][i] for name in names)])
            cursor.execute(f"insert into everything ({listed}) values ({row})")
        cursor.execute("insert into everything (id, second, dt6) values (99, 'nulls', '2024-01-01')")


def _by_key(rows: list[dict[str, Any]], key: str) -> dict[Any, dict[str, Any]]:
    return {
        row[key]: {k: repr(v) for k, v in row.items() if not k.startswith("_cdc_") and k != "table"}
        for row in rows
    }


@pytest.mark.every_server
@pytest.mark.parametrize("policy", ["error", "string"])
def test_values_of_every_type_are_those_of_the_stream(mysql_database: MysqlDatabase, policy: str) -> None:
    mysql_database.execute(create_table("everything", mysql_database.server.flavour))
    follower = MysqlFollower(mysql_database, unrepresentable=policy).open()
    try:
        _fill(mysql_database)
        streamed = _by_key(follower.rows(f"{mysql_database.name}.everything"), "id")
        _, copied_rows = follower.copy()
        copied = _by_key(copied_rows, "id")
    finally:
        follower.close()

    assert len(streamed) == 4
    assert "computed" in copied[0]
    assert copied == streamed


def test_zero_dates_follow_the_policy_as_in_the_stream(mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table t (id int primary key, d date, m datetime(3), s timestamp(2) null)")
    for policy, counted in (("null", 6), ("string", 0)):
        follower = MysqlFollower(mysql_database, unrepresentable=policy).open()
        try:
            with mysql_database.connect() as connection, connection.cursor() as cursor:
                cursor.execute("set sql_mode = ''")
                cursor.execute("delete from t")
                cursor.execute(
                    "insert into t values (1, 0, 0, 0), (2, '2024-00-05', '2024-05-00 01:02:03.5', 0)"
                )
            streamed = _by_key([r for r in follower.rows() if r["_cdc_op"] == "c"], "id")
            follower.counts.clear()
            _, copied = follower.copy()
            assert _by_key(copied, "id") == streamed
            assert follower.counts.get("unrepresentable_values", 0) == counted
        finally:
            follower.close()


def test_texts_in_every_character_set_are_those_of_the_stream(mysql_database: MysqlDatabase) -> None:
    charsets = [
        str(name)
        for (name,) in mysql_database.query(
            "select character_set_name from information_schema.character_sets"
        )
        if name != "binary"
    ]
    columns = charset_columns(charsets)
    halves = [dict(list(columns.items())[i::4]) for i in range(4)]
    for i, half in enumerate(halves):
        ddl = ", ".join(f"`{name}` {kind}" for name, kind in half.items())
        mysql_database.execute(f"create table texts{i} (id int primary key, {ddl})")
    follower = MysqlFollower(mysql_database).open()
    try:
        with mysql_database.connect() as connection, connection.cursor() as cursor:
            cursor.execute("set sql_mode = ''")
            for i, half in enumerate(halves):
                names = ", ".join(f"`{name}`" for name in half)
                for number, text in enumerate(("a b", "é§ж日", "€ ﾊ中", "")):
                    values = ", ".join("2" if name.endswith("_e") else f"'{text}'" for name in half)
                    cursor.execute(f"insert ignore into texts{i} (id, {names}) values ({number}, {values})")
        streamed = [
            _by_key(follower_rows, "id")
            for rows in [follower.rows()]
            for i in range(4)
            for follower_rows in [[r for r in rows if r["table"] == f"{mysql_database.name}.texts{i}"]]
        ]
        for i in range(4):
            _, copied = follower.copy(f"{mysql_database.name}.texts{i}")
            assert _by_key(copied, "id") == streamed[i]
    finally:
        follower.close()
