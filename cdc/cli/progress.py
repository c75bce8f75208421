"""Progress, every ten seconds: a line that fits a terminal for people, fields for programs."""

from __future__ import annotations

import time
from typing import Any

from cdc.cli.allocators import GIVE_BACK_SECONDS, give_back_free_memory
from cdc.cli.logging import Log
from cdc.kit.report import counted
from cdc.readable import show_bytes, show_seconds
from cdc.spi.status import DaemonReport, SourceReport

# Rows that moved are worth a log line now and then: a person follows it, a journal isn't flooded.
PROGRESS_INTERVAL_SECONDS = 10.0
# What a terminal of 80 columns has left beside the time and the level.
LINE_WIDTH = 59


class Progress:
    """Logs what moved since the last line, keeps the newest report and the process small."""

    def __init__(
        self, log: Log, *, quiet: bool = False, interval_seconds: float = PROGRESS_INTERVAL_SECONDS
    ) -> None:
        self._log = log
        self._quiet = quiet
        self._interval_seconds = interval_seconds
        self._at = self._gave_back_at = time.monotonic()
        self._rows: dict[str, int] = {}
        self.report = DaemonReport()

    def tick(self, report: DaemonReport) -> None:
        self.report = report
        if time.monotonic() - self._gave_back_at >= GIVE_BACK_SECONDS:
            self._gave_back_at = time.monotonic()
            give_back_free_memory()
        if self._quiet or time.monotonic() - self._at < self._interval_seconds:
            return
        self._at = time.monotonic()
        for name, source in report.sources.items():
            if self._rows.get(name, 0) != source.rows:
                self._rows[name] = source.rows
                behind = _behind(report, name)
                line = progress_line(name, source, behind)
                self._log("progress", line=line, source=name, **_moved(source), sinks=behind)


def progress_line(name: str, source: SourceReport, sinks: dict[str, int]) -> str:
    """One line for a terminal: the copy under way, else the stream; what does not fit is left out."""
    copy = source.snapshot
    if copy:
        remaining = copy.remaining_seconds
        parts = [
            f"copying {copy.percent}% of {counted(copy.tables, 'table')}",
            f"{copy.rows_per_second:,.0f} rows/s",
            *(() if remaining is None else (f"{show_seconds(remaining)} left",)),
        ]
    else:
        parts = [f"{source.rows:,} rows", f"{source.rows_per_second:,.0f} rows/s"]
        if source.behind_bytes:
            parts.append(f"{show_bytes(source.behind_bytes)} behind")
    parts += [f"{sink} {behind:,} behind" for sink, behind in sinks.items() if behind]
    head = name if len(name) <= LINE_WIDTH // 3 else f"{name[: LINE_WIDTH // 3]}…"
    line = f"{head}: {parts[0]}"
    for part in parts[1:]:
        if len(line) + len(part) + 2 > LINE_WIDTH:
            break
        line += f", {part}"
    return line


def _moved(source: SourceReport) -> dict[str, Any]:
    keys = ("state", "position", "rows", "rows_per_second", "behind_bytes")
    fields = {key: getattr(source, key) for key in keys}
    return fields | ({"copy": source.snapshot.document()} if source.snapshot else {})


def _behind(report: DaemonReport, source: str) -> dict[str, int]:
    return {
        name: pair.behind_changes
        for name, pairs in report.sinks.items()
        for pair in pairs
        if pair.source == source
    }
