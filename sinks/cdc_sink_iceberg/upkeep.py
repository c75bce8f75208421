"""Upkeep of a table in idle time: files are merged, old snapshots end, and files that nobody has are removed.

Each call does one thing of bounded size. Readers keep what they have: files are removed only some time after
the last snapshot that had them (`keep`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta

import pyarrow.fs as pafs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import DataScan, Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import RemoveSnapshotsUpdate
from pyiceberg.typedef import Record

from cdc.model import TableId
from cdc_sink_iceberg.commit import MAIN_BRANCH, Content, TableCommit
from cdc_sink_iceberg.files import Positions, TableFiles
from cdc_sink_iceberg.options import IcebergOptions
from cdc_sink_iceberg.tables import CatalogTables
from cdc_sink_iceberg.work import COPY_BRANCH, planned

# Small files of a partition at which they are merged, and the share of a file that counts as small.
MERGED_FILES = 8
SMALL_SHARE = 0.5
# The share of deleted rows at which a file is written again.
DEAD_SHARE = 0.2
SNAPSHOTS_EXPIRED = 100
# A delivery in work has files that no snapshot has: a file must be older than any delivery.
ORPHAN_AGE = timedelta(days=3)
# Between two looks at a table: a look reads its manifests.
EVERY_SECONDS = {"compact": 60.0, "expire": 600.0, "orphans": 86_400.0}
_COUNTED = {"compact": "files_merged", "expire": "snapshots_expired", "orphans": "orphans_removed"}


class TableUpkeep:
    """The upkeep of one table. Errors are those of the catalog; what broke off is done again later."""

    def __init__(self, table: Table, files: TableFiles, options: IcebergOptions) -> None:
        self._table = table
        self._files = files
        self._options = options

    def compact(self) -> int:
        """Merge files of one partition; return how many were replaced."""
        metadata = self._table.metadata
        base = metadata.snapshot_by_name(MAIN_BRANCH)
        if base is None or COPY_BRANCH in metadata.refs:
            return 0
        tasks = planned(DataScan(metadata, self._table.io, snapshot_id=base.snapshot_id), self._table)
        live = [(task.file, self._files.dead(task.delete_files, task.file.file_path)) for task in tasks]
        chosen = self._chosen(live)
        if not chosen:
            return 0
        made = self._files.merge(chosen, metadata.schema())
        paths = {file.file_path for file, _ in chosen}
        left = {file.file_path for file, _ in live} - paths
        removed = paths | {one.file_path for one in self._delete_files(base) if not self._serves(one, left)}
        content = Content([made] if made is not None else [], removed=removed)
        commit = TableCommit(self._table)
        commit.add_snapshot(MAIN_BRANCH, content, {}, same_rows=True)
        commit.commit()
        return len(chosen)

    def _chosen(self, live: list[tuple[DataFile, Positions]]) -> list[tuple[DataFile, Positions]]:
        """The files to merge: of the partition that needs it most, not more than makes one file."""
        groups: dict[tuple[int, Record], list[tuple[DataFile, Positions]]] = defaultdict(list)
        target, spec_id = self._options.file_bytes, self._table.metadata.default_spec_id
        for file, dead in live:
            is_small = file.file_size_in_bytes < SMALL_SHARE * target
            is_holed = len(dead) > DEAD_SHARE * file.record_count
            if (is_small or is_holed) and file.spec_id == spec_id:
                groups[file.spec_id, file.partition].append((file, dead))
        for group in sorted(groups.values(), key=len, reverse=True):
            group.sort(key=lambda one: one[0].file_size_in_bytes)
            chosen: list[tuple[DataFile, Positions]] = []
            size = 0
            for file, dead in group:
                if chosen and size + file.file_size_in_bytes > target:
                    break
                chosen.append((file, dead))
                size += file.file_size_in_bytes
            holed = any(len(dead) > DEAD_SHARE * file.record_count for file, dead in chosen)
            if len(chosen) >= MERGED_FILES or holed:
                return chosen
        return []

    def _delete_files(self, snapshot: Snapshot) -> Iterator[DataFile]:
        for manifest in snapshot.manifests(self._table.io):
            if manifest.content == 1:
                for entry in manifest.fetch_manifest_entry(self._table.io):
                    yield entry.data_file

    def _serves(self, deletes: DataFile, left: Collection[str]) -> bool:
        return any(path in left for path in self._files.positions(deletes))

    def expire(self) -> int:
        """End snapshots that are older than `keep`, and remove their files; return how many.

        The newest snapshot of each branch stays: it has the newest offset of the table.
        """
        metadata = self._table.metadata
        limit = datetime.now(UTC) - self._options.keep
        kept = {ref.snapshot_id for ref in metadata.refs.values()}
        old = [
            one
            for one in metadata.snapshots
            if one.snapshot_id not in kept and datetime.fromtimestamp(one.timestamp_ms / 1000, UTC) < limit
        ][:SNAPSHOTS_EXPIRED]
        if not old:
            return 0
        commit = TableCommit(self._table)
        for ref in metadata.refs:
            commit.require(ref)
        commit.stage(RemoveSnapshotsUpdate(snapshot_ids=[one.snapshot_id for one in old]))
        commit.commit()
        self._remove(self._only_in(old))
        return len(old)

    def _only_in(self, gone: Collection[Snapshot]) -> set[str]:
        """The files that only these snapshots have."""
        io, stay = self._table.io, self._table.metadata.snapshots
        staying = _manifests(self._table, stay)
        leaving = {p: m for p, m in _manifests(self._table, gone).items() if p not in staying}
        found = {e.data_file.file_path for m in leaving.values() for e in m.fetch_manifest_entry(io)}
        if found:
            found -= {e.data_file.file_path for m in staying.values() for e in m.fetch_manifest_entry(io)}
        lists = {one.manifest_list for one in gone} - {one.manifest_list for one in stay}
        return found | set(leaving) | lists

    def remove_orphans(self, age: timedelta = ORPHAN_AGE) -> int:
        """Remove files in the table's folder that it does not have and that are old; return how many."""
        table, io = self._table, self._table.io
        assert isinstance(io, PyArrowFileIO)
        manifests = _manifests(table, table.metadata.snapshots)
        known = {one.manifest_list for one in table.metadata.snapshots} | set(manifests)
        for manifest in manifests.values():
            known |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(io)}
        gone = []
        for kind, suffix in (("data", ".parquet"), ("metadata", ".avro")):
            root = f"{table.location()}/{kind}"
            scheme, host, path = io.parse_location(root, io.properties)
            files = io.fs_by_scheme(scheme, host)
            found = files.get_file_info(pafs.FileSelector(path, allow_not_found=True, recursive=True))
            limit = datetime.now(UTC) - age
            for one in found:
                name = root + one.path.removeprefix(path)
                if one.is_file and name.endswith(suffix) and name not in known and one.mtime < limit:
                    gone.append(name)
        self._remove(gone)
        return len(gone)

    def _remove(self, paths: Collection[str]) -> None:
        for path in paths:
            try:
                self._table.io.delete(path)
            except FileNotFoundError:
                continue


def _manifests(table: Table, snapshots: Collection[Snapshot]) -> dict[str, ManifestFile]:
    return {m.manifest_path: m for one in snapshots for m in one.manifests(table.io)}


class Schedule:
    """Says which upkeep is due, of the tables that this process has written."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, TableId], float] = {}

    def take(self, tables: Collection[TableId]) -> tuple[str, TableId] | None:
        """Return a kind of upkeep and its table, None if nothing is due. The first one is due after the time
        has passed.
        """
        now = time.monotonic()
        for table in tables:
            for kind, seconds in EVERY_SECONDS.items():
                if self._next.setdefault((kind, table), now + seconds) <= now:
                    self._next[kind, table] = now + seconds
                    return kind, table
        return None

    def maintain(
        self,
        due: tuple[str, TableId],
        tables: CatalogTables,
        options: IcebergOptions,
        count: Callable[[str, int], None],
    ) -> None:
        """Do what is due. It is due again at once, if there was something to do."""
        kind, table = due
        found = tables.find(table)
        if found is None:
            return
        upkeep = TableUpkeep(*found, options)
        done = {"compact": upkeep.compact, "expire": upkeep.expire, "orphans": upkeep.remove_orphans}
        amount = done[kind]()
        if amount:
            count(_COUNTED[kind], amount)
            self._next[due] = time.monotonic() + (EVERY_SECONDS[kind] if kind == "orphans" else 0)
