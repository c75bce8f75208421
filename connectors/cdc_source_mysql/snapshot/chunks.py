"""How a table is cut into chunks of its key, and what lets a later process continue after the finished
ones.

Bounds are values of the key's first columns, as the server orders them; it alone compares. They come from
the server's estimates where the key begins with whole numbers, and from walking the index otherwise. A
chunk is the rows above one bound and not above the next; the first has no lower and the last no upper
bound, so every row lies in a chunk whenever it comes. Bounds only share out the work: wherever they lie,
and whatever the table does meanwhile, the chunks between them hold every row. A row that is read in a
finished chunk, and all changes since the position before which it was read, give the row as it is now: a
later process needs only the same bounds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_source_mysql.options import Limits
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.statements import quoted
from cdc_source_mysql.wire.decoder import comes_as_text

# A table has no more chunks than this: its token holds a bound of each. They are larger then than the limits
# say.
MAX_CHUNKS = 4_000
# What a row takes where the server has no estimate.
ROW_BYTES = 200

Bound = tuple[str, ...]

_INTEGER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?")
_HEX = re.compile(r"([0-9A-Fa-f]{2})*")
# Dates, times, uuids, addresses.
_QUOTED = re.compile(r"[0-9A-Fa-f:. -]+")
_PATTERNS = {
    "int": _INTEGER,
    "decimal": _DECIMAL,
    "quoted": _QUOTED,
    "text": _HEX,
    "binary": _HEX,
    "enum": _INTEGER,
}
_INDEXES = """
    select index_name, column_name, sub_part from information_schema.statistics
     where table_schema = %s and table_name = %s and non_unique = 0
     order by index_name <> 'PRIMARY', index_name, seq_in_index
"""
_PRIMARY = "PRIMARY"
_INTEGERS = frozenset({"int8", "int16", "int24", "int32", "int64"})
# A year as a number of two digits would be another year.
_QUOTED_KINDS = frozenset({"year", "date", "datetime", "timestamp", "time", "uuid", "inet4", "inet6"})
# Texts whose whole value can be in an index.
_TEXTS = ("char", "varchar")
_BINARIES = ("binary", "varbinary")


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
        """Return the expression that selects a bound's text."""
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


@dataclass(frozen=True, slots=True)
class KeyRange:
    """One chunk: lower < key ≤ upper. Bounds may have fewer values than the key has columns."""

    id: str
    lower: Bound | None
    upper: Bound | None
    rows: int = 0


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """Token by which a later process continues: the rows that the finished chunks' ids cover. `shape` is of
    the columns as they were read.
    """

    shape: str
    bounds: tuple[Bound, ...]

    def text(self) -> str:
        return json.dumps({"shape": self.shape, "bounds": self.bounds})

    @classmethod
    def parse(cls, text: str) -> ResumeToken:
        values = json.loads(text)
        return cls(values["shape"], tuple(tuple(bound) for bound in values["bounds"]))


def chunk_rows(rows: int, data_bytes: int, limits: Limits) -> int:
    """How many rows a chunk should have."""
    width = data_bytes / rows if rows and data_bytes else ROW_BYTES
    wanted = max(limits.min_chunk_rows, limits.chunk_bytes // max(width, 1))
    return max(int(min(limits.max_chunk_rows, wanted)), rows // MAX_CHUNKS)


def ranges(bounds: Sequence[Bound], finished: Collection[str], rows: int) -> Iterator[KeyRange]:
    """The chunks between these bounds that aren't finished; `rows` are the table's, an estimate."""
    edges: list[Bound | None] = [None, *bounds, None]
    share = rows // (len(edges) - 1)
    for number in range(len(edges) - 1):
        if str(number) not in finished:
            yield KeyRange(str(number), edges[number], edges[number + 1], share)


def condition(columns: Sequence[KeyColumn], lower: Bound | None, upper: Bound | None) -> str:
    """Return the condition that the rows of a chunk fulfil; `true` for all rows. Written out, because a
    comparison of row values uses no index.
    """
    if lower and upper and lower[0] == upper[0]:
        equal = columns[0].equal(lower[0])
        # A bound with fewer values sorts after all rows that begin with them.
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


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """The columns of the key that chunks are cut by, and the table with the hint that makes use of them."""

    columns: tuple[KeyColumn, ...]
    from_clause: str


def key_index(cursor: Any, definition: TableDefinition, plans: Sequence[ColumnPlan]) -> KeyIndex:
    """The longest beginning of the key that the server compares as it orders; no columns: one chunk."""
    table = definition.table
    name = f"{quoted(table.schema)}.{quoted(table.name)}"
    indexes: dict[str, list[tuple[str, int | None]]] = {}
    cursor.execute(_INDEXES, (table.schema, table.name))
    for index, column, sub_part in cursor.fetchall():
        indexes.setdefault(index, []).append((column, sub_part))
    found = next((n for n, parts in indexes.items() if tuple(c for c, _ in parts) == definition.key), None)
    if found is None:
        return KeyIndex((), name)
    by_name = {plan.name: plan for plan in plans}
    columns: list[KeyColumn] = []
    for column, sub_part in indexes[found]:
        usable = None if sub_part else _key_column(cursor, definition, by_name[column])
        if usable is None:
            break
        columns.append(usable)
    # The primary key is the table itself; other indexes may be hidden from statements.
    hint = f" force index ({quoted(_PRIMARY)})" if found == _PRIMARY else ""
    return KeyIndex(tuple(columns), name + hint)


def find_bounds(cursor: Any, index: KeyIndex, rows_per_chunk: int, flavour: str) -> tuple[Bound, ...]:
    """Bounds in ascending order, some `rows_per_chunk` rows apart."""
    if not index.columns:
        return ()
    search = _Search(cursor, index, rows_per_chunk, flavour)
    if index.columns[0].kind == "int":
        return tuple(search.halve())
    return tuple(search.walk(None, None))


def _key_column(cursor: Any, definition: TableDefinition, plan: ColumnPlan) -> KeyColumn | None:
    column = definition.column(plan.name)
    base = column.column_type.partition("(")[0].partition(" ")[0]
    if plan.kind in _INTEGERS:
        return KeyColumn(plan.name, "int")
    if plan.kind == "decimal":
        return KeyColumn(plan.name, "decimal")
    if plan.kind in _QUOTED_KINDS:
        return KeyColumn(plan.name, "quoted")
    if base in _TEXTS and column.charset:
        return KeyColumn(plan.name, "text", charset=column.charset)
    if base in _BINARIES:
        return KeyColumn(plan.name, "binary")
    if plan.kind == "enum" and column.charset and column.collation:
        return _enum_column(cursor, plan, column.charset, column.collation)
    return None


def _enum_column(cursor: Any, plan: ColumnPlan, charset: str, collation: str) -> KeyColumn | None:
    """None when a label does not say which number is meant: two are equal to the server, one is empty as the
    number 0 is, or one may be another text than the catalog shows.
    """
    if comes_as_text(plan):
        return None
    literals = tuple(f"_utf8mb4 x'{label.encode().hex()}'" for label in plan.labels)
    each = " union all ".join(
        f"select convert({text} using {charset}) collate {collation} as label"
        for text in ("_utf8mb4 ''", *literals)
    )
    cursor.execute(f"select count(distinct label) from ({each}) as labels")
    is_clear = cursor.fetchone()[0] == len(literals) + 1
    return KeyColumn(plan.name, "enum", labels=literals) if is_clear else None


class _Search:
    """Asks the server about one table."""

    def __init__(self, cursor: Any, index: KeyIndex, rows_per_chunk: int, flavour: str) -> None:
        self._cursor = cursor
        self._index = index
        self._rows = rows_per_chunk
        self._explain = "explain" if flavour == "mariadb" else "explain format=traditional"

    def walk(self, lower: Bound | None, upper: Bound | None) -> Iterator[Bound]:
        """Every so-many-th key between the bounds, by passing over the index."""
        columns = self._index.columns
        selected = ", ".join(column.selected for column in columns)
        order = ", ".join(quoted(column.name) for column in columns)
        while True:
            self._cursor.execute(
                f"select {selected} from {self._index.from_clause}"
                f" where {condition(columns, lower, upper)} order by {order} limit 1 offset {self._rows}"
            )
            row = self._cursor.fetchone()
            if row is None:
                return
            lower = tuple(_text(value) for value in row)
            yield lower

    def halve(self) -> Iterator[Bound]:
        """Halves the range of the first column until the server expects few enough rows in a part; small
        neighbours are joined again.
        """
        name = quoted(self._index.columns[0].name)
        self._cursor.execute(f"select min({name}), max({name}) from {self._index.from_clause}")
        first, last = self._cursor.fetchone()
        if first is None:
            return
        if self._expected(int(first) - 1, int(last)) <= self._rows:
            # A small table, or one that was filled so lately that the server has not noticed.
            yield from self.walk(None, None)
            return
        rows = 0
        for lower, upper, expected in self._parts(int(first) - 1, int(last)):
            if rows and rows + expected > self._rows:
                yield (str(lower),)
                rows = 0
            rows += expected
            if upper - lower == 1 and len(self._index.columns) > 1 and expected > self._rows:
                yield from self.walk((str(lower),), (str(upper),))

    def _parts(self, lower: int, upper: int) -> Iterator[tuple[int, int, int]]:
        """Parts lower < key ≤ upper with the rows expected in them, ascending."""
        todo = [(lower, upper)]
        while todo:
            lower, upper = todo.pop()
            expected = self._expected(lower, upper)
            if expected <= self._rows or upper - lower == 1:
                yield lower, upper, expected
            else:
                middle = (lower + upper) // 2
                todo += [(middle, upper), (lower, middle)]

    def _expected(self, lower: int, upper: int) -> int:
        where = condition(self._index.columns, (str(lower),), (str(upper),))
        # MySQL does not look into an index that a hint names, unless there is something to be counted.
        self._cursor.execute(f"{self._explain} select count(*) from {self._index.from_clause} where {where}")
        names = [description[0].lower() for description in self._cursor.description]
        return int(self._cursor.fetchone()[names.index("rows")] or 0)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
