"""Gives the columns of a Relation message their numbers, from the definitions of its table around its place.

A Relation message has names, types and order, as they were when the rows were written, and no numbers. Pure
functions; None means that the definitions do not prove it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from cdc.model import TableId
from cdc_source_postgres.schema.catalog import missing_element
from cdc_source_postgres.schema.definition import ColumnDefinition, Definition, Key, Sent
from cdc_source_postgres.schema.shapes import UNKNOWN_ATTNUM, Shape, Shaper
from cdc_source_postgres.schema.steps import Reading, same_values
from cdc_source_postgres.schema.tables import TABLE, CatalogRelation, ColumnInfo, TableInfo
from cdc_source_postgres.wire.messages import Relation as Message
from cdc_source_postgres.wire.messages import RelationColumn

Numbers = list[int]


def table_of(message: Message) -> TableId:
    return TableId(message.namespace, message.name)


def sent_columns(definition: Definition, sent: Sent | None) -> tuple[ColumnDefinition, ...] | None:
    """The columns that the stream has of a table; None when a list by other numbers (of a table that this one
    is a partition of) decides.
    """
    members = sent.members if sent else {}
    listed = members.get(str(definition.relid))
    if listed is not None and listed.columns is not None:
        numbers = {int(number) for number in re.findall(r"\d+", listed.columns)}
        return tuple(column for column in definition.columns if column.number in numbers)
    if any(member.columns is not None for member in members.values()):
        return None
    generated = ("", "s") if sent is not None and sent.generated == "s" else ("",)
    return tuple(column for column in definition.columns if column.generated in generated)


def exact(message: Message, definition: Definition, sent: Sent | None) -> Numbers | None:
    """The numbers when the message shows the table exactly as the definition has it."""
    expected = sent_columns(definition, sent)
    if expected is None:
        by_name = {column.name: column for column in definition.columns}
        found = [by_name.get(column.name) for column in message.columns]
        expected = tuple(column for column in found if column is not None)
        if not _is_increasing([column.number for column in expected]):
            return None
    if len(expected) != len(message.columns):
        return None
    for column, shown in zip(expected, message.columns, strict=True):
        if (column.name, column.type_oid, column.typmod) != (shown.name, shown.type_oid, shown.typmod):
            return None
    return [column.number for column in expected]


def as_message(definition: Definition, sent: Sent | None) -> Message | None:
    """The Relation message that the next row of the table would come with; None where only the row tells."""
    columns = sent_columns(definition, sent)
    if columns is None or sent is None or not sent.is_sent:
        return None
    identity = definition.identity_columns
    shown = tuple(RelationColumn(int(c.number in identity), c.name, c.type_oid, c.typmod) for c in columns)
    return Message(definition.relid, definition.schema, definition.name, definition.identity, shown)


def between(
    message: Message, before: Definition, after: Definition, sent: Sent | None, reading: Reading
) -> Numbers | None:
    """The numbers of a message that came between two definitions whose step is harmless."""
    first, last = sent_columns(before, sent), sent_columns(after, sent)
    if first is None or last is None:
        return exact(message, before, sent) or exact(message, after, sent)
    if reading is Reading.BY_NAME:
        return _by_name(message, first)
    return _by_place(message, first, last)


def _by_name(message: Message, first: Sequence[ColumnDefinition]) -> Numbers | None:
    """Nothing was renamed or added between: a name is the column that had it."""
    by_name = {column.name: column for column in first}
    found = [by_name.get(shown.name) for shown in message.columns]
    columns = [column for column in found if column is not None]
    numbers = [column.number for column in columns]
    is_whole = len(columns) == len(found) and _is_increasing(numbers)
    fits = all(_fits(shown, column) for shown, column in zip(message.columns, columns, strict=False))
    return numbers if is_whole and fits else None


def _by_place(
    message: Message, first: Sequence[ColumnDefinition], last: Sequence[ColumnDefinition]
) -> Numbers | None:
    """Nothing was dropped of `first`: its columns come first, in their order, and then those that were
    appended. When `last` has none of those, they were dropped again and keep no number.
    """
    columns = list(last) if len(last) > len(first) else list(first)
    extra = len(message.columns) - len(columns)
    if len(message.columns) < len(first) or (extra > 0 and len(last) > len(first)):
        return None
    shown = message.columns[: len(columns)]
    if not all(_fits(a, b) for a, b in zip(shown, columns, strict=False)):
        return None
    numbers = [column.number for column in columns[: len(shown)]]
    return numbers + [UNKNOWN_ATTNUM] * max(extra, 0)


def as_good_as_possible(message: Message, definition: Definition | None) -> Numbers:
    """Numbers by name and type, for rows that are copied again anyway: no mapping can make them wrong."""
    by_name = {column.name: column for column in definition.columns} if definition else {}
    numbers = []
    for shown in message.columns:
        column = by_name.get(shown.name)
        fits = column is not None and column.type_oid == shown.type_oid
        numbers.append(column.number if column is not None and fits else UNKNOWN_ATTNUM)
    known = [number for number in numbers if number != UNKNOWN_ATTNUM]
    return numbers if _is_increasing(known) else [UNKNOWN_ATTNUM] * len(numbers)


def shape_of_message(
    message: Message, numbers: Sequence[int], around: Sequence[Definition], shaper: Shaper
) -> Shape:
    """The shape of rows that follow this message; `around` are the definitions before and after it."""
    known = {column.number: column for definition in around for column in definition.columns}
    columns = tuple(
        _column(shown, number, known.get(number))
        for shown, number in zip(message.columns, numbers, strict=True)
    )
    key = _common_key(around)
    by_number = {column.attnum: column.name for column in columns}
    flagged = tuple(c.name for c in message.columns if c.flags) if message.replident in "di" else ()
    keyed = key is not None and set(key.columns) <= by_number.keys()
    info = TableInfo(
        relation=_relation(message, around),
        columns=columns,
        pk=tuple(c.name for c in columns if key is not None and keyed and c.attnum in key.columns),
        pk_is_immediate=key is None or key.is_immediate,
        identity_columns=flagged,
        leaves=(),
    )
    return shaper.shape(info, {column.name for column in columns})


def _column(shown: RelationColumn, number: int, known: ColumnDefinition | None) -> ColumnInfo:
    # The fill is of the type that the column has in its definition.
    same = known if known is not None and known.type_oid == shown.type_oid else None
    missing = same.missing if same else None
    return ColumnInfo(
        name=shown.name,
        attnum=number,
        type_oid=shown.type_oid,
        typmod=shown.typmod,
        ndims=same.ndims if same else 0,
        not_null=known is not None and known.not_null,
        generated="",
        has_missing=missing is not None,
        missing_text=missing_element(missing) if missing is not None else None,
        default_volatile=False,
    )


def _common_key(around: Sequence[Definition]) -> Key | None:
    """The primary key, where it was the same all the time between: without it, all columns identify a row."""
    keys = [definition.primary_key for definition in around]
    if not keys or any(key != keys[0] for key in keys):
        return None
    return keys[0]


def _relation(message: Message, around: Sequence[Definition]) -> CatalogRelation:
    last = around[-1] if around else None
    base = CatalogRelation(
        relid=message.relid,
        table=table_of(message),
        kind=last.kind if last else TABLE,
        persistence="p",
        replica_identity=message.replident,
        filenode=0,
        estimated_rows=0,
        pages=0,
        row_security=False,
        forced_row_security=False,
        owner=0,
        parent=0,
        of_extension=False,
    )
    return replace(base, parent=last.ancestors[0]) if last and last.ancestors else base


def _fits(shown: RelationColumn, column: ColumnDefinition) -> bool:
    """Return whether a column of that type can have been shown so, without a rewrite between."""
    return same_values((shown.type_oid, shown.typmod), (column.type_oid, column.typmod))


def _is_increasing(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(numbers))
