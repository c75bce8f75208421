"""A log opened for reading only, beside the process that writes it: for `cdc tail`, `cdc log` and `cdc
status`.

Takes no lock and changes nothing. It sees whole commits; the newest may be written and not yet synced, for
the few milliseconds that a sync takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from uuid import UUID

from cdc.errors import LogTrimmed, StateError
from cdc.log.reader import Shortcuts, find_commit, read_batches, read_commits
from cdc.log.recovery import load_folder
from cdc.log.scan import Contents, extend, scan_segment
from cdc.log.segment import Segment, SegmentReader, list_segments
from cdc.model import ChangeBatch, Commit, Position, TableId, TableSchema

# Retention may remove a segment between listing and opening; each try lists again.
_TRIES = 5


class LogView:
    """The commits of a log as of the last `refresh`. Holds no files open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shortcuts = Shortcuts()
        self._sealed: tuple[Segment, ...]
        self._contents: Contents
        self._log_id: bytes
        self._load()

    @property
    def identity(self) -> str:
        """As `SegmentedLog.identity`."""
        return str(UUID(bytes=self._log_id))

    @property
    def end(self) -> Commit | None:
        return self._contents.end

    @property
    def start(self) -> int:
        return self.segments[0].first

    @property
    def facts(self) -> Mapping[str, str]:
        return dict(self._contents.facts)

    @property
    def schemas(self) -> Mapping[TableId, TableSchema]:
        return {table: stored.schema for table, stored in self._contents.schemas.items()}

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, oldest first, the last one still growing."""
        return (*self._sealed, self._contents.segment)

    @property
    def byte_count(self) -> int:
        return sum(segment.byte_count for segment in self.segments)

    def refresh(self) -> bool:
        """See what was written since; whether there is something new."""
        before = self.end
        segment = self._contents.segment
        try:
            newest = list_segments(self._folder)[-1:]
            with SegmentReader(segment.path) as reader:
                if newest and newest[0][0] == segment.number and reader.size >= segment.byte_count:
                    self._contents = extend(self._contents, reader)
                else:
                    self._load()
        except (LogTrimmed, FileNotFoundError):
            self._load()
        return self.end != before

    def schema(self, table: TableId) -> TableSchema | None:
        return self.schemas.get(table)

    def commits(self, start: int) -> Iterator[Commit]:
        """As `ChangeLog.commits`."""
        return read_commits(self.segments, start, self._shortcuts)

    def read(self, first: int, next: int, sink: str | None = None) -> Iterator[ChangeBatch]:  # noqa: A002
        """As `ChangeLog.read`."""
        return read_batches(self.segments, first, next, self._shortcuts, sink)

    def find(self, *, position: Position | None = None, at: datetime | None = None) -> Commit | None:
        """As `ChangeLog.find`."""
        return find_commit(self.segments, position, at)

    def _load(self) -> None:
        self._shortcuts = Shortcuts()
        for remaining in reversed(range(_TRIES)):
            try:
                found = load_folder(self._folder, _scan, keep_indexes=False)
            except (LogTrimmed, FileNotFoundError):
                if remaining == 0 or not self._folder.is_dir():
                    break
                continue
            if found is not None:
                self._sealed, self._contents = found.sealed, found.contents
                self._log_id = found.preamble.log_id
                return
        raise StateError(
            "there is no log here", where=str(self._folder), remedy="`cdc run` makes it at its first start."
        )


def _scan(reader: SegmentReader, empty: Segment) -> Contents:
    return scan_segment(reader, empty, check_bodies=False)
