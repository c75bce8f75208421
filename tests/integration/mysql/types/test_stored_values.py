"""Values of every type in the binlog, decoded by both implementations, are what the server itself shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest

from cdc.model import TableId
from cdc.native.unrepresentable import UnrepresentablePolicy
from cdc_source_mysql.schema.catalog import definitions, read_tables
from cdc_source_mysql.schema.table_map import parse_table_map
from cdc_source_mysql.schema.type_plan import ColumnPlan, plan_table
from cdc_source_mysql.wire.codes import TABLE_MAP_EVENT
from tests.support.mysql.binlog_file import Recorded, recorded
from tests.support.mysql.fields import feed_inserts, field_modules
from tests.support.mysql.server import MysqlDatabase

WHOLE = ["0", "1", "-1", "null"]
TIMES = ["'-838:59:59'", "'838:59:59'", "'-00:00:00.01'", "'-01:02:03.000001'", "'00:00:00.999999'"]
MOMENTS = ["'1970-01-02 00:00:01'", "'2020-02-29 23:59:59.123456'", "'2038-01-19 03:14:07'"]
BEYOND = [*MOMENTS, "'0001-01-01'", "'9999-12-31 23:59:59'"]
ZEROS = ["'0000-00-00'", "'2020-00-00'", "'2020-02-00'", "'0000-01-01'", "'2020-02-30'"]
ADDRESSES = ["::", "::1", "1::", "1:0:2::", "::ffff:1.2.3.4", "::1.2.3.4", "1:0:2:3:4:5:6:7"]
ADDRESSES += ["::2:3:4:5:6:7", "1:2:3:4:5:6:7:8", "1:0:0:2:0:0:0:3", "1:0:0:2:0:0:3:4", "::ffff:0:0"]
ADDRESSES += ["0:0:0:0:0:fffe:1:2", "::1:0"]
INET6 = [f"'{address}'" for address in ADDRESSES]
SHORT_AND_LONG = ["''", "'a'", "'é '", "repeat('z', 250)"]
EVERY_BYTE = "unhex(concat('00', '41', '80', '81', '8D', '8F', '90', '9D', 'E9', 'FF'))"

COMMON: dict[str, list[str]] = {
    "tinyint": [*WHOLE, "-128", "127"],
    "tinyint unsigned": ["0", "255"],
    "smallint": [*WHOLE, "-32768"],
    "mediumint": [*WHOLE, "-8388608", "8388607"],
    "mediumint unsigned": ["16777215"],
    "int": [*WHOLE, "-2147483648"],
    "int unsigned": ["4294967295"],
    "bigint": [*WHOLE, "-9223372036854775808"],
    "bigint unsigned": ["18446744073709551615"],
    "decimal(10,2)": [*WHOLE, "-99999999.99", "0.05", "-0.05"],
    "decimal(65,30)": [*WHOLE, "-" + "9" * 35 + "." + "9" * 30, "1e-30"],
    "decimal(5,5)": ["0.00001", "-0.99999"],
    "decimal(38,0)": ["9" * 38 + "", "-1"],
    "decimal(39,1)": ["9" * 38 + ".9"],
    "year": ["0", "1901", "2155", "null"],
    "time": TIMES,
    "time(1)": TIMES,
    "time(2)": TIMES,
    "time(5)": TIMES,
    "time(6)": TIMES,
    "date": ["'2020-02-29'", "'0001-01-01'", "'9999-12-31'", "null"],
    "datetime": BEYOND,
    "datetime(3)": BEYOND,
    "datetime(6)": BEYOND,
    "timestamp null": MOMENTS,
    "timestamp(1) null": MOMENTS,
    "timestamp(6) null": MOMENTS,
    "enum('a','b''c','ü')": ["'a'", "'ü'", "0", "null"],
    "enum('a','é') character set latin1": ["'é'", "1"],
    "set('a','é','c') character set latin1": ["''", "'é'", "'a,c'", "7", "null"],
    "set('x','y')": ["3"],
    "char(5)": ["''", "'a'", "'é  '", "'😀'"],
    "char(255)": SHORT_AND_LONG,
    "varchar(10)": ["''", "'a '", "'😀'"],
    "varchar(300)": SHORT_AND_LONG,
    "varchar(10) character set latin1": ["'é€'", EVERY_BYTE],
    "varchar(10) character set ucs2": ["'é€'"],
    "varchar(10) character set utf16": ["'é😀'"],
    "varchar(10) character set utf32": ["'é😀'"],
    "varchar(10) character set cp1250": ["'éż'"],
    "tinytext": SHORT_AND_LONG,
    "text": [*SHORT_AND_LONG, "repeat('é', 20000)"],
    "mediumtext": [*SHORT_AND_LONG, "repeat('x', 70000)"],
    "longtext": SHORT_AND_LONG,
}
MARIADB: dict[str, list[str]] = {
    "uuid": ["'123e4567-e89b-12d3-a456-426655440000'", "'00000000-0000-0000-0000-000000000000'", "null"],
    "inet4": ["'0.0.0.0'", "'10.0.0.0'", "'255.1.2.3'"],
    "inet6": INET6,
    "varchar(300) compressed": [*SHORT_AND_LONG, "repeat('é', 300)"],
    "text compressed character set latin1": ["''", "repeat('é', 300)"],
    "longtext compressed": ["repeat('xyz', 30000)"],
}
BINARY: dict[str, list[str]] = {
    "binary(4)": ["''", "x'61'", "x'00ff0000'", "x'00000000'", "null"],
    "binary(255)": ["x'01'"],
    "varbinary(300)": ["''", "x'0000'", "repeat(x'ff', 300)"],
    "blob": ["''", "x'00ff00'"],
    "char(4) character set binary": ["x'61'"],
}
MARIADB_BINARY = {"longblob compressed": ["repeat(x'00', 500)", "''"], "varbinary(20) compressed": ["x'00'"]}


def decode(log: Recorded, database: MysqlDatabase, policy: str) -> Iterator[tuple[ColumnPlan, pa.Array]]:
    """The columns of the table `t` without its id, by each implementation."""
    flavour = database.server.flavour
    body = next(body for kind, body in log.events() if kind == TABLE_MAP_EVENT)
    table_map = parse_table_map(body, flavour)
    table = TableId(database.name, "t")
    with database.connect() as connection, connection.cursor() as cursor:
        definition = definitions(read_tables(cursor, [table], flavour))[table]
    plans = plan_table(definition, table_map, flavour, policy)
    for module in field_modules():
        fields = [module.make_field(column, UnrepresentablePolicy(policy)) for column in plans]
        feed_inserts(log.events(), fields)
        for column, field in list(zip(plans, fields, strict=True))[1:]:
            yield column, field.finish()


def inserted(
    database: MysqlDatabase, columns: Mapping[str, list[str]], shown: str
) -> tuple[Recorded, dict[str, list[Any]]]:
    """The binlog of a table with a column of every type, and how the server shows the values of each."""
    names = [f"v{index}" for index in range(len(columns))]
    ddl = ", ".join(f"{name} {type_}" for name, type_ in zip(names, columns, strict=True))
    selected = ", ".join(shown.format(name) for name in names)
    with recorded(database.server) as log, database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set time_zone = '+00:00', sql_mode = 'allow_invalid_dates'")
        cursor.execute(f"create table t (id int auto_increment primary key, {ddl})")
        for row in itertools.zip_longest(*columns.values(), fillvalue="null"):
            cursor.execute(f"insert into t ({', '.join(names)}) values ({', '.join(row)})")
        cursor.execute(f"select {selected} from t order by id")
        rows = cursor.fetchall()
    return log, {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def as_text(column: ColumnPlan, value: Any) -> str | None:
    """A value as the server would show it."""
    if value is None:
        return None
    if pa.types.is_decimal(column.arrow):
        return f"{value:f}"
    if column.kind == "year":
        return f"{value:04d}"
    if column.kind in {"datetime", "timestamp"}:
        fraction = f".{value.microsecond:06d}"[: column.fsp + 1] if column.fsp else ""
        return f"{value.replace(tzinfo=None, microsecond=0).isoformat(' ')}{fraction}"
    return str(value)


def check_texts(database: MysqlDatabase, columns: Mapping[str, list[str]]) -> None:
    log, expected = inserted(database, columns, "cast({} as char)")
    for column, array in decode(log, database, "error"):
        texts = [as_text(column, value) for value in array.to_pylist()]
        assert texts == expected[column.name], column.source_type


def check_bytes(database: MysqlDatabase, columns: Mapping[str, list[str]]) -> None:
    log, expected = inserted(database, columns, "lower(hex({}))")
    for column, array in decode(log, database, "error"):
        digits = [None if value is None else value.hex() for value in array.to_pylist()]
        assert digits == expected[column.name], column.source_type


def check_numbers(database: MysqlDatabase, columns: Mapping[str, list[str]], shown: str) -> None:
    log, expected = inserted(database, columns, shown)
    for column, array in decode(log, database, "error"):
        assert array.to_pylist() == expected[column.name], column.source_type


@pytest.mark.every_server
def test_values_read_as_the_server_shows_them(mysql_database: MysqlDatabase) -> None:
    check_texts(mysql_database, COMMON)


def test_values_of_mariadb_read_as_the_server_shows_them(mariadb10_database: MysqlDatabase) -> None:
    check_texts(mariadb10_database, MARIADB)


@pytest.mark.every_server
def test_bytes_are_those_of_the_server(mysql_database: MysqlDatabase) -> None:
    check_bytes(mysql_database, BINARY)


def test_compressed_bytes_are_those_of_the_server(mariadb10_database: MysqlDatabase) -> None:
    check_bytes(mariadb10_database, MARIADB_BINARY)


def test_values_compressed_with_a_header_of_zlib_are_read(mariadb10_database: MysqlDatabase) -> None:
    mariadb10_database.server.execute("set global column_compression_zlib_wrap = on")
    try:
        check_texts(mariadb10_database, {"text compressed": ["repeat('é', 300)"]})
    finally:
        mariadb10_database.server.execute("set global column_compression_zlib_wrap = off")


@pytest.mark.every_server
def test_floating_point_numbers_are_exact(mysql_database: MysqlDatabase) -> None:
    values = ["0", "-0.5", "123456.789", "1e-30", "3e38", "null"]
    check_numbers(mysql_database, {"float": values, "double": values}, "{} + 0e0")


@pytest.mark.every_server
def test_bits_are_those_of_the_server(mysql_database: MysqlDatabase) -> None:
    columns = {f"bit({count})": ["0", "1", "null", f"(1 << {count - 1})"] for count in (1, 8, 11, 64)}
    check_numbers(mysql_database, columns, "cast({} as unsigned)")


@pytest.mark.every_server
def test_what_arrow_lacks_is_the_text_of_the_server_under_policy_string(
    mysql_database: MysqlDatabase,
) -> None:
    dates = {ddl: [*ZEROS, *BEYOND] for ddl in ("date", "datetime", "datetime(2)")}
    columns = {**dates, "timestamp(3) null": [*ZEROS[:1], *MOMENTS]}
    log, expected = inserted(mysql_database, columns, "cast({} as char)")
    for column, array in decode(log, mysql_database, "string"):
        assert array.to_pylist() == expected[column.name], column.source_type


@pytest.mark.every_server
@pytest.mark.parametrize("srid", [0, 4326])
def test_geometries_are_wkb_with_their_srid(mysql_database: MysqlDatabase, srid: int) -> None:
    texts = ["POINT(1 2)", "LINESTRING(0 0,1 1)", "GEOMETRYCOLLECTION(POINT(3 4))"]
    columns = {"geometry": [f"st_geomfromtext('{text}', {srid})" for text in texts]}
    log, expected = inserted(mysql_database, columns, "{}")
    for column, array in decode(log, mysql_database, "error"):
        for value, stored in zip(array.to_pylist(), map(bytes, expected[column.name]), strict=True):
            if srid:
                assert value == stored[4:8] + b"\x20" + stored[:4] + stored[9:]
            else:
                assert value == stored[4:]


def test_vectors_are_those_of_the_server(mysql9_database: MysqlDatabase) -> None:
    columns = {"vector(3)": ["to_vector('[1,-2.5,0.5]')", "null"]}
    log, _ = inserted(mysql9_database, columns, "{} is null")
    for _, array in decode(log, mysql9_database, "error"):
        assert array.to_pylist() == [[1.0, -2.5, 0.5], None]
