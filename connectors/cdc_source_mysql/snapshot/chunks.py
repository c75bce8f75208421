"""How a table is cut into chunks of its key, and what lets a later process go on from the finished ones.
Plain values and SQL texts, no connection.

Bounds are values of the key's first columns, as the server orders them; it alone compares. A chunk is the
rows above one bound and not above the next; the first has no lower and the last no upper bound, so every row
lies in a chunk whenever it comes. A row that is read in a finished chunk, and all changes since the position
before which it was read, give the row as it is now: a later process needs only the same bounds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from cdc_source_mysql.statements import quoted

# About half a second of reading: fine enough to share out, to show progress and to let an ALTER through,
# coarse enough to cost nothing.
CHUNK_BYTES = 64 * 1024 * 1024
# A table has no more chunks than this: its token holds a bound of each. Theirs are larger then.
MAX_CHUNKS = 4_000
# However wide its rows, a chunk has at least this many, and however narrow, no more than that.
MIN_CHUNK_ROWS, MAX_CHUNK_ROWS = 1_000, 500_000
# What a row takes where the server has no estimate.
ROW_BYTES = 200

Bound = tuple[str, ...]

_INTEGER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?")
_HEX = re.compile(r"([0-9A-Fa-f]{2})*")
# Dates, times, uuids, addresses.
_QUOTED = re.compile(r"[0-9A-Fa-f:. -]+")


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the key by which chunks can be cut.

    `kind`: int, decimal, quoted (dates, times, uuids, addresses), text (bounds are the bytes in the column's
    character set, in hex), binary (hex), enum (bounds are its numbers; `labels` are literals in the order of
    the numbers).
    """

    name: str
    kind: str
    charset: str = ""
    labels: tuple[str, ...] = ()

    @property
    def selected(self) -> str:
        """What to select to get a bound's text."""
        name = quoted(self.name)
        if self.kind in {"text", "binary"}:
            return f"hex({name})"
        if self.kind == "enum":
            return f"cast(cast({name} as unsigned) as char)"
        return f"cast({name} as char)"

    def literal(self, text: str) -> str:
        """A bound's text as the server compares it with the column: in the column's own collation."""
        pattern = _PATTERNS[self.kind]
        if not pattern.fullmatch(text):
            message = f"a bound of kind {self.kind} that is none"
            raise ValueError(message)
        if self.kind == "text":
            return f"_{self.charset} x'{text}'"
        if self.kind == "binary":
            return f"x'{text}'"
        return f"'{text}'" if self.kind == "quoted" else text

    def equal(self, text: str) -> str:
        """The column equals the bound."""
        if self.kind != "enum":
            return f"{quoted(self.name)} = {self.literal(text)}"
        number = int(text)
        return f"{quoted(self.name)} = {self.labels[number - 1]}" if number else self._is_zero

    def above(self, text: str) -> str:
        if self.kind != "enum":
            return f"{quoted(self.name)} > {self.literal(text)}"
        return self._among(self.labels[int(text) :])

    def below(self, text: str, *, is_above_zero: bool) -> str:
        """The column is less than the bound; `is_above_zero`: an enum's number 0 need not be thought of."""
        if self.kind != "enum":
            return f"{quoted(self.name)} < {self.literal(text)}"
        if int(text) == 0:
            return "false"
        among = self._among(self.labels[: int(text) - 1])
        return among if is_above_zero else f"({among} or {self._is_zero})"

    @property
    def _is_zero(self) -> str:
        # The number of a value that was refused; no label is equal to it for sure.
        return f"cast({quoted(self.name)} as unsigned) = 0"

    def _among(self, labels: Sequence[str]) -> str:
        # The server orders an enum by its numbers but compares it with a text by its labels: only equality
        # means the same in both, and it can use the index.
        return f"{quoted(self.name)} in ({', '.join(labels)})" if labels else "false"


_PATTERNS = {
    "int": _INTEGER,
    "decimal": _DECIMAL,
    "quoted": _QUOTED,
    "text": _HEX,
    "binary": _HEX,
    "enum": _INTEGER,
}


@dataclass(frozen=True, slots=True)
class KeyRange:
    """One chunk: lower < key ≤ upper. Bounds may have fewer values than the key has columns."""

    id: str
    lower: Bound | None
    upper: Bound | None
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Token:
    """What a later process needs to go on: which rows the finished chunks' ids stand for. `shape` is of the
    columns as they were read.
    """

    shape: str
    bounds: tuple[Bound, ...]

    def text(self) -> str:
        return json.dumps({"shape": self.shape, "bounds": self.bounds})

    @classmethod
    def parse(cls, text: str) -> Token:
        values = json.loads(text)
        return cls(values["shape"], tuple(tuple(bound) for bound in values["bounds"]))


def chunk_rows(rows: int, data_bytes: int) -> int:
    """How many rows a chunk should have."""
    width = data_bytes / rows if rows and data_bytes else ROW_BYTES
    wanted = int(min(MAX_CHUNK_ROWS, max(MIN_CHUNK_ROWS, CHUNK_BYTES // max(width, 1))))
    return max(wanted, rows // MAX_CHUNKS)


def ranges(bounds: Sequence[Bound], finished: Collection[str], rows: int) -> Iterator[KeyRange]:
    """The chunks between these bounds that aren't finished; `rows` are the table's, an estimate."""
    edges: list[Bound | None] = [None, *bounds, None]
    share = rows // (len(edges) - 1)
    for number in range(len(edges) - 1):
        if str(number) not in finished:
            yield KeyRange(str(number), edges[number], edges[number + 1], share)


def condition(columns: Sequence[KeyColumn], lower: Bound | None, upper: Bound | None) -> str:
    """What the rows of a chunk have in common; `true` for all. Written out, because a comparison of row
    values uses no index.
    """
    if lower and upper and lower[0] == upper[0]:
        equal = columns[0].equal(lower[0])
        # A bound with fewer values stands behind all rows that begin with them.
        rest = condition(columns[1:], lower[1:], upper[1:] or None) if len(lower) > 1 else "false"
        return f"{equal} and {rest}"
    parts = []
    if lower:
        parts.append(_beyond(columns, lower))
    if upper:
        above_zero = lower is not None and columns[0].kind == "enum" and int(lower[0]) > 0
        parts.append(_not_beyond(columns, upper, is_above_zero=above_zero))
    return " and ".join(parts) or "true"


def _beyond(columns: Sequence[KeyColumn], bound: Bound) -> str:
    """(a, b, …) > bound."""
    text = ""
    for column, value in reversed(list(zip(columns, bound, strict=False))):
        above = column.above(value)
        text = f"({above} or ({column.equal(value)} and {text}))" if text else above
    return text


def _not_beyond(columns: Sequence[KeyColumn], bound: Bound, *, is_above_zero: bool) -> str:
    """(a, b, …) <= bound; `is_above_zero` is about the first column."""
    text = ""
    for i in reversed(range(len(bound))):
        column, value = columns[i], bound[i]
        below, equal = column.below(value, is_above_zero=is_above_zero and i == 0), column.equal(value)
        text = f"({below} or ({equal} and {text}))" if text else f"({below} or {equal})"
    return text
