"""The generated columns that a server leaves out of its binlog, and so the copies leave out too.

From version 11 on the UPDATE and DELETE events of MariaDB lack all generated
columns, VIRTUAL and STORED, with full row images too; 10.11 and MySQL send them. Nothing shows what they hold
after such an update, so there they are no part of the table: not in its schema, not in a snapshot's rows, and
where an event has them they are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from cdc.model import TableId
from cdc.model.batch import Envelope
from cdc_source_mysql.connection import ServerFacts
from cdc_source_mysql.schema.definitions import HASH_PREFIX, TableDefinition
from cdc_source_mysql.schema.type_plan import ColumnPlan, plan_table

# Measured: 10.11 sends them, 11.8 doesn't.
WITHOUT_GENERATED_SINCE = (11,)
# The memory of a source whose copies lack generated columns: a server that sends them has them copied again.
MEMORY_GENERATED = "generated"
_OMITTED = "left out"


class _Told(Protocol):
    """What is known of a server."""

    @property
    def is_mariadb(self) -> bool: ...

    @property
    def version(self) -> tuple[int, int, int]: ...


def leaves_generated_out(server: _Told) -> bool:
    return server.is_mariadb and server.version >= WITHOUT_GENERATED_SINCE


def planned(definition: TableDefinition, facts: ServerFacts, unrepresentable: str) -> tuple[ColumnPlan, ...]:
    """The plans of all columns, for a snapshot."""
    leaves_out = leaves_generated_out(facts)
    return plan_table(definition, None, facts.flavour, unrepresentable, leaves_generated_out=leaves_out)


def delivered(plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    """The columns that the table's schema has."""
    return tuple(plan for plan in plans if not plan.omitted)


def remembered(memory: Mapping[str, str], facts: ServerFacts) -> dict[str, str | None]:
    """What a stream that begins on this server is to keep."""
    if leaves_generated_out(facts) == (MEMORY_GENERATED in memory):
        return {}
    return {MEMORY_GENERATED: None if MEMORY_GENERATED in memory else _OMITTED}


def sent_again(kept: Mapping[str, str | None]) -> str:
    """Why all is to be copied again, when `remembered` gave this; '' when it isn't."""
    if kept.get(MEMORY_GENERATED, _OMITTED) is not None:
        return ""
    return "this server sends generated columns, which the copies lack"


def without_omitted(record: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
    """A decoder's batch without these columns, in its rows and in the old images."""
    if not names:
        return record
    kept = [name for name in record.schema.names if name not in names]
    arrays = [record.column(name) for name in kept]
    if Envelope.BEFORE in kept:
        at = kept.index(Envelope.BEFORE)
        arrays[at] = _narrowed(arrays[at], names)
    return pa.RecordBatch.from_arrays(arrays, names=kept)


def _narrowed(before: pa.StructArray, names: Collection[str]) -> pa.StructArray:
    fields = [field for field in before.type if field.name not in names]
    if not fields:
        buffer = before.is_valid().buffers()[1] if before.null_count else None
        return pa.Array.from_buffers(pa.struct([]), len(before), [buffer])
    return pa.StructArray.from_arrays(
        [before.field(field.name) for field in fields], fields=fields, mask=before.is_null()
    )


class Tells:
    """Says once per table, and again when the columns change, that its generated columns are left out."""

    def __init__(self, log: Callable[..., None]) -> None:
        self._log = log
        self._told: dict[TableId, tuple[str, ...]] = {}

    def tell(self, table: TableId, plans: Sequence[ColumnPlan]) -> None:
        names = tuple(plan.name for plan in plans if plan.omitted and not plan.name.startswith(HASH_PREFIX))
        if names and self._told.get(table) != names:
            self._told[table] = names
            self._log(
                "generated columns are not copied: the updates in the binary log omit them",
                level="warning",
                table=str(table),
                columns=", ".join(names),
            )
