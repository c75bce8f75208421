"""Tables that the lake cannot store, or whose folder contains other rows too; stored in `cursor.json`, so
that they change with the cursor.

A table that is set aside has all its changes up to an offset and none after it, until it starts over with a
truncate, with which a copy begins. A table that was renamed continues in the folder of its new name, and is
copied again so that this folder contains its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import pyarrow as pa

from cdc.errors import CdcError, SchemaChangeRefused, SinkRefused, UnsupportedSchema
from cdc.lake.columns import file_schema
from cdc.lake.completeness import Aside
from cdc.merge import TableRefused, from_truncate, set_aside_for
from cdc.model import ChangeBatch, CopyStep, TableId, TableSchema
from cdc.spi import SetAside, SinkContext

RENAMED = "TableRenamed"


class Homes(Protocol):
    """Which table of the lake holds the rows of which table of the source."""

    def partition_prefix(self, schema: TableSchema) -> Any:
        """Claim the table. Raise SinkRefused or UnsupportedSchema if the lake cannot have it."""
        ...

    def is_home(self, schema: TableSchema) -> bool:
        """Return whether the table of this name holds the rows of this table; one that is new does."""
        ...

    def adopt(self, schema: TableSchema) -> None:
        """Make the table of this name the only home of this table, which starts over."""
        ...


class Form(Protocol):
    """The types that the files of a lake can hold."""

    @property
    def name(self) -> str:
        """The name for people."""
        ...

    def check(self, schema: pa.Schema) -> None:
        """Raise ArrowException for a schema (of `cdc.lake.columns.file_schema`) that it cannot represent."""
        ...


class LakeShelf:
    """The tables of one source that are set aside, as they are after the changes seen so far.

    `refused` are those that ended an earlier attempt at the delivery that starts at `first`.
    """

    def __init__(
        self,
        entries: Iterable[Aside],
        claims: Homes,
        form: Form,
        refused: Sequence[TableRefused],
        first: int,
    ) -> None:
        self._entries = {entry.details.table: entry for entry in entries}
        self._claims = claims
        self._format = form
        self._refused = {one.schema.table for one in refused}
        self._checked: dict[TableId, TableSchema] = {}
        self.skipped = 0
        for one in refused:
            self._put(one.schema, first, one.error)

    @property
    def entries(self) -> tuple[Aside, ...]:
        return tuple(self._entries[table] for table in sorted(self._entries))

    def admitted(self, batch: ChangeBatch) -> ChangeBatch | None:
        """Return the part of a batch to write: nothing while the table is set aside, until it starts over."""
        entry = self._find(batch.schema)
        if entry is None or not entry.details.skips:
            self._follow_name(batch, entry)
            return batch
        last = batch.last_seq
        if last is not None and last < entry.details.since:
            # A replay of what the lake had of the table.
            return batch
        rest = from_truncate(batch, entry.details.since)
        if (
            rest is not None
            and entry.details.table not in self._refused
            and not refusal(batch.schema, self._claims, self._format)
        ):
            del self._entries[entry.details.table]
            self._claims.adopt(batch.schema)
            return rest
        self.skipped += batch.row_count
        self._recheck(entry, batch.schema)
        return None

    def _follow_name(self, batch: ChangeBatch, entry: Aside | None) -> None:
        """Update the entry of a table that continues in another folder, or that starts over in its own."""
        schema = batch.schema
        is_altered = batch.mark is not None and batch.mark.step is CopyStep.ALTERED
        if not (batch.row_count or is_altered) or schema.relation is None:
            return
        begins = from_truncate(batch, entry.details.since if entry else 0) is not None
        if begins:
            if entry is not None:
                del self._entries[entry.details.table]
            self._claims.adopt(schema)
        elif entry is not None and entry.details.table != schema.table:
            self._move(entry, _renamed(schema, entry.details.since))
        elif entry is None and not self._claims.is_home(schema):
            self._entries[schema.table] = _renamed(schema, batch.first_seq or 0)

    def _find(self, schema: TableSchema) -> Aside | None:
        if schema.relation is not None:
            for one in self._entries.values():
                if one.relation == schema.relation:
                    return one
        found = self._entries.get(schema.table)
        # Another table of the same name is not meant, unless one of the two numbers is unknown.
        return found if found is not None and None in (found.relation, schema.relation) else None

    def _put(self, schema: TableSchema, since: int, error: CdcError) -> None:
        known = self._find(schema)
        if known is None:
            self._entries[schema.table] = _aside(error, schema, since)
            return
        since = min(since, known.details.since)
        self._move(known, _aside(error, schema, since))

    def _recheck(self, entry: Aside, schema: TableSchema) -> None:
        known = self._checked.get(schema.table)
        if (
            entry.details.deliverable
            or entry.details.table in self._refused
            or known is schema
            or known == schema
        ):
            return
        self._checked[schema.table] = schema
        if schema.table != entry.details.table and refusal(schema, self._claims, self._format) is None:
            details = replace(entry.details, table=schema.table, deliverable=True)
            self._move(entry, replace(entry, details=details))

    def _move(self, entry: Aside, moved: Aside) -> None:
        """Put an entry under the new name of its table. One that has that name takes the old one for now:
        they swap names, or its own table's next batch follows.
        """
        old, new = entry.details.table, moved.details.table
        del self._entries[old]
        displaced = self._entries.get(new)
        self._entries[new] = moved
        if displaced is not None:
            self._entries[old] = replace(displaced, details=replace(displaced.details, table=old))


def refusal(schema: TableSchema, claims: Homes, form: Form) -> CdcError | None:
    """Return why the lake cannot store a table with this schema; None if it can."""
    try:
        claims.partition_prefix(schema)
        form.check(file_schema(schema))
    except CdcError as error:
        return error
    except pa.ArrowException:
        return unwritable(schema.table, form)
    return None


def unwritable(table: TableId, form: Form) -> UnsupportedSchema:
    """Return the error for a table with types that the format does not have."""
    remedy = "Exclude the table or the column, and report the column's type."
    return UnsupportedSchema(f"a column cannot be written as {form.name}", where=str(table), remedy=remedy)


@contextmanager
def of_table(schema: TableSchema) -> Iterator[None]:
    """Distinguish an error of one table from an error that stops the sink."""
    try:
        yield
    except (SinkRefused, UnsupportedSchema, SchemaChangeRefused) as error:
        raise TableRefused(schema, error) from error


def report(context: SinkContext, before: Sequence[Aside], after: Sequence[Aside]) -> None:
    """Report to the operator tables that were set aside, and tables that are no longer skipped."""
    known = {entry.details.table: entry.details for entry in before}
    for entry in after:
        details = entry.details
        if details.table not in known:
            context.log(
                "skipping a table until its error is resolved"
                if details.skips
                else "writing a renamed table to another folder",
                level="error" if details.skips else "warning",
                table=str(details.table),
                kind=details.kind,
                error=details.message,
                remedy=details.remedy,
            )
    for table in known.keys() - {entry.details.table for entry in after}:
        context.log("table no longer skipped", table=str(table))


def _aside(error: CdcError, schema: TableSchema, since: int) -> Aside:
    # What only stands in the way of the stored rows ends with them, when the table is copied.
    deliverable = isinstance(error, SchemaChangeRefused)
    return Aside(schema.relation, set_aside_for(error, schema, since, deliverable=deliverable))


def _renamed(schema: TableSchema, since: int) -> Aside:
    message = (
        f"the table was renamed: before offset {since} its folder holds rows of another table, or lacks rows "
        f"that are in the folder of its earlier name. Its number in the source is {schema.relation}"
    )
    remedy = (
        "No action needed: the daemon copies the table again for this lake. Until then, "
        "distinguish rows by `cdc.relation`."
    )
    details = SetAside(schema.table, since, RENAMED, message, remedy, deliverable=True, skips=False)
    return Aside(schema.relation, details)
