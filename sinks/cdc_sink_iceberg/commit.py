"""One commit of one table: changes of its schema, its properties and its snapshots, in one request to the
catalog.

PyIceberg's own producers write no delete files and repeat a commit that met another one, for which the
positions of the deletes would be wrong. So snapshots are made here, of its manifests.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import (
    Operation,
    Snapshot,
    SnapshotSummaryCollector,
    Summary,
    update_snapshot_summaries,
)
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertCurrentSchemaId,
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotRefUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
    update_table_metadata,
)

from cdc import failpoints

# Manifests of a snapshot at which they are merged: readers open all of them.
MERGE_MANIFESTS = 32
_CODEC = "deflate"


@dataclass(slots=True)
class Content:
    """The files that a snapshot adds and removes. `cleared`: it has nothing of the one before."""

    added: list[DataFile] = field(default_factory=list)
    deletes: list[DataFile] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    cleared: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.deletes or self.removed or self.cleared)


class _DeleteManifestWriter(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class TableCommit:
    """Updates of a table that take effect together, if nobody else has changed what they build on."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._metadata: TableMetadata = table.metadata
        self._updates: list[TableUpdate] = []
        self._requirements: list[TableRequirement] = [AssertTableUUID(uuid=table.metadata.table_uuid)]
        self._required: set[str] = set()

    @property
    def metadata(self) -> TableMetadata:
        """The table's metadata with the updates."""
        return self._metadata

    def stage(self, *updates: TableUpdate) -> None:
        """Add updates."""
        self._updates += updates
        self._metadata = update_table_metadata(self.table.metadata, tuple(self._updates))

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set properties of the table."""
        self.stage(SetPropertiesUpdate(updates=dict(properties)))

    def require_schema(self) -> None:
        """Fail if somebody else changes the schema."""
        made = AssertCurrentSchemaId(current_schema_id=self.table.metadata.current_schema_id)
        if made not in self._requirements:
            self._requirements.append(made)

    def require(self, ref: str) -> None:
        """Fail if somebody else moves a branch."""
        if ref not in self._required:
            self._required.add(ref)
            known = self.table.metadata.refs.get(ref)
            snapshot_id = known.snapshot_id if known else None
            self._requirements.append(AssertRefSnapshotId(ref=ref, snapshot_id=snapshot_id))

    def point(self, ref: str, snapshot_id: int) -> None:
        """Move a branch to a snapshot."""
        self.require(ref)
        self.stage(SetSnapshotRefUpdate(ref_name=ref, snapshot_id=snapshot_id, type=SnapshotRefType.BRANCH))

    def drop_branch(self, ref: str) -> None:
        """Remove a branch."""
        self.require(ref)
        self.stage(RemoveSnapshotRefUpdate(ref_name=ref))

    def add_snapshot(
        self,
        ref: str,
        content: Content,
        properties: Mapping[str, str],
        schema: Schema | None = None,
        *,
        same_rows: bool = False,
    ) -> None:
        """Add a snapshot to a branch; a new one begins at the main one, without rows. `same_rows`: readers
        that follow changes can pass over it.
        """
        metadata = self.metadata
        schema = schema or metadata.schema()
        base = metadata.snapshot_by_name(ref)
        kept = None if content.cleared else base
        parent = base or metadata.current_snapshot()
        parent_id = parent.snapshot_id if parent else None
        number = metadata.next_sequence_number()
        writer = _Manifests(self.table, metadata, schema, metadata.new_snapshot_id())
        path = writer.write_all(content, kept, parent_id, number)
        removes = content.removed or content.deletes or content.cleared
        summary = Summary(Operation.OVERWRITE if removes else Operation.APPEND, **dict(properties))
        summary = _summary(metadata, schema, content, writer.dropped, kept, summary)
        if same_rows:
            summary = Summary(Operation.REPLACE, **summary.additional_properties)
        snapshot = Snapshot(
            snapshot_id=writer.snapshot_id,
            parent_snapshot_id=parent_id,
            manifest_list=path,
            sequence_number=number,
            summary=summary,
            schema_id=schema.schema_id,
        )
        self.require(ref)
        self.stage(AddSnapshotUpdate(snapshot=snapshot))
        self.point(ref, snapshot.snapshot_id)

    def commit(self) -> None:
        """Make the updates durable and visible. `table` has the new metadata then.

        Raises:
            CommitFailedException: somebody else has changed the table since it was read.
        """
        if not self._updates:
            return
        failpoints.hit("target.before-save")
        self.table._do_commit(tuple(self._updates), tuple(self._requirements))
        failpoints.hit("target.saved")


class _Manifests:
    """Writes the manifests of one snapshot."""

    def __init__(self, table: Table, metadata: TableMetadata, schema: Schema, snapshot_id: int) -> None:
        self.commit = uuid.uuid4()
        self.dropped: list[DataFile] = []
        self._table = table
        self._specs = metadata.specs()
        self._schema = schema
        self.snapshot_id = snapshot_id
        self._count = 0

    def write_all(self, content: Content, base: Snapshot | None, parent_id: int | None, number: int) -> str:
        """Write the manifests and their list; return the path of the list."""
        manifests = [
            *self.added(content.added, ManifestContent.DATA),
            *self.added(content.deletes, ManifestContent.DELETES),
        ]
        if base is not None:
            manifests += self.carried(base.manifests(self._table.io), content.removed)
        path = self.path(f"snap-{self.snapshot_id}-0-{self.commit}.avro")
        output = self._table.io.new_output(path)
        with write_manifest_list(2, output, self.snapshot_id, parent_id, number, _CODEC) as listed:
            listed.add_manifests(manifests)
        return path

    def path(self, name: str) -> str:
        return self._table.location_provider().new_metadata_location(name)

    def added(self, files: Sequence[DataFile], content: ManifestContent) -> Iterator[ManifestFile]:
        for spec_id, group in _by_spec(files):
            with self._writer(self._specs[spec_id], content) as writer:
                for file in group:
                    writer.add(
                        ManifestEntry.from_args(
                            status=ManifestEntryStatus.ADDED,
                            snapshot_id=self.snapshot_id,
                            sequence_number=None,
                            file_sequence_number=None,
                            data_file=file,
                        )
                    )
            yield writer.to_manifest_file()

    def carried(self, manifests: Iterable[ManifestFile], removed: AbstractSet[str]) -> Iterator[ManifestFile]:
        """The manifests of the snapshot before, without removed files, merged where they are many."""
        groups: dict[tuple[int, ManifestContent], list[ManifestFile]] = defaultdict(list)
        for manifest in manifests:
            groups[manifest.partition_spec_id, manifest.content].append(manifest)
        for (spec_id, content), group in groups.items():
            merges = len(group) >= MERGE_MANIFESTS
            kept, gone = [], []
            for manifest in group:
                if not (removed or merges):
                    yield manifest
                    continue
                entries = manifest.fetch_manifest_entry(self._table.io)
                lost = [entry for entry in entries if entry.data_file.file_path in removed]
                if not lost and not merges:
                    yield manifest
                    continue
                gone += lost
                kept += [entry for entry in entries if entry.data_file.file_path not in removed]
            self.dropped += [entry.data_file for entry in gone]
            if kept or gone:
                with self._writer(self._specs[spec_id], content) as writer:
                    for entry in kept:
                        writer.existing(entry)
                    for entry in gone:
                        writer.delete(entry)
                yield writer.to_manifest_file()

    def _writer(self, spec: PartitionSpec, content: ManifestContent) -> ManifestWriter:
        output = self._table.io.new_output(self.path(f"{self.commit}-m{self._count}.avro"))
        self._count += 1
        kind = ManifestWriterV2 if content is ManifestContent.DATA else _DeleteManifestWriter
        return kind(spec, self._schema, output, self.snapshot_id, _CODEC)


def _by_spec(files: Sequence[DataFile]) -> Iterator[tuple[int, list[DataFile]]]:
    groups: dict[int, list[DataFile]] = defaultdict(list)
    for file in files:
        groups[file.spec_id].append(file)
    yield from groups.items()


def _summary(
    metadata: TableMetadata,
    schema: Schema,
    content: Content,
    dropped: Iterable[DataFile],
    base: Snapshot | None,
    summary: Summary,
) -> Summary:
    counted, specs = SnapshotSummaryCollector(), metadata.specs()
    for file in (*content.added, *content.deletes):
        counted.add_file(file, schema, specs[file.spec_id])
    for file in dropped:
        counted.remove_file(file, schema, specs[file.spec_id])
    for name, value in counted.build().items():
        summary[name] = value
    return update_snapshot_summaries(summary, base.summary if base else None)


__all__ = ["MAIN_BRANCH", "Content", "TableCommit"]
