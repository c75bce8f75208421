"""The tables of one stream session: what each Relation message means, given what the catalog still knows.

A Relation message says how rows look from now on, as they looked when they were written; the catalog says how
the table looks today. Names, types, order and key come from the message, column numbers and fills from the
catalog, matched by name and, where that fails, by place: the message lists columns in the order of their
numbers. A dropped table is decoded from the message alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cdc.model import TableId
from connectors.postgres import messages
from connectors.postgres.shapes import UNKNOWN_ATTNUM, Shape, Shaper
from connectors.postgres.tables import TABLE, ColumnInfo, Leaf, Relation, TableInfo


@dataclass(frozen=True, slots=True)
class _Gap:
    """Message columns without a match by name, between two that have one (or at an end)."""

    first: int
    count: int
    above: int
    below: int | None


def table_of(relation: messages.Relation) -> TableId:
    return TableId(relation.namespace, relation.name)


def shape_of_message(
    relation: messages.Relation, known: TableInfo | None, last: TableInfo | None, shaper: Shaper
) -> Shape:
    """The shape of rows that follow this message; `known` is what the catalog has of the relation now, `last`
    what the message before this one gave.
    """
    numbers = _numbers(relation, known, last)
    known = known or last
    by_number = {column.attnum: column for column in known.columns} if known else {}
    columns = tuple(
        _column(column, number, by_number.get(number))
        for column, number in zip(relation.columns, numbers, strict=True)
    )
    flagged = tuple(c.name for c in relation.columns if c.flags) if relation.replident in "di" else ()
    info = replace(
        known or _unknown_table(relation),
        relation=_relation(relation, known),
        columns=columns,
        pk=_primary_key(known, columns),
        identity_columns=flagged,
    )
    return shaper.shape(info, {column.name for column in columns})


def _column(column: messages.RelationColumn, number: int, known: ColumnInfo | None) -> ColumnInfo:
    same_type = known is not None and known.type_oid == column.type_oid
    return ColumnInfo(
        name=column.name,
        attnum=number,
        type_oid=column.type_oid,
        typmod=column.typmod,
        ndims=known.ndims if known is not None and same_type else 0,
        not_null=known is not None and known.not_null,
        generated="",
        # The fill is of the type that the column has now.
        has_missing=known is not None and same_type and known.has_missing,
        missing_text=known.missing_text if known is not None and same_type else None,
        default_volatile=False,
    )


def _relation(relation: messages.Relation, known: TableInfo | None) -> Relation:
    base = known.relation if known else _unknown_table(relation).relation
    return replace(base, table=table_of(relation), replica_identity=relation.replident)


def _unknown_table(relation: messages.Relation) -> TableInfo:
    found = Relation(
        relid=relation.relid,
        table=table_of(relation),
        kind=TABLE,
        persistence="p",
        replica_identity=relation.replident,
        filenode=0,
        estimated_rows=0,
        pages=0,
        row_security=False,
        forced_row_security=False,
        owner=0,
        parent=0,
        of_extension=False,
    )
    leaf = Leaf(found.relid, found.table, 0, 0, relation.replident, has_identity=True)
    return TableInfo(found, (), (), (), (leaf,))


def _primary_key(known: TableInfo | None, columns: Sequence[ColumnInfo]) -> tuple[str, ...]:
    """The catalog's primary key under the message's names; empty when a column of it is not sent."""
    if known is None:
        return ()
    numbers = {column.attnum for column in known.columns if column.name in known.pk}
    names = tuple(column.name for column in columns if column.attnum in numbers)
    return names if len(names) == len(known.pk) else ()


def _numbers(relation: messages.Relation, known: TableInfo | None, last: TableInfo | None) -> list[int]:
    """Attnum of each message column; UNKNOWN_ATTNUM where neither the catalog nor the last message tells."""
    by_name = {column.name: column.attnum for info in (last, known) if info for column in info.columns}
    numbers = [by_name.get(column.name, UNKNOWN_ATTNUM) for column in relation.columns]
    if not _increasing(numbers):
        # Names changed places since: what is left is the order, where the columns are as many and of the same
        # types.
        return _by_place(relation, known)
    if known is not None:
        for gap in _gaps(numbers):
            _fill_gap(gap, numbers, relation, known)
    return numbers


def _increasing(numbers: Sequence[int]) -> bool:
    found = [number for number in numbers if number != UNKNOWN_ATTNUM]
    return all(a < b for a, b in pairwise(found))


def _by_place(relation: messages.Relation, known: TableInfo | None) -> list[int]:
    columns = [column for column in known.columns if not column.generated] if known else []
    if [c.type_oid for c in columns] == [c.type_oid for c in relation.columns]:
        return [column.attnum for column in columns]
    return [UNKNOWN_ATTNUM] * len(relation.columns)


def _gaps(numbers: Sequence[int]) -> list[_Gap]:
    gaps, at = [], 0
    while at < len(numbers):
        if numbers[at] != UNKNOWN_ATTNUM:
            at += 1
            continue
        end = at
        while end < len(numbers) and numbers[end] == UNKNOWN_ATTNUM:
            end += 1
        gaps.append(
            _Gap(at, end - at, numbers[at - 1] if at else 0, numbers[end] if end < len(numbers) else None)
        )
        at = end
    return gaps


def _fill_gap(gap: _Gap, numbers: list[int], relation: messages.Relation, known: TableInfo) -> None:
    """Between two known columns the numbers are certain when there are exactly as many as columns; at the end
    renamed columns are taken for the catalog's unmatched ones of the same type, in order.
    """
    if gap.below is not None and gap.below - gap.above - 1 == gap.count:
        numbers[gap.first : gap.first + gap.count] = range(gap.above + 1, gap.below)
        return
    names = {column.name for column in relation.columns}
    waiting = [
        c
        for c in known.columns
        if c.name not in names and c.attnum > gap.above and (gap.below is None or c.attnum < gap.below)
    ]
    for at in range(gap.first, gap.first + gap.count):
        while waiting:
            candidate = waiting.pop(0)
            if candidate.type_oid == relation.columns[at].type_oid:
                numbers[at] = candidate.attnum
                break
