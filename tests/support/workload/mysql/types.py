"""Random values of every MySQL and MariaDB type, as the text that the server reads.

The default policy refuses what Arrow can't hold (zero dates), so such values are not made here; the type
tests cover them.
"""

from __future__ import annotations

import random
import uuid

from tests.support.workload.values import (
    ColumnSpec,
    Make,
    decimal,
    integer,
    json_text,
    one_of,
    text,
)

_UNHEX = "unhex(%s)"
_NUMBER = "cast(%s as unsigned)"
_POINT = "st_geomfromtext(%s)"
# The texts that every one of the old character sets has.
_WESTERN = ("", "a", "Z\u00e4", "\u00df\u00fc\u00e9", "plain", "'", "\\", "%s")


def unsigned(bits: int) -> Make:
    high = 2**bits - 1
    return lambda rng: str(rng.choice([0, high, high // 2 + 1, rng.randint(0, high), rng.randint(0, 99)]))


def single(rng: random.Random) -> str:
    special = ["-0.0", "0", "1e-30", "3.4e38", "16777217"]
    return rng.choice([*special, repr(rng.uniform(-1e6, 1e6)), repr(rng.random())])


def double(rng: random.Random) -> str:
    special = ["-0.0", "0", "1e-300", "1.7976931348623157e308", "9007199254740993"]
    return rng.choice([*special, repr(rng.uniform(-1e6, 1e6)), repr(rng.random())])


def day(rng: random.Random) -> str:
    year = rng.choice([1, 1582, 1900, 1970, 2026, 9999])
    return f"{year:04d}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def moment(digits: int) -> Make:
    def make(rng: random.Random) -> str:
        clock = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"
        return f"{day(rng)} {clock}{fraction(rng, digits)}"

    return make


def instant(digits: int) -> Make:
    """What TIMESTAMP holds: 1970 to 2038."""

    def make(rng: random.Random) -> str:
        date = f"{rng.randint(1971, 2037)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        return f"{date} {rng.randrange(24):02d}:{rng.randrange(60):02d}:59{fraction(rng, digits)}"

    return make


def span(digits: int) -> Make:
    """TIME: signed, to 838 hours."""

    def make(rng: random.Random) -> str:
        hours = rng.choice([0, 0, 1, 23, 24, 99, 837, rng.randrange(838)])
        sign = rng.choice(["", "-"])
        return f"{sign}{hours:02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}{fraction(rng, digits)}"

    return make


def fraction(rng: random.Random, digits: int) -> str:
    return f".{rng.randrange(10**digits):0{digits}d}" if digits and rng.randrange(3) else ""


def hexed(*lengths: int) -> Make:
    """Bytes, trailing zeros among them."""

    def make(rng: random.Random) -> str:
        value = rng.randbytes(rng.choice(lengths))
        return (value[:-1] + b"\0" if value and rng.randrange(4) == 0 else value).hex()

    return make


def members(*labels: str) -> Make:
    return lambda rng: ",".join(label for label in labels if rng.randrange(2))


def point(rng: random.Random) -> str:
    return rng.choice(
        [
            f"POINT({rng.randint(-90, 90)} {rng.random():.5f})",
            "LINESTRING(0 0,1 1,2 0)",
            "POLYGON((0 0,0 3,3 3,0 0))",
            "GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))",
        ]
    )


def address(rng: random.Random) -> str:
    return rng.choice(["::1", "2001:db8::ff00:42:8329", "::ffff:192.0.2.128", "fe80::"])


def vector(rng: random.Random) -> str:
    return "[" + ",".join(f"{rng.randint(-1000, 1000) / 8}" for _ in range(3)) + "]"


def _uuid(rng: random.Random) -> str:
    """MariaDB takes no variant but that of RFC 4122, and stores version 1 in another order of bytes."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=rng.choice([1, 4, 5])))


def _western(limit: int) -> Make:
    return lambda rng: rng.choice(_WESTERN)[:limit]


# Type, generator, and how a statement takes the value, where that is not as text.
_BOTH: tuple[tuple[str, Make, str], ...] = (
    ("tinyint", integer(8), "%s"),
    ("tinyint unsigned", unsigned(8), "%s"),
    ("tinyint(1)", one_of("0", "1", "-128", "127"), "%s"),
    ("smallint", integer(16), "%s"),
    ("smallint unsigned", unsigned(16), "%s"),
    ("mediumint", integer(24), "%s"),
    ("mediumint unsigned", unsigned(24), "%s"),
    ("int", integer(32), "%s"),
    ("int unsigned", unsigned(32), "%s"),
    ("bigint", integer(64), "%s"),
    ("bigint unsigned", unsigned(64), "%s"),
    ("float", single, "%s"),
    ("double", double, "%s"),
    ("decimal(10,2)", decimal(10, 2), "%s"),
    ("decimal(38,10)", decimal(38, 10), "%s"),
    ("decimal(65,30)", decimal(65, 30), "%s"),
    ("decimal(5,0) unsigned", one_of("0", "1", "99999"), "%s"),
    ("bit(1)", one_of("0", "1"), _NUMBER),
    ("bit(11)", unsigned(11), _NUMBER),
    ("bit(64)", unsigned(64), _NUMBER),
    ("year", one_of("1901", "1970", "2026", "2155", "0000"), "%s"),
    ("date", day, "%s"),
    ("time", span(0), "%s"),
    ("time(3)", span(3), "%s"),
    ("time(6)", span(6), "%s"),
    ("datetime", moment(0), "%s"),
    ("datetime(2)", moment(2), "%s"),
    ("datetime(6)", moment(6), "%s"),
    ("timestamp null", instant(0), "%s"),
    ("timestamp(5) null", instant(5), "%s"),
    ("char(10)", text(10), "%s"),
    ("varchar(50)", text(50), "%s"),
    ("varchar(500)", text(200), "%s"),
    ("tinytext", text(50), "%s"),
    ("text", text(), "%s"),
    ("mediumtext", text(), "%s"),
    ("longtext", text(), "%s"),
    ("varchar(20) character set latin1", _western(20), "%s"),
    ("varchar(20) character set utf16", text(20), "%s"),
    ("text character set ucs2", _western(20), "%s"),
    ("char(8) character set latin2", one_of("", "\u0142\u017c", "abc"), "%s"),
    ("varchar(20) character set ascii", one_of("", "abc", "'\""), "%s"),
    ("varchar(20) character set utf8mb3", _western(20), "%s"),
    ("binary(16)", hexed(0, 3, 16), _UNHEX),
    ("varbinary(300)", hexed(0, 1, 300), _UNHEX),
    ("tinyblob", hexed(0, 5), _UNHEX),
    ("blob", hexed(0, 1, 300), _UNHEX),
    ("longblob", hexed(0, 16, 300), _UNHEX),
    ("enum('x','h''a','\u00e4 b','')", one_of("x", "h'a", "\u00e4 b", ""), "%s"),
    ("set('a','b c','\u00fc','d')", members("a", "b c", "\u00fc", "d"), "%s"),
    ("json", json_text, "%s"),
    ("geometry", point, _POINT),
    ("point", lambda rng: f"POINT({rng.randint(-9, 9)} 1.5)", _POINT),
)
_MYSQL: tuple[tuple[str, Make, str], ...] = (
    ("point srid 4326", lambda rng: f"POINT({rng.randint(-80, 80)} 1.5)", "st_geomfromtext(%s, 4326)"),
    ("vector(3)", vector, "string_to_vector(%s)"),
)
_MARIADB: tuple[tuple[str, Make, str], ...] = (
    ("uuid", _uuid, "%s"),
    ("inet6", address, "%s"),
    ("inet4", one_of("0.0.0.0", "10.1.2.3", "255.255.255.255", "127.0.0.0"), "%s"),
    ("varchar(400) compressed", text(300), "%s"),
    ("blob compressed", hexed(0, 1, 300), _UNHEX),
)


def every_type(flavour: str) -> tuple[ColumnSpec, ...]:
    """A column of each type."""
    types = (*_BOTH, *(_MYSQL if flavour == "mysql" else _MARIADB))
    return tuple(ColumnSpec(f"c{i:02d}", kind, make, mark=mark) for i, (kind, make, mark) in enumerate(types))
