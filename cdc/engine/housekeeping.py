"""Housekeeping: the status document, the history of checkpoints, and the log's retention.

A full disk stops none of it: a failed write is due again later, and the document shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from cdc.engine.capture_pipeline import CapturePipeline
from cdc.engine.pipelines import Pipelines
from cdc.errors import LogFull, StateFull
from cdc.spi import State
from cdc.spi.status import ConfigurationReport, DaemonReport, SinkReport, SourceReport

# `cdc status` of another process reads the document; a second old is what people call now.
STATUS_INTERVAL_SECONDS = 1.0
# A checkpoint a log commit would be a row every few milliseconds; ten seconds is finer than anyone replays.
CHECKPOINT_INTERVAL_SECONDS = 10.0
# Retention removes whole segments; looking once a minute never lets more than a minute of them pile up.
TRIM_INTERVAL_SECONDS = 60.0


class Housekeeping:
    """Called once a tick by the engine's own thread."""

    def __init__(self, state: State, pipelines: Pipelines) -> None:
        self._state = state
        self._pipelines = pipelines
        # What the daemon says of its configuration; set by whoever loads it.
        self.configuration: ConfigurationReport | None = None
        self._started_at = datetime.now(UTC)
        self._status_at = self._trimmed_at = float("-inf")
        self._checkpoint_at = time.monotonic()
        self._checkpointed: dict[str, str] = {}
        # What found no room at its last attempt.
        self._refused: set[str] = set()

    def tick(self, *, final: bool = False) -> DaemonReport:
        """Write what is due; the status."""
        with self._pipelines.housekeeping:
            return self._tick(final=final)

    def _tick(self, *, final: bool) -> DaemonReport:
        now = time.monotonic()
        for capture in self._pipelines.captures.values():
            capture.tick()
        for delivery in self._pipelines.deliveries.values():
            delivery.tick()
        for name, capture in self._pipelines.captures.items():
            self._attempt(f"definitions of {name}", partial(capture.definitions.record, self._state, name))
        report = self._report(running=not final)
        if final or now - self._status_at >= STATUS_INTERVAL_SECONDS:
            self._status_at = now
            self._attempt("status", partial(self._write_status, report))
        if final or now - self._checkpoint_at >= CHECKPOINT_INTERVAL_SECONDS:
            self._checkpoint_at = now
            self._checkpoint()
        # At the end too: a run that is shorter than the interval (`--once`, by cron) would never trim.
        if final or now - self._trimmed_at >= TRIM_INTERVAL_SECONDS:
            self._trimmed_at = now
            self._trim()
        report.state_dir_full = self._is_full
        return report

    @property
    def _is_full(self) -> bool:
        """Whether something of ours found no room, or a copy or capture waits for it."""
        kinds = {kind for capture in self._pipelines.captures.values() for kind in capture.waiting_for}
        errors = [delivery.worker.last_error for delivery in self._pipelines.deliveries.values()]
        errors += [unopened.worker.last_error for unopened in self._pipelines.unopened.values()]
        kinds |= {error.kind for error in errors if error is not None}
        return bool(self._refused) or bool(kinds & {"LogFull", "StateFull"})

    def _attempt(self, what: str, write: Callable[[], object]) -> None:
        try:
            write()
        except (StateFull, LogFull):
            self._refused.add(what)
        else:
            self._refused.discard(what)

    def _write_status(self, report: DaemonReport) -> None:
        self._state.write_status(report.document())

    def _report(self, *, running: bool) -> DaemonReport:
        sources: dict[str, SourceReport] = {}
        sinks: dict[str, list[SinkReport]] = {}
        for name, capture in self._pipelines.captures.items():
            sources[name] = capture.status.report(capture.end)
            for delivery in self._pipelines.of_source(name):
                status, end = delivery.status, capture.end
                behind = capture.retention.size_between(status.next, end)
                report = status.report(end, capture.status.commit_at, capture.status.complete_at, behind)
                sinks.setdefault(delivery.spec.name, []).append(report)
        for name, unopened in self._pipelines.unopened.items():
            if name in sources:
                continue
            sources[name] = unopened.status.report()
            for sink in unopened.sinks:
                sinks.setdefault(sink, []).append(SinkReport(source=name, state="starting"))
        return DaemonReport(
            running=running,
            pid=self._state.holder.pid,
            holder=self._state.holder.text,
            started_at=self._started_at.isoformat(),
            at=datetime.now(UTC).isoformat(),
            state_dir_full=self._is_full,
            configuration=self.configuration,
            sources=sources,
            sinks=sinks,
        )

    def _checkpoint(self) -> None:
        for name, capture in self._pipelines.captures.items():
            self._attempt(f"checkpoint of {name}", partial(self._checkpoint_of, capture, name))

    def _checkpoint_of(self, capture: CapturePipeline, name: str) -> None:
        end = capture.log.end
        if end is not None and self._checkpointed.get(name) != end.position.text:
            self._state.add_checkpoint(name, end.next, end.position, datetime.now(UTC))
            self._checkpointed[name] = end.position.text

    def _trim(self) -> None:
        for name, capture in self._pipelines.captures.items():
            keep_from = capture.lowest_cursor
            if keep_from is not None:
                self._attempt(f"retention of {name}", partial(self._trim_of, capture, name, keep_from))

    def _trim_of(self, capture: CapturePipeline, name: str, keep_from: int) -> None:
        retention = capture.spec.retention
        capture.retention.trim(keep_from, max_age=retention.age, max_bytes=retention.bytes)
        self._state.thin_checkpoints(name, capture.log.start)
