"""The changes of one table within one delivery: rows and deletes are written to files, and one commit makes
them part of the table, with the offset that the table has reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, GreaterThanOrEqual, LessThanOrEqual
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import DataScan, FileScanTask, Table
from pyiceberg.table.update import AddSchemaUpdate, SetCurrentSchemaUpdate

from cdc.deferred import compute as pc
from cdc.errors import SinkRefused
from cdc.model import TableSchema
from cdc_sink_iceberg.columns import ColumnIds, evolved, ids_by_name
from cdc_sink_iceberg.commit import MAIN_BRANCH, Content, TableCommit
from cdc_sink_iceberg.files import Positions, TableFiles
from cdc_sink_iceberg.types import arrow_schema, converted

# Rows of a copy that is not finished.
COPY_BRANCH = "cdc_copy"
# Properties of a table.
SOURCE, RELATION, NEXT = "cdc.source", "cdc.relation", "cdc.next"
COLUMNS, COPY_SCHEMA = "cdc.columns", "cdc.copy-schema"
EPOCH, LOG = "cdc.epoch", "cdc.log"
_NONE = ""


@dataclass(slots=True)
class Stored:
    """Stored rows of a file, by position, each with the number of the wanted row that it belongs to."""

    file: DataFile
    positions: Positions
    wanted: Positions


class Work:
    """The changes that one delivery makes to a table. The owner calls `commit` or `discard`."""

    def __init__(self, table: Table, files: TableFiles, mode: str) -> None:
        self.files = files
        self.mode = mode
        self._commit = TableCommit(table)
        self._content = Content()
        self._written: list[DataFile] = []
        self._dead: dict[str, tuple[DataFile, list[Positions]]] = {}
        self._properties: dict[str, str] = {}
        self._ids: dict[str, ColumnIds] = {}
        self._shape: TableSchema | None = None
        self._is_copying = COPY_BRANCH in table.metadata.refs
        self._schema = self._stored_schema()

    @property
    def table(self) -> Table:
        return self._commit.table

    @property
    def properties(self) -> Mapping[str, str]:
        """The table's properties after this delivery."""
        return {**self._commit.metadata.properties, **self._properties}

    @property
    def next(self) -> int:
        """The offset below which the table has all changes."""
        return int(self.table.metadata.properties.get(NEXT, 0))

    @property
    def schema(self) -> Schema:
        return self._schema

    @property
    def _branch(self) -> str:
        return COPY_BRANCH if self._is_copying else MAIN_BRANCH

    @property
    def is_empty(self) -> bool:
        """Whether there is no row where the next ones are written to."""
        base = self._commit.metadata.snapshot_by_name(self._branch)
        has_base = base is not None and (base.summary or {}).get("total-data-files") != "0"
        return not (self._content.added or (has_base and not self._content.cleared))

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set properties of the table, with the commit."""
        self._properties.update(properties)

    def _stored_schema(self) -> Schema:
        metadata = self.table.metadata
        number = metadata.properties.get(COPY_SCHEMA, _NONE)
        if self._is_copying and number:
            return metadata.schema_by_id(int(number)) or metadata.schema()
        return metadata.schema()

    def follow(self, schema: TableSchema) -> frozenset[int]:
        """Take over the source's columns; return the ids of columns that stored rows do not have."""
        if self._shape is not None and self._shape.covers(schema):
            return frozenset()
        metadata = self._commit.metadata
        old = self._schema
        made, ids, new = evolved(
            old,
            self._known_ids(schema),
            schema,
            self.mode,
            metadata.last_column_id,
            kept={field.source_id for spec in metadata.partition_specs for field in spec.fields},
            may_replace=self.is_empty,
        )
        self._shape = schema
        if made.fields == old.fields:
            return frozenset()
        was_empty = self.is_empty
        self._snapshot()
        number = max(one.schema_id for one in metadata.schemas) + 1
        self._schema = made.model_copy(update={"schema_id": number})
        self._commit.require_schema()
        self._commit.stage(AddSchemaUpdate(schema=self._schema))
        if self._is_copying:
            self.set_properties({COPY_SCHEMA: str(number)})
        else:
            self._commit.stage(SetCurrentSchemaUpdate(schema_id=number))
        self.set_properties({COLUMNS: ids.to_json()})
        return frozenset() if was_empty else new

    def _known_ids(self, schema: TableSchema) -> ColumnIds:
        """The ids of columns; by name, where the numbers are those of another table, or not known."""
        text, relation = self.properties.get(COLUMNS), self.properties.get(RELATION)
        if text and relation == str(schema.relation):
            return ColumnIds.from_json(text)
        return ids_by_name(self._schema, schema)

    def staged(self, rows: pa.Table) -> pa.Table:
        """Return rows with all columns of the table, in its types."""
        target = arrow_schema(self._schema)
        columns = [
            converted(rows[field.name], field.type)
            if field.name in rows.column_names
            else pa.nulls(len(rows), field.type)
            for field in target
        ]
        return pa.Table.from_arrays(columns, schema=target)

    def add(self, rows: pa.Table) -> None:
        """Write rows, which have all columns (`staged`)."""
        if len(rows) == 0:
            return
        made = self.files.write(rows, self._commit.metadata, self._schema)
        self._written += made
        self._content.added += made

    def clear(self) -> None:
        """Remove all rows."""
        self._forget()
        self._content.cleared = self._branch in self._commit.metadata.refs

    def _forget(self) -> None:
        self.files.delete(self._content.added)
        self._content = Content()
        self._dead = {}

    def live(self, bounds: pa.Table | None = None) -> Iterator[tuple[DataFile, Positions]]:
        """Yield the files that may have rows with values between the bounds, and their dead positions."""
        metadata = self._commit.metadata
        base = metadata.snapshot_by_name(self._branch)
        if base is not None and not self._content.cleared:
            # By the names that the columns have now.
            current = metadata.model_copy(update={"current_schema_id": self._schema.schema_id})
            scan = DataScan(current, self.table.io, _filter(bounds), snapshot_id=base.snapshot_id)
            for task in planned(scan, self.table):
                yield (
                    task.file,
                    self._dead_in(task.file, self.files.dead(task.delete_files, task.file.file_path)),
                )
        for file in self._content.added:
            yield file, self._dead_in(file, np.zeros(0, np.int64))

    def _dead_in(self, file: DataFile, known: Positions) -> Positions:
        more = self._dead.get(file.file_path)
        return known if more is None else np.unique(np.concatenate([known, *more[1]]))

    def bury(self, file: DataFile, positions: Positions) -> None:
        """Delete rows of a file."""
        if len(positions):
            self._dead.setdefault(file.file_path, (file, []))[1].append(positions)

    def begin_copy(self) -> None:
        """Write what follows beside the rows that readers see, from nothing. An unfinished copy is void."""
        metadata = self._commit.metadata
        if self._is_copying:
            self._forget()
            self._content.cleared = COPY_BRANCH in metadata.refs
        else:
            self._snapshot()
            if MAIN_BRANCH not in self._commit.metadata.refs:
                return
            self._is_copying = True
            self._commit.add_snapshot(COPY_BRANCH, Content(), {}, self._schema)
        self._shape = None

    def finish_copy(self) -> None:
        """Show the copy in place of the rows before it."""
        if not self._is_copying:
            return
        self._snapshot()
        made = self._commit.metadata.snapshot_by_name(COPY_BRANCH)
        assert made is not None
        if self._schema.schema_id != self._commit.metadata.current_schema_id:
            self._commit.require_schema()
            self._commit.stage(SetCurrentSchemaUpdate(schema_id=self._schema.schema_id))
        self._commit.point(MAIN_BRANCH, made.snapshot_id)
        self.cancel_copy(keeps_schema=True)

    def cancel_copy(self, *, keeps_schema: bool = False) -> None:
        """Forget a copy that is not finished."""
        if not self._is_copying:
            return
        self._forget()
        self._commit.drop_branch(COPY_BRANCH)
        self._is_copying = False
        self._properties[COPY_SCHEMA] = _NONE
        if not keeps_schema:
            self._schema = self._commit.metadata.schema()
        self._shape = None

    def _snapshot(self) -> None:
        """Make a snapshot of what is pending."""
        content, self._content = self._content, Content()
        dead, self._dead = self._dead, {}
        buried = [(file, np.unique(np.concatenate(positions))) for file, positions in dead.values()]
        if buried:
            content.deletes = self.files.write_deletes(buried)
            self._written += content.deletes
        if content:
            self._commit.add_snapshot(self._branch, content, self._summary(), self._schema)

    def _summary(self) -> dict[str, str]:
        return {k: v for k, v in self._properties.items() if k in {SOURCE, NEXT, EPOCH, LOG}}

    def commit(self) -> bool:
        """Commit; return whether there was anything."""
        self._snapshot()
        known = self._commit.metadata.properties
        changed = {k: v for k, v in self._properties.items() if known.get(k, _NONE) != v}
        if changed:
            # Of rows that change nothing, only the offset is left: it must not go back behind a successor's.
            self._commit.require(MAIN_BRANCH)
            self._commit.set_properties(changed)
        self._commit.commit()
        return bool(changed)

    def discard(self) -> None:
        """Remove the files of a delivery that is not committed, for sure."""
        self.files.delete(self._written)


def planned(scan: DataScan, table: Table) -> list[FileScanTask]:
    """Return the files of a scan, with their deletes.

    Raises:
        SinkRefused: another writer has deleted rows by their keys, which cannot be followed here.
    """
    try:
        return list(scan.plan_files())
    except ValueError as error:
        raise SinkRefused(
            "another writer has changed the table in a way that cannot be followed (equality deletes)",
            where=".".join(table.name()),
            remedy="Stop that writer, then copy the table: cdc snapshot SOURCE TABLE --sink NAME",
        ) from error


def _filter(bounds: pa.Table | None) -> BooleanExpression:
    """Rows between the smallest and the largest of each column, where Iceberg compares the type."""
    made: BooleanExpression = AlwaysTrue()
    for name in bounds.column_names if bounds is not None and len(bounds) else ():
        assert bounds is not None
        ends = _ends(bounds[name])
        if ends is not None:
            made = And(made, And(GreaterThanOrEqual(name, ends[0]), LessThanOrEqual(name, ends[1])))
    return made


def _ends(column: Any) -> tuple[Any, Any] | None:
    kind = column.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_date(kind)
    ):
        return None
    ends = pc.min_max(column)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return None if low is None or column.null_count else (low, high)
