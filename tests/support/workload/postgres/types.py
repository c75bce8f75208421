"""Random values of every Postgres type, as the text that the server's input functions read.

The default policy refuses what Arrow can't hold (infinity, BC, NaN in a decimal), so such values are not made
here; the type tests cover them.
"""

from __future__ import annotations

import random
import uuid

from tests.support.workload.values import (
    Make,
    clock,
    date,
    decimal,
    floating,
    integer,
    json_text,
    modern_date,
    one_of,
    text,
    timestamp,
    timestamptz,
    unbounded_numeric,
)


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
