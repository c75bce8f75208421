"""The cursor of one source, its fence and the tables that are set aside: a snapshot of a table without rows.

Each change is a snapshot whose parent must be the newest one, so that of two processes only one makes it. It
replaces the snapshot before it: the table keeps one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.manifest import write_manifest_list
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, RemoveSnapshotsUpdate
from pyiceberg.types import NestedField, StringType

from cdc.errors import SinkFenced, SinkRefused
from cdc.lake.completeness import Aside
from cdc.lake.fence import writer_name
from cdc.merge import continuity
from cdc.model import Position
from cdc.spi import Cursor, SinkContext
from cdc_sink_iceberg.commit import MAIN_BRANCH, TableCommit

NAMESPACE, PREFIX = "cdc_state", "source_"
FORMAT = 1
_STATE = "cdc.state"
_PROPERTIES = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "5",
}


@dataclass(frozen=True, slots=True)
class SourceState:
    """The cursor of a source, its fence and the tables that are set aside.

    `writer` is the process that has opened the sink last.
    """

    cursor: Cursor | None = None
    aside: tuple[Aside, ...] = ()
    epoch: int = 0
    log_id: str = ""
    writer: str = ""

    def to_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "format": FORMAT, "epoch": self.epoch, "log_id": self.log_id, "writer": self.writer,
            "set_aside": [one.to_json() for one in self.aside],
        }  # fmt: skip
        if self.cursor is not None:
            cursor = self.cursor
            made["cursor"] = {
                "next": cursor.next, "high": cursor.high, "position": cursor.position.to_json(),
                "commit_at": cursor.commit_at.isoformat() if cursor.commit_at else None,
                "epoch": cursor.epoch, "log_id": cursor.log_id,
            }  # fmt: skip
        return made

    @classmethod
    def from_json(cls, source: str, value: Mapping[str, Any]) -> SourceState:
        found, cursor = value.get("cursor"), None
        if found is not None:
            at = datetime.fromisoformat(found["commit_at"]).astimezone(UTC) if found["commit_at"] else None
            cursor = Cursor(
                source, found["next"], Position.from_json(found["position"]), at, found["epoch"],
                found["high"], found["log_id"],
            )  # fmt: skip
        aside = tuple(map(Aside.from_json, value["set_aside"]))
        return cls(cursor, aside, value["epoch"], value["log_id"], value["writer"])


def identifier(source: str) -> tuple[str, str]:
    """Return the name of the table with the state of a source."""
    return NAMESPACE, f"{PREFIX}{source}"


def read_state(catalog: Catalog, source: str, where: str) -> tuple[Table | None, SourceState]:
    """Return the table with the state of a source, and the state."""
    try:
        table = catalog.load_table(identifier(source))
    except NoSuchTableError:
        return None, SourceState()
    snapshot = table.current_snapshot()
    text = snapshot and snapshot.summary and snapshot.summary[_STATE]
    if not text:
        return table, SourceState()
    value = orjson.loads(text)
    if value["format"] > FORMAT:
        raise SinkRefused(
            f"a newer version has written its state (format {value['format']}, known {FORMAT})",
            where=where,
            remedy="Run that version.",
        )
    return table, SourceState.from_json(source, value)


class Control:
    """The state of one source in a catalog."""

    def __init__(self, catalog: Catalog, source: str, context: SinkContext, where: str) -> None:
        self._catalog = catalog
        self._source = source
        self._context = context
        self._where = f"{where}: source {source}"
        self._writer = writer_name(context)
        self._table: Table | None = None

    def read(self) -> SourceState:
        """Return the state as it is in the catalog now."""
        self._table, state = read_state(self._catalog, self._source, self._where)
        return state

    def take(self, location: str | None) -> SourceState:
        """Make this process the one that may write."""
        state = self.read()
        self._check(state)
        if self._table is None:
            self._catalog.create_namespace_if_not_exists((NAMESPACE,))
            schema = Schema(NestedField(1, "unused", StringType(), required=False))
            self._table = self._catalog.create_table_if_not_exists(
                identifier(self._source), schema, location, properties=_PROPERTIES
            )
        mine = replace(state, epoch=self._context.epoch, log_id=self._context.log_id, writer=self._writer)
        if mine != state:
            self.save(mine)
        return mine

    def verified(self) -> SourceState:
        """Return the state, if this process may still write."""
        state = self.read()
        self._check(state)
        if state.writer != self._writer:
            raise self._fenced()
        return state

    def _check(self, state: SourceState) -> None:
        fence = continuity.Fence(state.epoch, state.log_id) if state.writer else None
        is_mine = state.writer == self._writer
        continuity.check_fence(
            fence, self._context, has_rows=state.cursor is not None or is_mine, where=self._where
        )
        if fence is not None and fence.epoch == self._context.epoch and not is_mine:
            raise self._fenced()

    def _fenced(self) -> SinkFenced:
        return SinkFenced(
            "another process has opened the sink",
            where=self._where,
            remedy="Stop the other daemon; two of them use copies of one state_dir.",
        )

    def save(self, state: SourceState) -> None:
        """Replace the state, if nobody else has done so since it was read.

        Raises:
            CommitFailedException: somebody has.
        """
        assert self._table is not None
        commit = TableCommit(self._table)
        metadata = commit.metadata
        old = metadata.current_snapshot()
        snapshot_id = metadata.new_snapshot_id()
        number = metadata.next_sequence_number()
        summary = Summary(Operation.APPEND, **{_STATE: orjson.dumps(state.to_json()).decode()})
        made = Snapshot(
            snapshot_id=snapshot_id,
            parent_snapshot_id=old.snapshot_id if old else None,
            manifest_list=old.manifest_list if old else self._no_files(snapshot_id),
            sequence_number=number,
            summary=summary,
            schema_id=metadata.current_schema_id,
        )
        commit.stage(AddSnapshotUpdate(snapshot=made))
        commit.point(MAIN_BRANCH, snapshot_id)
        stale = [one.snapshot_id for one in metadata.snapshots]
        if stale:
            commit.stage(RemoveSnapshotsUpdate(snapshot_ids=stale))
        commit.commit()

    def _no_files(self, snapshot_id: int) -> str:
        assert self._table is not None
        path = self._table.location_provider().new_metadata_location(f"snap-{snapshot_id}-0.avro")
        with write_manifest_list(2, self._table.io.new_output(path), snapshot_id, None, 1, "deflate"):
            pass
        return path


__all__ = ["CommitFailedException", "Control", "SourceState"]
