"""Random values of every Postgres type, as the text that the server's input functions read.

The default policy refuses what Arrow can't hold (infinity, BC, NaN in a decimal), so such values are not made
here; the type tests cover them.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

Make = Callable[[random.Random], str]

# Long enough to go out of line whatever compression does, so that an update that leaves it alone sends no
# value.
TOAST_CHARACTERS = 9000
# One value in this many is NULL, where the column allows it.
NULL_EVERY = 9
_AWKWARD_TEXTS = (
    "",
    " ",
    "NULL",
    "null",
    "\\N",
    "'",
    '"',
    "a\tb\nc\r",
    "{}",
    "\u00e4\u00f6\u20ac\U0001f600",
    "\x01\x7f",
    "\\",
    "%s",
)


@dataclass(frozen=True)
class ColumnSpec:
    """A column of the workload: how it is declared and where its values come from."""

    name: str
    type: str
    make: Make
    nullable: bool = True

    def value(self, rng: random.Random) -> str | None:
        return None if self.nullable and rng.randrange(NULL_EVERY) == 0 else self.make(rng)

    @property
    def sql_name(self) -> str:
        return '"' + self.name.replace('"', '""') + '"'

    @property
    def declaration(self) -> str:
        return f"{self.sql_name} {self.type}"


def integer(bits: int) -> Make:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return lambda rng: str(rng.choice([low, high, 0, -1, rng.randint(low, high), rng.randint(0, 99)]))


def text(limit: int = 60) -> Make:
    def make(rng: random.Random) -> str:
        if rng.randrange(4) == 0:
            return rng.choice(_AWKWARD_TEXTS)[:limit]
        return "".join(rng.choices("abc \u00df\u4e2d", k=rng.randint(1, limit)))

    return make


def big_text(rng: random.Random) -> str:
    """Text that compresses badly and is stored out of line."""
    return rng.randbytes(TOAST_CHARACTERS // 2).hex()


def decimal(precision: int, scale: int) -> Make:
    def make(rng: random.Random) -> str:
        digits = rng.randint(1, precision)
        number = rng.randrange(10**digits)
        sign = rng.choice(["", "-"])
        whole, fraction = divmod(number, 10**scale)
        return f"{sign}{whole}.{fraction:0{scale}d}" if scale else f"{sign}{whole}"

    return make


def unbounded_numeric(rng: random.Random) -> str:
    digits = "".join(rng.choices("0123456789", k=rng.choice([1, 5, 40, 200])))
    return rng.choice([digits, f"-{digits}.{digits[::-1]}", f"0.{'0' * 30}{digits}1", "NaN", "0.10", "1e20"])


def floating(rng: random.Random) -> str:
    special = ["NaN", "Infinity", "-Infinity", "-0", "0", "1e-30", "3.4e38"]
    return rng.choice([*special, repr(rng.uniform(-1e6, 1e6)), repr(rng.random())])


def date(rng: random.Random) -> str:
    year = rng.choice([1, 1582, 1900, 1970, 2026, 9999, 12345])
    return f"{year:04d}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def clock(rng: random.Random) -> str:
    base = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"
    return rng.choice([base, f"{base}.{rng.randrange(10**6):06d}", "00:00:00", "23:59:59.999999"])


def modern_date(rng: random.Random) -> str:
    """A date that Python's datetime can hold in every zone."""
    return f"{rng.randint(1901, 2100)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def timestamp(rng: random.Random) -> str:
    return f"{date(rng)} {clock(rng)}"


def timestamptz(rng: random.Random) -> str:
    """Not in the year 1: a zone east of Greenwich would take it to before Christ."""
    day = date(rng).replace("0001-", "0002-")
    return f"{day} {clock(rng)}{rng.choice(['+00', '-08', '+05:45'])}"


def json_text(rng: random.Random) -> str:
    value = {
        "k": rng.randint(0, 9),
        "text": rng.choice(_AWKWARD_TEXTS).replace("\x00", ""),
        "n": [1.50, None, True],
    }
    return json.dumps(
        rng.choice([value, [], {}, None, "x", 1e300, [[value]]]), ensure_ascii=rng.random() < 0.5
    )


def one_of(*choices: str) -> Make:
    return lambda rng: rng.choice(choices)


def array(element: Make, most: int = 4) -> Make:
    def make(rng: random.Random) -> str:
        items = [
            "NULL" if rng.randrange(5) == 0 else _quoted(element(rng)) for _ in range(rng.randint(0, most))
        ]
        return "{" + ",".join(items) + "}"

    return make


def matrix(rng: random.Random) -> str:
    width = rng.randint(1, 3)
    rows = [",".join(str(rng.randint(-9, 9)) for _ in range(width)) for _ in range(rng.randint(1, 3))]
    return "{" + ",".join(f"{{{row}}}" for row in rows) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


def _bytes(rng: random.Random) -> str:
    return "\\x" + rng.randbytes(rng.choice([0, 1, 16, 300])).hex()


def _number(rng: random.Random) -> str:
    return str(rng.randint(-50, 50))


def _range(low: Make, high: Make) -> Make:
    def make(rng: random.Random) -> str:
        return rng.choice([f"[{low(rng)},{high(rng)})", "empty", f"({low(rng)},]", f"[,{high(rng)}]"])

    return make


# A name a type, and a type a column: what `docs/types/postgres.md` lists, as far as a random value may go.
EVERY_TYPE: tuple[tuple[str, Make], ...] = (
    ("boolean", one_of("t", "f")),
    ("smallint", integer(16)),
    ("integer", integer(32)),
    ("bigint", integer(64)),
    ("oid", lambda rng: str(rng.randrange(2**32))),
    ("real", floating),
    ("double precision", floating),
    ("numeric(20,5)", decimal(20, 5)),
    ("numeric(38,0)", decimal(38, 0)),
    ("numeric(60,10)", decimal(60, 10)),
    ("numeric", unbounded_numeric),
    ("money", lambda rng: str(rng.randint(-(10**12), 10**12) / 100)),
    ("text", text()),
    ("varchar(50)", text(50)),
    ("char(10)", text(10)),
    ("name", text(20)),
    ("citext", text(20)),
    ("bytea", _bytes),
    ("uuid", _uuid),
    ("json", json_text),
    ("jsonb", json_text),
    ("date", date),
    ("timestamp", timestamp),
    ("timestamptz", timestamptz),
    ("timestamp(3)", timestamp),
    ("time", clock),
    ("timetz", lambda rng: f"{clock(rng)}{rng.choice(['+00', '-08', '+05:45'])}"),
    ("interval", one_of("1 year 2 mons", "-3 days", "04:05:06.789", "0", "1 mon -1 day 00:00:01")),
    ("bit(8)", one_of("00000000", "10101010", "11111111")),
    ("varbit", one_of("", "1", "0101010101010101")),
    ("inet", one_of("10.0.0.1", "10.1.2.3/8", "::1", "2001:db8::/32")),
    ("cidr", one_of("10.0.0.0/8", "2001:db8::/32")),
    ("macaddr", one_of("08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff")),
    ("macaddr8", one_of("08:00:2b:01:02:03:04:05")),
    ("point", one_of("(1,2)", "(-0.5,1e10)")),
    ("line", one_of("{1,2,3}")),
    ("lseg", one_of("[(0,0),(1,1)]")),
    ("box", one_of("(2,2),(1,1)")),
    ("path", one_of("[(0,0),(1,1)]", "((0,0),(1,1),(2,0))")),
    ("polygon", one_of("((0,0),(1,1),(2,0))")),
    ("circle", one_of("<(1,2),3>")),
    ("int4range", _range(lambda rng: str(rng.randint(-50, 0)), lambda rng: str(rng.randint(1, 50)))),
    ("tstzrange", one_of("[2026-01-01 00:00+00,2026-02-01 00:00+00)", "empty", "(,)")),
    ("daterange", one_of("[2026-01-01,2026-02-01)", "(,2026-01-01]")),
    ("int4multirange", one_of("{}", "{[1,5),[10,20)}")),
    ("tsvector", one_of("'cat':3 'fat':2,4A", "")),
    ("tsquery", one_of("'fat' & ( 'rat' | !'cat' )")),
    ("pg_lsn", one_of("16/B374D848", "0/0")),
    ("hstore", one_of('"a"=>"1", "b"=>NULL', "", '"\u00e4 \\"q\\""=>"x,y"')),
    ("ltree", one_of("Top.Science.Astronomy", "")),
    ("app.mood", one_of("sad", "ok", "very happy")),
    ("app.positive", lambda rng: str(rng.randint(1, 10**6))),
    ("app.pair", one_of('(1,"a ""b""")', "(,)", '(-5,"x,y")')),
    ("integer[]", array(_number)),
    ("integer[][]", matrix),
    ("text[]", array(text(20))),
    ("uuid[]", array(_uuid)),
    ("numeric(10,2)[]", array(decimal(10, 2))),
    ("timestamptz[]", array(lambda rng: f"{modern_date(rng)} {clock(rng)}+00")),
    ("boolean[]", array(one_of("t", "f"))),
    ("app.mood[]", array(one_of("sad", "ok", "very happy"))),
    ("bytea[]", array(_bytes)),
)
