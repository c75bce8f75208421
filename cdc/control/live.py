"""The status of the daemon in this process, with what only the process knows: trends, rates, resources, the
verdict.
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cdc
from cdc.control.monitor import StatusMonitor
from cdc.control.status import DaemonView, DeliveryView, SourceView, Status, status_of
from cdc.control.verdict import (
    DaemonVerdict,
    delivery_word,
    error_title,
    source_word,
    verdict_of,
    waits_for_first_flush,
)
from cdc.readable import show_span
from cdc.spi import HasMode, LogReader, LogStore
from cdc.spi.metrics import Meter
from cdc.spi.status import ErrorReport, SinkReport, SourceReport
from cdc_config import Configuration, ConfiguredSink, ConfiguredSource

# The limit that the daemon promises to keep, unless its container has a lower one.
MEMORY_LIMIT_BYTES = 400 * 1024**2
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
# Freshness is measured every few seconds: smaller changes are noise.
_STEADY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Resources:
    """Disk and memory that the daemon uses, and their limits.

    `log_limit_bytes` is for applied changes. What a sink lacks is kept beyond it, until the disk is full:
    `log_full_in_seconds`, at the present rate.
    """

    log_bytes: int
    log_limit_bytes: int
    log_full_in_seconds: int | None
    disk_free_bytes: int
    memory_bytes: int
    memory_limit_bytes: int


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A source, beyond its report; `word` is its state for people, `kept_seconds` the age of its log."""

    type: str
    word: str
    bytes_per_second: float
    kept_seconds: int | None


@dataclass(frozen=True, slots=True)
class LiveDelivery:
    """A sink's delivery of a source, beyond its report; the trend is of its freshness. `waits_for` names what
    holds it up.
    """

    type: str
    mode: str | None
    word: str
    trend: str | None
    trend_per_second: float | None
    caught_up_in_seconds: int | None
    waits_for: str | None


@dataclass(frozen=True, slots=True)
class ErrorNote:
    """An error, beyond its report: its meaning for its subject, its next retry and its documentation."""

    title: str
    next_try_at: datetime | None
    docs: str


class LiveStatus:
    """Status of the daemon in this process. Any thread."""

    def __init__(
        self,
        configuration: Configuration,
        monitor: StatusMonitor,
        logs: LogStore,
        meters: Callable[[], Sequence[Meter]],
    ) -> None:
        # A reload replaces it as a whole.
        self.configuration = configuration
        self.meters = meters
        self.monitor = monitor
        self._logs = logs

    def status(self, configuration: Configuration | None = None) -> Status:
        report = self.monitor.report
        daemon = DaemonView(
            report, running=report is not None, age_seconds=round(self.monitor.age_seconds, 1)
        )
        return status_of(configuration or self.configuration, daemon, self._logs)

    def log(self, source: str) -> LogReader:
        """Return the log of a source; the caller closes it."""
        return self._logs.reader(source)

    def verdict(self, status: Status) -> DaemonVerdict:
        """Return the verdict; a sink that does not move although changes wait counts as an error."""
        found = verdict_of(status)
        stuck = self.monitor.stuck() if found.level in ("ok", "busy") else []
        if stuck:
            name, source, seconds = stuck[0]
            text = f"It has applied nothing for {seconds / 60:.0f} min, although changes of {source} wait."
            return DaemonVerdict("bad", "warn", f"Sink {name} does not move", text)
        return found

    def document(self) -> dict[str, Any]:
        """Return the document of `cdc status --json` and the rest of what the page shows."""
        configuration = self.configuration
        status = self.status(configuration)
        found = status.document()
        for name, view in status.sources.items():
            found["sources"][name] |= asdict(self._source(configuration.sources[name], view))
            found["sources"][name] |= _explained(f"Source {name}", view.report)
        for name, pairs in status.sinks.items():
            for pair, shown in zip(pairs, found["sinks"][name], strict=True):
                shown.update(asdict(self._delivery(configuration.sinks[name], pair, status)))
                shown.update(_explained(f"Sink {name}", pair.report))
        return {
            "name": socket.gethostname(),
            "version": cdc.__version__,
            "verdict": asdict(self.verdict(status)),
            "controls": configuration.http.secret is not None,
            "resources": asdict(self.resources(status)),
            **found,
        }

    def resources(self, status: Status) -> Resources:
        """Return the disk and memory that the daemon uses, and their limits."""
        sources = self.configuration.sources
        limit = sum(source.settings.log.retain.size for source in sources.values())
        held = sum(view.log.bytes for view in status.sources.values() if view.log)
        free = self._logs.free_bytes()
        grows = sum(self.monitor.bytes_per_second(name) for name in sources)
        return Resources(
            log_bytes=held,
            log_limit_bytes=limit,
            log_full_in_seconds=round(free / grows) if grows else None,
            disk_free_bytes=free,
            memory_bytes=memory_bytes(),
            memory_limit_bytes=memory_limit_bytes(),
        )

    def _source(self, source: ConfiguredSource, view: SourceView) -> LiveSource:
        name = source.name
        return LiveSource(
            type=source.settings.type,
            word=source_word(view.report),
            bytes_per_second=self.monitor.bytes_per_second(name),
            kept_seconds=self._kept_seconds(name) if view.log else None,
        )

    def _kept_seconds(self, name: str) -> int | None:
        with closing(self.log(name)) as log:
            oldest = next((one.oldest for one in log.parts if one.oldest is not None), None)
        if oldest is None:
            return None
        return max(0, round((datetime.now(UTC) - oldest.written_at).total_seconds()))

    def _delivery(self, sink: ConfiguredSink, pair: DeliveryView, status: Status) -> LiveDelivery:
        name = sink.name
        view = status.sources.get(pair.source)
        feeding = view.report if view else None
        trend = self.monitor.trend(name, pair.source, steady_seconds(pair.report))
        word = delivery_word(pair.report, feeding)
        return LiveDelivery(
            type=sink.settings.type,
            mode=sink.options.mode if isinstance(sink.options, HasMode) else None,
            word=word,
            trend=trend.direction,
            trend_per_second=trend.per_second,
            caught_up_in_seconds=trend.caught_up_in_seconds,
            waits_for=_waits_for(word, pair, feeding),
        )


def steady_seconds(report: SinkReport | None) -> float:
    """Return the change of freshness in a minute below which the sink's trend is steady."""
    return max(report.flush_interval_seconds if report else 0.0, _STEADY_SECONDS)


def memory_bytes() -> int:
    """Return the resident memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_limit_bytes() -> int:
    """Return the container's limit, or else the daemon's own."""
    try:
        text = _CGROUP_LIMIT.read_text("ascii").strip()
    except OSError:
        return MEMORY_LIMIT_BYTES
    return min(int(text), MEMORY_LIMIT_BYTES) if text.isdigit() else MEMORY_LIMIT_BYTES


def _waits_for(word: str, pair: DeliveryView, feeding: SourceReport | None) -> str | None:
    if word != "Waits":
        return None
    if feeding is None or feeding.state != "streaming":
        return f"source {pair.source}"
    if pair.report is not None and waits_for_first_flush(pair.report):
        return f"its first flush, every {show_span(pair.report.flush_interval_seconds)}"
    return f"copies of its tables of {pair.source}"


def _explained(subject: str, report: SourceReport | SinkReport | None) -> dict[str, Any]:
    """The errors of a report's document, each with its note."""
    if report is None:
        return {}
    tables = "refused" if isinstance(report, SourceReport) else "set_aside"
    return {
        "error": report.error and _noted(subject, report.error),
        tables: [_noted(subject, error) for error in report.skipped],
    }


def _noted(subject: str, error: ErrorReport) -> dict[str, Any]:
    due = None
    if error.at and error.retry_seconds is not None:
        due = datetime.fromisoformat(error.at) + timedelta(seconds=error.retry_seconds)
    note = ErrorNote(error_title(subject, error), due, f"operations#{error.kind.lower()}")
    return error.document() | asdict(note)
