"""The core of the daemon: starts all pipelines, does the housekeeping once a second, and stops them in order.

While it runs, any thread can change what it runs, and pause and resume sources, sinks and tables.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cdc.engine.capture_pipeline import CapturePipeline
from cdc.engine.delivery_pipeline import DeliveryPipeline
from cdc.engine.housekeeping import Housekeeping
from cdc.engine.lineup import (
    STOP_READING_SECONDS,
    STOP_WRITING_SECONDS,
    Lineup,
    Surroundings,
    check_stopped,
)
from cdc.engine.pacing import Pacing
from cdc.engine.pauses import PauseWatch
from cdc.engine.pipelines import Pipelines
from cdc.engine.specs import SinkSpec, SourceSpec
from cdc.engine.workers import Log, stop_all
from cdc.errors import CdcError, ConfigError
from cdc.model import Position, TableId
from cdc.spi import LogStore, State
from cdc.spi.metrics import Meter
from cdc.spi.status import ConfigurationReport, DaemonReport
from cdc.spi.tracing import BatchTracer

# How often status, checkpoints and retention are looked at.
TICK_SECONDS = 0.25
# An operator waits for the end of `--once`, which takes four looks in a row.
ONCE_TICK_SECONDS = 0.05


class Outcome(StrEnum):
    """How a run ended: `stopped` on request, `done` (`--once`), or `failed` (a worker needs an operator)."""

    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunResult:
    """The outcome, with the error of each worker that ended permanently, by its name. `report` is the last
    one, after what was flushed during the stop.
    """

    outcome: Outcome
    errors: dict[str, BaseException]
    report: DaemonReport


class Engine:
    """Runs sources into sinks. Takes over the state, and closes it at the end. Use once."""

    def __init__(  # noqa: PLR0913, PLR0917  (the last two have defaults)
        self,
        sources: Sequence[SourceSpec],
        sinks: Sequence[SinkSpec],
        state: State,
        logs: LogStore,
        report: Log,
        scratch: Path | None = None,
        pacing: Pacing | None = None,
        tracer: BatchTracer | None = None,
    ) -> None:
        self._report = report
        if scratch is not None:
            # What another process left there means nothing any more.
            shutil.rmtree(scratch, ignore_errors=True)
        self._stop = threading.Event()
        self._state = state
        self._is_running = self._has_ended = False
        # One change of what runs at a time.
        self._changing = threading.Lock()
        self.pipelines = Pipelines()
        self._pauses = PauseWatch(state, self.pipelines, self._changing, report)
        surroundings = Surroundings(state, logs, report, scratch, pacing or Pacing(), tracer)
        self._lineup = Lineup(self.pipelines, surroundings, self._start)
        self._lineup.change(sources, sinks, hold=self._open_held)
        self._housekeeping = Housekeeping(state, self.pipelines)

    def stop(self) -> None:
        """Ask a running engine to finish its current work and return; safe in a signal handler."""
        self._stop.set()

    def run(self, *, once: bool = False, on_tick: Callable[[DaemonReport], None] | None = None) -> RunResult:
        """Run until stopped, until nothing is left that works,
        or (`once`) until everything there was at the start is delivered.
        """
        # There from the first moment: on a full disk it can be written over, but not made.
        self._housekeeping.tick()
        with self._changing:
            self._is_running = True
            self._start(list(self.pipelines.captures.values()))
            self._start(list(self.pipelines.deliveries.values()))
            for unopened in self.pipelines.unopened.values():
                unopened.worker.start()
        self._pauses.start()
        self._report("running", pid=os.getpid(), sources=list(self.pipelines.captures))
        end, done = OnceWatch(self.pipelines), False
        while not self._stop.wait(ONCE_TICK_SECONDS if once or self._only_snapshots() else TICK_SECONDS):
            report = self._housekeeping.tick()
            if on_tick is not None:
                on_tick(report)
            done = (once or self._only_snapshots()) and end.is_done()
            if done or self._nothing_works():
                break
        return self._finish(done=done)

    def meters(self) -> list[Meter]:
        """Return the meters of each source, and of each source of a sink."""
        captures, deliveries = self.pipelines.captures.values(), self.pipelines.deliveries.values()
        return [*(one.status.meter for one in captures), *(one.status.meter for one in deliveries)]

    @property
    def sources(self) -> list[SourceSpec]:
        """The sources that run now: the objects that `reconfigure` was given."""
        return list(self._lineup.sources.values())

    @property
    def sinks(self) -> list[SinkSpec]:
        """As `sources`."""
        return list(self._lineup.sinks.values())

    def reconfigure(self, sources: Sequence[SourceSpec], sinks: Sequence[SinkSpec]) -> None:
        """Run exactly these from now on: all of it takes effect, or nothing.

        A specification that is the same object as before continues untouched, a new one under a known name
        changes that source or sink. Of a changed source, tables that it no longer selects are forgotten, and
        newly selected tables are copied and followed. Log and state of a source that leaves are kept in case
        it returns; the logs keep nothing for a sink that leaves.

        Raises:
            ConfigError: two have one name, or a sink names a source that is not there.
            CdcError: the engine stops, something did not stop in time, or could not be opened; what ran
            before runs on.
        """
        with self._changing:
            if self._has_ended or self._stop.is_set():
                raise CdcError("the daemon is stopping", remedy="Start it again: it loads its configuration.")
            self._lineup.change(sources, sinks)

    def _open_held(self, name: str) -> None:
        with self._changing:
            if not self._has_ended and self._lineup.open_held(name):
                self._report("opened the log", source=name)

    def describe(self, configuration: ConfigurationReport) -> None:
        """Show this in the status from now on."""
        self._housekeeping.configuration = configuration

    def pause_source(self, name: str, by: str = "") -> None:
        """Stop reading a source, which keeps later changes, until it is resumed, even after a restart. Its
        sinks still receive the changes in the log. `by` names the operator.
        """
        with self._changing:
            check_stopped(self._capture(name).pause(STOP_READING_SECONDS))
            self._state.add_pause("source", name, by)

    def resume_source(self, name: str) -> None:
        """Resume a paused source; no-op if it is not paused."""
        with self._changing:
            pipeline = self._capture(name)
            self._state.remove_pause("source", name)
            if pipeline.is_paused:
                pipeline.resume()
                self._start([pipeline])

    def pause_sink(self, name: str, by: str = "") -> None:
        """Stop delivering to a sink until it is resumed, even after a restart. The logs keep the changes that
        it lacks. `by` names the operator.
        """
        with self._changing:
            for delivery in self._deliveries(name):
                delivery.worker.ask_to_stop()
            for delivery in self._deliveries(name):
                check_stopped(delivery.pause(STOP_WRITING_SECONDS))
            self._state.add_pause("sink", name, by)

    def resume_sink(self, name: str) -> None:
        """Resume a paused sink; no-op if it is not paused."""
        with self._changing:
            deliveries = self._deliveries(name)
            self._state.remove_pause("sink", name)
            for delivery in deliveries:
                if delivery.is_paused:
                    delivery.resume()
                    self._start([delivery])

    def pause_table(self, source: str, table: TableId) -> None:
        """Buffer the changes of a table until it is resumed, even after a restart."""
        self._capture(source).pause_table(table)
        self._report("table paused", source=source, table=str(table))

    def resume_table(self, source: str, table: TableId) -> None:
        """Release the buffered changes of a paused table, and follow it again."""
        self._capture(source).resume_table(table)
        self._report("table resumed", source=source, table=str(table))

    def _start(self, pipelines: Sequence[CapturePipeline | DeliveryPipeline]) -> None:
        if self._is_running:
            for pipeline in self._pauses.held(pipelines):
                pipeline.start()

    def _capture(self, name: str) -> CapturePipeline:
        if name not in self.pipelines.captures:
            raise ConfigError("there is no such source", where=f"sources.{name}")
        return self.pipelines.captures[name]

    def _deliveries(self, sink: str) -> list[DeliveryPipeline]:
        if sink not in self._lineup.sinks:
            raise ConfigError("there is no such sink", where=f"sinks.{sink}")
        return self.pipelines.of_sink(sink)

    def _finish(self, *, done: bool) -> RunResult:
        with self._changing:
            self._is_running, self._has_ended = False, True
        self._pauses.stop()
        captures, deliveries = self.pipelines.captures.values(), self.pipelines.deliveries.values()
        reading = [worker for pipeline in captures for worker in pipeline.workers]
        reading += [unopened.worker for unopened in self.pipelines.unopened.values()]
        writing = [delivery.worker for delivery in deliveries]
        stuck = stop_all(reading, STOP_READING_SECONDS) + stop_all(writing, STOP_WRITING_SECONDS)
        if stuck:
            self._report("stopping now: unfinished work continues at the next start", workers=stuck)
        report = self._housekeeping.tick(final=True)
        errors = {worker.name: worker.error for worker in [*reading, *writing] if worker.error is not None}
        refused: dict[str, BaseException] = {
            str(t): e for pipeline in captures for t, e in pipeline.coordinator.refused.items()
        }
        for delivery in deliveries:
            refused |= delivery.set_aside
        if not stuck:
            for delivery in deliveries:
                delivery.close()
            for pipeline in captures:
                pipeline.close()
            self._state.close()
        if errors or (done and refused):
            return RunResult(Outcome.FAILED, {**errors, **refused}, report)
        return RunResult(Outcome.DONE if done else Outcome.STOPPED, {}, report)

    def _only_snapshots(self) -> bool:
        specs = [pipeline.spec for pipeline in self.pipelines.captures.values()]
        specs += [unopened.spec for unopened in self.pipelines.unopened.values()]
        return all(spec.snapshot == "only" for spec in specs)

    def _nothing_works(self) -> bool:
        """Capture has ended everywhere and the sinks have all that is in the logs, or have ended too."""
        return not self.pipelines.unopened and all(
            pipeline.is_dead and self.pipelines.is_delivered(name, pipeline.end)
            for name, pipeline in self.pipelines.captures.items()
        )


class OnceWatch:
    """Watches for the end of `run --once`: the position that each source had at the start is in the log and
    in every sink.
    """

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines
        self._targets: dict[str, Position] = {}
        self._ends: dict[str, int] = {}
        self._asked_at = 0.0

    def is_done(self) -> bool:
        # Each is asked, even after one that isn't done: being asked is what sets a pipeline's target.
        done = [self._is_capture_done(pipeline) for pipeline in self._pipelines.captures.values()]
        done += [one.worker.error is not None for one in self._pipelines.unopened.values()]
        return all(done)

    def _is_capture_done(self, pipeline: CapturePipeline) -> bool:
        name = pipeline.spec.name
        if pipeline.has_error or pipeline.is_paused:
            return self._pipelines.is_delivered(name, pipeline.end)
        if name not in self._targets and not self._aim(pipeline):
            return False
        if name not in self._ends:
            if not self._is_settled(pipeline):
                return False
            self._ends[name] = pipeline.end
            for delivery in self._pipelines.of_source(name):
                delivery.delivery.flush()
        if not self._pipelines.is_delivered(name, self._ends[name]):
            return False
        if pipeline.copies.is_open:
            # A sink had something to be copied again: that is waited for too.
            del self._ends[name]
            return False
        return True

    def _is_settled(self, pipeline: CapturePipeline) -> bool:
        """Return whether the target is reached, and no copy is asked for or may still be, by a sink whose
        cursor is not known.
        """
        name = pipeline.spec.name
        known = all(delivery.is_known for delivery in self._pipelines.of_source(name))
        return pipeline.is_settled_at(self._targets[name]) and known and not pipeline.copies.is_open

    def _aim(self, pipeline: CapturePipeline) -> bool:
        if not pipeline.capture.opened.is_set() or time.monotonic() - self._asked_at < 1.0:
            return False
        self._asked_at = time.monotonic()
        try:
            self._targets[pipeline.spec.name] = pipeline.source.current()
        except CdcError:
            # The workers meet it too, and say so.
            return False
        return True
