"""Random values as text that any database reads: the generators, and what a column of the workload is."""

from __future__ import annotations

import json
import random
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
    # How a statement takes the value.
    mark: str = "%s"

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
