"""The daemon's heart: starts all pipelines, keeps their books once a second, and stops them in order."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cdc.engine.books import BookKeeper
from cdc.engine.identity import starts_in
from cdc.engine.pipeline import Pipeline, start_all, stop_all
from cdc.engine.plans import StoredCopyRequests, StoredPlans
from cdc.engine.specs import SinkSpec, SourceSpec, delivery_memory
from cdc.engine.workers import Log
from cdc.errors import CdcError
from cdc.model import Position
from cdc.spi import LogStore
from cdc.state import StateStore

# How often status, checkpoints, retention and the end of `--once` are looked at.
TICK_SECONDS = 0.25
# Together below the 30 s that systemd and Kubernetes give by default.
STOP_READING_SECONDS = 12.0
STOP_WRITING_SECONDS = 15.0


class Outcome(StrEnum):
    """How a run ended: `stopped` on request, `done` (`--once`), or `failed` (a worker needs an operator)."""

    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunResult:
    """The outcome with the errors of the workers that ended for good, by worker name."""

    outcome: Outcome
    errors: dict[str, BaseException]


class Engine:
    """Runs sources into sinks. Takes over the state, and closes it at the end. Use once."""

    def __init__(
        self,
        sources: Sequence[SourceSpec],
        sinks: Sequence[SinkSpec],
        state: StateStore,
        logs: LogStore,
        report: Log,
        scratch: Path | None = None,
    ) -> None:
        self._report = report
        self._stop = threading.Event()
        self.state = state
        self._logs = logs
        self.pipelines = [self._pipeline(spec) for spec in sources]
        by_name = {pipeline.spec.name: pipeline for pipeline in self.pipelines}
        memory_bytes = delivery_memory(sum(len(spec.sources) for spec in sinks))
        if scratch is not None:
            # What another process left there means nothing any more.
            shutil.rmtree(scratch, ignore_errors=True)
        for spec in sinks:
            # The logs count too: an epoch never goes back, even where the state is lost and the logs aren't.
            starts = max((starts_in(by_name[name].log.metadata) + 1 for name in spec.sources), default=1)
            epoch = self.state.next_epoch(spec.name, at_least=starts)
            for name in spec.sources:
                plans = StoredPlans(self.state, spec.name, name, self._report)
                folder = scratch / name / spec.name if scratch is not None else None
                by_name[name].add_sink(spec, epoch, plans, memory_bytes, folder)
        self._books = BookKeeper(self.state, self.pipelines)

    def stop(self) -> None:
        """Ask a running engine to finish what is in hand and return; safe from a signal handler."""
        self._stop.set()

    def run(
        self, *, once: bool = False, on_tick: Callable[[dict[str, Any]], None] | None = None
    ) -> RunResult:
        """Run until stopped, until nothing is left that works,
        or (`once`) until everything there was at the start is delivered.
        """
        # There from the first moment: on a full disk it can be written over, but not made.
        self._books.tick()
        start_all([worker for pipeline in self.pipelines for worker in pipeline.workers])
        self._report("running", pid=os.getpid(), sources=[p.spec.name for p in self.pipelines])
        end = OnceWatch(self.pipelines) if once or self._only_snapshots() else None
        done = False
        while not self._stop.wait(TICK_SECONDS):
            document = self._books.tick()
            if on_tick is not None:
                on_tick(document)
            done = end is not None and end.is_done()
            if done or self._nothing_works():
                break
        return self._finish(done=done)

    def _finish(self, *, done: bool) -> RunResult:
        reading = [worker for pipeline in self.pipelines for worker in pipeline.reading]
        writing = [worker for pipeline in self.pipelines for worker in pipeline.writing]
        stuck = stop_all(reading, STOP_READING_SECONDS) + stop_all(writing, STOP_WRITING_SECONDS)
        if stuck:
            self._report("stopping now: unfinished work continues at the next start", workers=stuck)
        self._books.tick(final=True)
        errors = {worker.name: worker.error for worker in [*reading, *writing] if worker.error is not None}
        refused: dict[str, BaseException] = {
            str(t): e for pipeline in self.pipelines for t, e in pipeline.coordinator.refused.items()
        }
        for pipeline in self.pipelines:
            refused |= pipeline.set_aside
        if not stuck:
            for pipeline in self.pipelines:
                pipeline.close()
            self.state.close()
        if errors or (done and refused):
            return RunResult(Outcome.FAILED, {**errors, **refused})
        return RunResult(Outcome.DONE if done else Outcome.STOPPED, {})

    def _pipeline(self, spec: SourceSpec) -> Pipeline:
        return Pipeline(spec, self._logs, self._report, StoredCopyRequests(self.state, spec.name))

    def _only_snapshots(self) -> bool:
        return all(pipeline.spec.snapshot == "only" for pipeline in self.pipelines)

    def _nothing_works(self) -> bool:
        """Capture has ended everywhere and the sinks have all that is in the logs, or have ended too."""
        for pipeline in self.pipelines:
            end = pipeline.log.end
            if not pipeline.is_dead:
                return False
            if not pipeline.is_delivered(end.next if end else 0):
                return False
        return True


class OnceWatch:
    """Tells when `run --once` is done:
    the position that each source had at the start is in the log and in every sink.
    """

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._pipelines = pipelines
        self._targets: dict[str, Position] = {}
        self._ends: dict[str, int] = {}
        self._asked_at = 0.0

    def is_done(self) -> bool:
        # Each is asked, even after one that isn't done: being asked is what sets a pipeline's target.
        done = [self._is_pipeline_done(pipeline) for pipeline in self._pipelines]
        return all(done)

    def _is_pipeline_done(self, pipeline: Pipeline) -> bool:
        name = pipeline.spec.name
        if any(worker.error is not None for worker in pipeline.reading):
            end = pipeline.log.end
            return pipeline.is_delivered(end.next if end else 0)
        if name not in self._targets and not self._aim(pipeline):
            return False
        if name not in self._ends:
            if not pipeline.is_settled_at(self._targets[name]):
                return False
            end = pipeline.log.end
            self._ends[name] = end.next if end else 0
            for delivery in pipeline.deliveries:
                delivery.flush_now.set()
        if not pipeline.is_delivered(self._ends[name]):
            return False
        if pipeline.copies.is_open:
            # A sink had something to be copied again: that is waited for too.
            del self._ends[name]
            return False
        return True

    def _aim(self, pipeline: Pipeline) -> bool:
        if not pipeline.capture.opened.is_set() or time.monotonic() - self._asked_at < 1.0:
            return False
        self._asked_at = time.monotonic()
        try:
            self._targets[pipeline.spec.name] = pipeline.source.current()
        except CdcError:
            # The workers meet it too, and say so.
            return False
        return True
