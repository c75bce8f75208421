"""A value catalogue of MySQL and MariaDB: SQL expressions for every type, the ugly ones first."""

from __future__ import annotations

_MOMENTS = ["'1970-01-01 00:00:01'", "'2020-02-29 23:59:59.999999'", "'2038-01-19 03:14:07'", "null"]
_DATES = ["'0001-01-01'", "'9999-12-31 23:59:59.999999'", "'1582-10-10 00:00:00.1'", *_MOMENTS]
# What Arrow lacks: no date at all, no month, no day, no year, no such day.
_ZEROS = ["'0000-00-00'", "'2020-00-00'", "'2020-02-00'", "'0000-01-01'", "'2020-02-30'"]
_TIMES = [
    *("'-838:59:59'", "'838:59:59'", "'-00:00:00.01'", "'-01:02:03.000001'", "'00:00:00.999999'"),
    *("'-00:00:01'", "'24:00:00'", "'00:00:00'", "null"),
]
_TEXTS = ["''", "'NULL'", "'a '", "' é\U0001f600'", r"'\\\'\"\n\t\0'", "repeat('ä', 60)", "null"]
_LATIN = ["''", "'é€'", "unhex('0041808D8F909D81E9FF')", "null"]
_BYTES = ["''", "x'00'", "x'61'", "x'0061ff00'", "x'00000000'", "null"]
_GEOMETRIES = [
    *("'POINT(1 2)'", "'LINESTRING(0 0,1 1.5)'", "'POLYGON((0 0,0 3,3 3,0 0),(1 1,1 2,2 2,1 1))'"),
    *("'MULTIPOINT((0 0),(1 1))'", "'GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'"),
]
_JSON = [
    """'{"b": 1, "aa": [1, 2.50, -0.0, 1e300, true, null], "": "\\\\u0001é"}'""",
    *("'[]'", "'{}'", "'null'", "'\"x\"'", "'-9223372036854775808'", "'18446744073709551615'", "null"),
]
_SPOTS = [f"st_geomfromtext({text})" for text in _GEOMETRIES]

COMMON: dict[str, list[str]] = {
    "tinyint": ["-128", "127", "0", "null"],
    "tinyint unsigned": ["255", "0"],
    "tinyint(1)": ["-128", "2", "1", "0"],
    "smallint": ["-32768", "32767"],
    "smallint unsigned": ["65535"],
    "mediumint": ["-8388608", "8388607", "-1"],
    "mediumint unsigned": ["16777215", "8388608"],
    "int": ["-2147483648", "2147483647"],
    "int unsigned": ["4294967295"],
    "int(6) unsigned zerofill": ["42", "1234567"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "bigint unsigned": ["18446744073709551615", "9223372036854775808", "0"],
    "float": ["123456.789", "-1e-38", "16777217", "3.4028234e38", "0.1", "-0.0", "null"],
    "float unsigned": ["0.5"],
    "double": ["0.1", "5e-324", "-1.7976931348623157e308", "9007199254740993"],
    "decimal(10,2)": ["-99999999.99", "0.01", "-0.05", "0"],
    "decimal(5,5)": ["0.00001", "-0.99999"],
    "decimal(10,0) unsigned": ["9999999999"],
    "decimal(38,0)": ["-" + "9" * 38],
    "decimal(39,1)": ["9" * 38 + ".9"],
    "decimal(65,30)": ["-" + "9" * 35 + "." + "9" * 30, "1e-30", "null"],
    "bit(1)": ["0", "1", "null"],
    "bit(9)": ["511", "256", "0"],
    "bit(64)": ["18446744073709551615", "1"],
    "year": ["0", "1901", "2155", "null"],
    "date": [*_ZEROS, *_DATES],
    "datetime": [*_ZEROS, *_DATES],
    "datetime(2)": [*_ZEROS, *_DATES],
    "datetime(6)": [*_ZEROS, *_DATES],
    "timestamp null": ["'0000-00-00'", *_MOMENTS],
    "timestamp(3) null": ["'0000-00-00'", *_MOMENTS],
    "timestamp(6) null": ["'0000-00-00'", *_MOMENTS],
    **dict.fromkeys(("time", "time(1)", "time(2)", "time(3)", "time(4)", "time(5)", "time(6)"), _TIMES),
    "char(8)": ["''", "'a  '", "'é\U0001f600'", "null"],
    "char(255)": ["repeat('ä', 255)", "'x'"],
    "char(4) binary": ["'Ab'"],
    "varchar(80)": _TEXTS,
    "varchar(300)": [*_TEXTS, "repeat('\U0001f600', 300)"],
    "tinytext": _TEXTS,
    "text": [*_TEXTS, "repeat('x', 65535)"],
    "mediumtext": [*_TEXTS, "repeat('x', 70000)"],
    "longtext": _TEXTS,
    "varchar(20) character set latin1": _LATIN,
    "text character set latin1": _LATIN,
    "char(10) character set latin1": ["'é'"],
    "varchar(20) character set ascii": ["'a'", "''"],
    "varchar(20) character set utf8mb3": ["'é€'"],
    "varchar(20) character set ucs2": ["'é€'", "''"],
    "varchar(20) character set utf16": ["'é\U0001f600'"],
    "varchar(20) character set utf16le": ["'é\U0001f600'"],
    "varchar(20) character set utf32": ["'é\U0001f600'"],
    "varchar(20) character set koi8r": ["'Яж'"],
    "varchar(20) character set cp1251": ["'Яж'"],
    "varchar(20) character set sjis": ["'日本ソ'"],
    "varchar(20) character set gbk": ["'中文'"],
    "varchar(20) character set euckr": ["'한국'"],
    "varchar(20) character set big5": ["'中文'"],
    "binary(4)": _BYTES,
    "binary(255)": ["x'01'"],
    "varbinary(300)": [*_BYTES, "repeat(x'00', 300)"],
    "tinyblob": _BYTES,
    "blob": [*_BYTES, "repeat(x'ff', 65535)"],
    "mediumblob": [*_BYTES, "repeat(x'00', 70000)"],
    "longblob": _BYTES,
    "char(4) character set binary": ["x'61'"],
    "enum('x','h''a\"p','é \U0001f600','')": ["1", "'h''a\"p'", "'é \U0001f600'", "''", "0", "null"],
    "enum('é','b') character set latin1": ["'é'", "'b'"],
    "set('a','b c','é','d')": ["''", "'a,é'", "15", "0", "null"],
    "set('é','b') character set latin1": ["'é,b'"],
    "json": _JSON,
    "geometry": [*_SPOTS, "null"],
    "point": _SPOTS[:1],
    "linestring": _SPOTS[1:2],
    "polygon": _SPOTS[2:3],
    "multipoint": _SPOTS[3:4],
    "geometrycollection": _SPOTS[4:5],
}
MYSQL: dict[str, list[str]] = {
    "geometry srid 4326": ["st_geomfromtext('POINT(10 20)', 4326)"],
    "vector(3)": ["string_to_vector('[1,-2.5,0.1]')", "string_to_vector('[0,0,0]')", "null"],
    # What JSON text can't say, and JSON made of SQL values can.
    "json not null": [
        "json_object('d', cast('2024-01-01 01:02:03.5' as datetime(6)), 'n', 1.10, 'b', x'00ff')",
        "json_array(cast('-838:59:59' as time(1)), cast('2020-02-29' as date), cast(-1.5 as decimal(9,2)))",
        "json_array(cast('2020-02-29' as datetime), cast(18446744073709551615 as unsigned), 1e0, 0e0)",
    ],
}
MARIADB: dict[str, list[str]] = {
    "uuid": [
        *("'123e4567-e89b-12d3-a456-426655440000'", "'00000000-0000-0000-0000-000000000000'"),
        *("'ffffffff-ffff-4fff-bfff-ffffffffff00'", "null"),
    ],
    "inet4": ["'0.0.0.0'", "'10.0.0.0'", "'255.255.255.255'", "null"],
    "inet6": [
        *(
            "'::'",
            "'::1'",
            "'1::'",
            "'::ffff:1.2.3.4'",
            "'::1.2.3.4'",
            "'1:0:2:3:4:5:6:7'",
            "'1:0:0:2:0:0:0:3'",
        ),
        *("'fe80::'", "'2001:db8::ff00:42:8329'", "null"),
    ],
    "varchar(300) compressed": [*_TEXTS, "repeat('é', 300)"],
    "text compressed character set latin1": ["repeat('é', 300)", "''"],
    "blob compressed": [*_BYTES, "repeat(x'00', 5000)"],
    "varbinary(40) compressed": _BYTES,
}


def type_values(flavour: str) -> dict[str, list[str]]:
    """Type → its values; the first of a type that can't be null stands for missing ones."""
    return {**COMMON, **(MYSQL if flavour == "mysql" else MARIADB)}
