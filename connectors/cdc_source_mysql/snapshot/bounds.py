"""Finds the bounds of a table's chunks: by the server's estimates where the key begins with whole numbers, by
walking the index otherwise.

Bounds are only a way to share out the work: wherever they lie, and whatever the table does meanwhile, the
chunks between them hold every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.snapshot.chunks import Bound, KeyColumn, condition
from cdc_source_mysql.statements import quoted
from cdc_source_mysql.wire.results import comes_as_text

_INDEXES = """
    select index_name, column_name, sub_part from information_schema.statistics
     where table_schema = %s and table_name = %s and non_unique = 0
     order by index_name <> 'PRIMARY', index_name, seq_in_index
"""
_PRIMARY = "PRIMARY"
_INTEGERS = frozenset({"int8", "int16", "int24", "int32", "int64"})
# A year as a number of two digits would be another year.
_QUOTED = frozenset({"year", "date", "datetime", "timestamp", "time", "uuid", "inet4", "inet6"})
# Texts whose whole value can be in an index.
_TEXTS = ("char", "varchar")
_BINARIES = ("binary", "varbinary")


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
    if plan.kind in _QUOTED:
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
        # MySQL does not look into an index that it is told to use, unless there is something to be counted.
        self._cursor.execute(f"{self._explain} select count(*) from {self._index.from_clause} where {where}")
        names = [description[0].lower() for description in self._cursor.description]
        return int(self._cursor.fetchone()[names.index("rows")] or 0)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
