"""The logs of one deployment under its state directory."""

from __future__ import annotations

from pathlib import Path

from cdc.log.log import SegmentedLog
from cdc.log.view import LogView
from cdc.spi import LogReader


class LocalLogs:
    """Implements `cdc.spi.LogStore`: a source's log is in `log/<source>`, its buffers in `held/<source>`."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._writers: dict[str, SegmentedLog] = {}

    def folder(self, source: str) -> Path:
        """Return the folder of that source's segments, which exists once there is a log."""
        return self._state_dir / "log" / source

    def writer(self, source: str) -> SegmentedLog:
        self._writers[source] = SegmentedLog(self.folder(source), self._state_dir / "held" / source)
        return self._writers[source]

    def reader(self, source: str) -> LogReader:
        """Open the log for reading; this or another process may write it."""
        writer = self._writers.get(source)
        return LogView(self.folder(source)) if writer is None or writer.is_closed else writer

    def retention(self, source: str) -> SegmentedLog:
        return self._writers[source]
