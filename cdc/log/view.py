"""A log opened for reading only, beside the process that writes it: for `cdc tail`, `cdc log` and `cdc
status`.

Takes no lock and changes nothing. It sees whole commits; the newest may be written and not yet synced, for
the few milliseconds that a sync takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from uuid import UUID

from cdc.errors import LogTrimmed, StateError
from cdc.log.buffers import without_buffers
from cdc.log.reader import Shortcuts, find_commit, read_batches, read_commits
from cdc.log.recovery import load_folder, settled
from cdc.log.scan import Contents, extend, scan_segment
from cdc.log.segment import Segment, SegmentReader, list_segments
from cdc.model import ChangeBatch, Commit, Position, TableId, TableSchema

# How often `wait` looks for new commits of the other process.
_POLL_SECONDS = 0.05
# Retention may remove a segment between listing and opening; each try lists again.
_TRIES = 5


class LogView:
    """Implements `cdc.spi.LogReader` as of the last `refresh` or `wait`. Holds no files open."""

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
    def metadata(self) -> Mapping[str, str]:
        return without_buffers(self._contents.metadata)

    @property
    def tables(self) -> Collection[TableId]:
        return self._contents.schemas.keys()

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, oldest first, the last one still growing."""
        return (*self._sealed, self._contents.segment)

    @property
    def parts(self) -> tuple[Segment, ...]:
        return self.segments

    @property
    def byte_count(self) -> int:
        return sum(segment.byte_count for segment in self.segments)

    def refresh(self) -> bool:
        """Read what was written since; return whether there is something new."""
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
        stored = self._contents.schemas.get(table)
        return stored.schema if stored else None

    def commits(self, start: int) -> Iterator[Commit]:
        return read_commits(self.segments, start, self._shortcuts)

    def read(
        self,
        first: int,
        next: int,  # noqa: A002
        sink: str | None = None,
        tables: Collection[TableId] | None = None,
        before_large: Callable[[int], None] | None = None,
    ) -> Iterator[ChangeBatch]:
        return read_batches(self.segments, first, next, self._shortcuts, sink, tables, before_large)

    def wait(self, offset: int, timeout_seconds: float, until: Callable[[], bool] | None = None) -> bool:
        deadline = time.monotonic() + timeout_seconds
        while self._contents.segment.next <= offset:
            left = deadline - time.monotonic()
            if left <= 0 or (until is not None and until()):
                return False
            time.sleep(min(left, _POLL_SECONDS))
            self.refresh()
        return True

    def wake(self) -> None:
        """Nothing to do: a wait asks its `until` twenty times a second."""

    def find(self, *, position: Position | None = None, at: datetime | None = None) -> Commit | None:
        return find_commit(self.segments, position, at)

    def close(self) -> None:
        """Nothing to do: no file is open between calls."""

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
            "there is no log here", where=str(self._folder), remedy="`cdc run` creates it at its first start."
        )


def _scan(reader: SegmentReader, empty: Segment) -> Contents:
    def scan() -> Contents:
        return scan_segment(reader, empty, check_bodies=False)

    return settled(scan(), scan)
