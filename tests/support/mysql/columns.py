"""Columns of every type that MySQL and MariaDB have, as DDL."""

from __future__ import annotations

# Every character set of each server has a CHAR, a VARCHAR and an ENUM too: `charset_columns`.
_COMMON: dict[str, str] = {
    "id": "int not null",
    "second": "varchar(40) not null",
    "ti": "tinyint",
    "tiu": "tinyint unsigned",
    "boolish": "tinyint(1)",
    "si": "smallint",
    "siu": "smallint unsigned",
    "mi": "mediumint",
    "miu": "mediumint unsigned",
    "i": "int",
    "iu": "int unsigned",
    "padded": "int(5) unsigned zerofill",
    "bi": "bigint",
    "biu": "bigint unsigned",
    "f": "float",
    "fu": "float unsigned",
    "fr": "float(7,3)",
    "d": "double",
    "dr": "double(10,2) unsigned",
    "de": "decimal(10,2)",
    "deu": "decimal(10,2) unsigned",
    "deb": "decimal(65,30)",
    "ded": "decimal",
    "y": "year",
    "b1": "bit(1)",
    "b8": "bit(8)",
    "b11": "bit(11)",
    "b64": "bit(64)",
    "da": "date",
    "dt": "datetime",
    "dt3": "datetime(3)",
    "dt6": "datetime(6) not null",
    "ts": "timestamp null",
    "ts1": "timestamp(1) null",
    "t": "time",
    "t5": "time(5)",
    "ch": "char(3)",
    "ch255": "char(255)",
    "chb": "char(4) character set binary",
    "nch": "nchar(3)",
    "vc": "varchar(10)",
    "vcl": "varchar(300)",
    "vb": "varbinary(20)",
    "vbl": "varbinary(400)",
    "bin": "binary(7)",
    "bin255": "binary(255)",
    "tt": "tinytext",
    "tx": "text",
    "mt": "mediumtext",
    "lt": "longtext",
    "tb": "tinyblob",
    "bl": "blob",
    "mb": "mediumblob",
    "lb": "longblob",
    "e": "enum('a','b''c','x\\\\y','n\\nl','','ü')",
    "el": "enum('ä','ö') character set latin1",
    "eb": "enum('a','é') character set binary",
    "e300": f"enum({','.join(repr(f'label {number}') for number in range(300))})",
    "s": "set('a','ü')",
    "s9": f"set({','.join(repr(f's{number}') for number in range(9))}) character set latin1",
    "s20": f"set({','.join(repr(f's{number}') for number in range(20))})",
    "s64": f"set({','.join(repr(f's{number}') for number in range(64))})",
    "g": "geometry",
    "po": "point",
    "ls": "linestring",
    "pg": "polygon",
    "mpo": "multipoint",
    "mls": "multilinestring",
    "mpg": "multipolygon",
    "gc": "geometrycollection",
    "hidden": "int invisible default 4",
    "computed": "int as (id + 1) virtual",
    "stored": "varchar(50) as (concat(second, 'x')) stored",
}
_MYSQL: dict[str, str] = {
    "j": "json",
    "v3": "vector(3)",
    "after_vector": "varchar(10) character set latin1",
    "p4326": "point srid 4326",
}
_MARIADB: dict[str, str] = {
    "u": "uuid",
    "i6": "inet6",
    "i4": "inet4",
    "j": "json",
    "vcc": "varchar(20) compressed character set latin1",
    "vcl2": "varchar(300) compressed",
    "vbc": "varbinary(30) compressed",
    "txc": "text compressed",
    "lbc": "longblob compressed",
}
CHARSETS_WITHOUT_COLUMNS = frozenset({"binary"})


def columns_of(flavour: str) -> dict[str, str]:
    """Column name → its DDL."""
    return {**_COMMON, **(_MYSQL if flavour == "mysql" else _MARIADB)}


def create_table(table: str, flavour: str) -> str:
    """A table with one column of every type, and a composite primary key."""
    columns = ", ".join(f"`{name}` {ddl}" for name, ddl in columns_of(flavour).items())
    return f"create table {table} ({columns}, primary key (second, id))"


def charset_columns(charsets: list[str]) -> dict[str, str]:
    """A CHAR, a VARCHAR, a TEXT and an ENUM in every character set."""
    return {
        f"{charset}_{kind}": f"{ddl} character set {charset}"
        for charset in charsets
        for kind, ddl in (("c", "char(5)"), ("v", "varchar(200)"), ("t", "text"), ("e", "enum('a','b')"))
    }
