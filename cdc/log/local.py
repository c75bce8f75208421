"""The logs of one deployment under its state directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from cdc.log.inspection import verify_log
from cdc.log.log import DEFAULT_SEGMENT_BYTES, SegmentedLog
from cdc.log.view import LogView
from cdc.model import Commit, TableId
from cdc.readable import show_bytes
from cdc.spi import Finding, LogPart, LogReader, Severity, Verified


class LocalLogs:
    """Implements `cdc.spi.LogStore`: a source's log is in `log/<source>`, its buffers in `held/<source>`."""

    def __init__(self, state_dir: Path, *, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> None:
        self._state_dir = state_dir
        self._segment_bytes = segment_bytes
        self._writers: dict[str, SegmentedLog] = {}

    def exists(self, source: str) -> bool:
        return self.folder(source).is_dir()

    def folder(self, source: str) -> Path:
        """Return the folder of that source's segments, which exists once there is a log."""
        return self._state_dir / "log" / source

    def writer(self, source: str, needed_from: int = 0) -> SegmentedLog:
        self._writers[source] = SegmentedLog(
            self.folder(source),
            self._state_dir / "held" / source,
            segment_bytes=self._segment_bytes,
            needed_from=needed_from,
        )
        return self._writers[source]

    def reader(self, source: str) -> LogReader:
        """Open the log for reading; this or another process may write it."""
        writer = self._writers.get(source)
        if writer is None or writer.is_closed:
            return LogView(self.folder(source))
        return _OpenLog(writer)

    def retention(self, source: str) -> SegmentedLog:
        return self._writers[source]

    def verify(self, source: str, newest_bytes: int | None = None, needed_from: int = 0) -> Verified:
        return verify_log(self.folder(source), newest_bytes, needed_from)

    def free_bytes(self) -> int:
        return shutil.disk_usage(_nearest(self._state_dir)).free

    def check(self, retained_bytes: int) -> Iterator[Finding]:
        """Yield whether the folder can be written, and whether its disk has room for what is retained."""
        folder = self._state_dir
        parent = _nearest(folder)
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            fix = f"Let the user {os.geteuid()} write to {parent}, or set another state_dir."
            yield Finding(Severity.ERROR, "state-dir", f"{folder} cannot be written", fix)
            return
        free, held = self.free_bytes(), _bytes_in(folder / "log")
        if free + held >= retained_bytes:
            yield Finding(Severity.OK, "state-dir", f"{folder} can be written, {show_bytes(free)} free")
            return
        message = (
            f"log.retain allows {show_bytes(retained_bytes)}, but the disk has only {show_bytes(free)} free "
            f"besides the {show_bytes(held)} that the logs use"
        )
        fix = (
            "Lower log.retain.size, or put state_dir on a larger disk; capture pauses while the disk is full."
        )
        yield Finding(Severity.WARNING, "disk-space", message, fix)


class _OpenLog:
    """Implements `cdc.spi.LogReader` on a log that this process writes; closing the reader leaves it open."""

    def __init__(self, log: SegmentedLog) -> None:
        self._log = log
        self.commits = log.commits
        self.read = log.read
        self.wait = log.wait
        self.wake = log.wake
        self.schema = log.schema
        self.find = log.find

    @property
    def identity(self) -> str:
        return self._log.identity

    @property
    def end(self) -> Commit | None:
        return self._log.end

    @property
    def start(self) -> int:
        return self._log.start

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._log.metadata

    @property
    def tables(self) -> Collection[TableId]:
        return self._log.tables

    @property
    def parts(self) -> Sequence[LogPart]:
        return self._log.parts

    def close(self) -> None:
        """Nothing to do."""


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest parent that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
