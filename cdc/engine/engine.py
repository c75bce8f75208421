"""The core of the daemon: starts all pipelines, does the housekeeping once a second, and stops them in order.

While it runs, sources, sinks and tables can be added, changed, paused, resumed and removed, by any thread.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from cdc.engine.capture_pipeline import CapturePipeline
from cdc.engine.delivery_pipeline import DeliveryPipeline, DeliveryResources
from cdc.engine.housekeeping import Housekeeping
from cdc.engine.pacing import Pacing
from cdc.engine.pauses import PauseWatch
from cdc.engine.pipelines import Pipelines
from cdc.engine.specs import SinkSpec, SourceSpec, delivery_memory, effective_backfill
from cdc.engine.unopened import UnopenedSource
from cdc.engine.workers import Log, stop_all
from cdc.errors import CdcError, ConfigError, PluginError
from cdc.model import Position, TableId
from cdc.spi import LogStore, State
from cdc.spi.metrics import Meter
from cdc.spi.status import DaemonReport

# How often status, checkpoints and retention are looked at.
TICK_SECONDS = 0.25
# Somebody waits for the end of `--once`, which takes four looks in a row.
ONCE_TICK_SECONDS = 0.05
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
        state: State,
        logs: LogStore,
        report: Log,
        scratch: Path | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        self._report = report
        self._scratch = scratch
        self._pacing = pacing or Pacing()
        if scratch is not None:
            # What another process left there means nothing any more.
            shutil.rmtree(scratch, ignore_errors=True)
        self._planned = sum(len(spec.sources) for spec in sinks)
        self._stop = threading.Event()
        self._state = state
        self._logs = logs
        self._sinks: dict[str, SinkSpec] = {}
        self._epochs: dict[str, int] = {}
        self._is_running = False
        # One change of what runs at a time.
        self._changing = threading.Lock()
        self.pipelines = Pipelines()
        self._pauses = PauseWatch(state, self.pipelines, self._changing, report)
        for source in sources:
            self._add_or_hold(source)
        for sink in sinks:
            self.add_sink(sink)
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
        end = OnceWatch(self.pipelines) if once or self._only_snapshots() else None
        tick_seconds = TICK_SECONDS if end is None else ONCE_TICK_SECONDS
        done = False
        while not self._stop.wait(tick_seconds):
            report = self._housekeeping.tick()
            if on_tick is not None:
                on_tick(report)
            done = end is not None and end.is_done()
            if done or self._nothing_works():
                break
        return self._finish(done=done)

    def meters(self) -> list[Meter]:
        """Return the meters of each source, and of each source of a sink."""
        captures, deliveries = self.pipelines.captures.values(), self.pipelines.deliveries.values()
        return [*(one.status.meter for one in captures), *(one.status.meter for one in deliveries)]

    def add_source(self, spec: SourceSpec) -> None:
        """Run another source, into the sinks that name it."""
        with self._changing:
            if spec.name in self.pipelines.captures or spec.name in self.pipelines.unopened:
                raise ConfigError("this source already exists", where=f"sources.{spec.name}")
            self._add_source(spec)

    def _add_source(self, spec: SourceSpec) -> None:
        log, retention = self._logs.writer(spec.name), self._logs.retention(spec.name)
        try:
            pipeline = CapturePipeline(spec, log, retention, self._state, self._report, self._pacing)
        except BaseException:
            log.close()
            raise
        self.pipelines.captures = {**self.pipelines.captures, spec.name: pipeline}
        added = [self._deliver(spec.name, sink) for sink in self._sinks.values()]
        self._start([pipeline, *(delivery for delivery in added if delivery is not None)])

    def _add_or_hold(self, spec: SourceSpec) -> None:
        """Add a source at the start; if its log cannot be opened, the others run without it until it can."""
        try:
            self.add_source(spec)
        except (ConfigError, PluginError):
            raise
        except CdcError as error:
            unopened = UnopenedSource(spec, error, self._open_held, self._report, self._pacing)
            self.pipelines.unopened = {**self.pipelines.unopened, spec.name: unopened}

    def _open_held(self, name: str) -> None:
        with self._changing:
            held = self.pipelines.unopened.get(name)
            if held is not None:
                self._add_source(held.spec)
                self._let_go(name)
                self._report("opened the log", source=name)

    def _let_go(self, name: str) -> UnopenedSource | None:
        """Take a source out of those whose logs are not open; its worker ends by itself."""
        held = self.pipelines.unopened.get(name)
        if held is not None:
            rest = {key: one for key, one in self.pipelines.unopened.items() if key != name}
            self.pipelines.unopened = rest
            held.worker.ask_to_stop()
        return held

    def change_source(self, spec: SourceSpec) -> None:
        """Replace the specification of a source: tables that it no longer selects are forgotten, and newly
        selected tables are copied and followed. Sinks see no other effect.
        """
        with self._changing:
            held = self.pipelines.unopened.get(spec.name)
            if held is not None:
                held.spec = spec
                return
            pipeline = self._capture(spec.name)
            self._check_stopped(pipeline.pause(STOP_READING_SECONDS))
            pipeline.replace(spec)
            self._start([pipeline])

    def remove_source(self, name: str) -> None:
        """Stop a source and its deliveries. Log and state are kept in case it is added again."""
        with self._changing:
            if self._let_go(name) is not None:
                return
            pipeline = self._capture(name)
            deliveries = self.pipelines.of_source(name)
            stuck = stop_all(pipeline.workers, STOP_READING_SECONDS)
            stuck += stop_all([delivery.worker for delivery in deliveries], STOP_WRITING_SECONDS)
            self._check_stopped(stuck)
            with self.pipelines.housekeeping:
                captures = self.pipelines.captures
                self.pipelines.captures = {key: one for key, one in captures.items() if key != name}
                self._forget(deliveries)
                pipeline.close()

    def pause_source(self, name: str, by: str = "") -> None:
        """Stop reading a source, which keeps later changes, until it is resumed, even after a restart. Its
        sinks still receive the changes in the log. `by` names the operator.
        """
        with self._changing:
            self._check_stopped(self._capture(name).pause(STOP_READING_SECONDS))
            self._state.add_pause("source", name, by)

    def resume_source(self, name: str) -> None:
        """Resume a paused source; no-op if it is not paused."""
        with self._changing:
            pipeline = self._capture(name)
            self._state.remove_pause("source", name)
            if pipeline.is_paused:
                pipeline.resume()
                self._start([pipeline])

    def add_sink(self, spec: SinkSpec) -> None:
        """Deliver to another sink, from the beginning of the logs of its sources or from copies."""
        with self._changing:
            if spec.name in self._sinks:
                raise ConfigError("this sink already exists", where=f"sinks.{spec.name}")
            held = self.pipelines.unopened
            for name in held.keys() & spec.sources:
                held[name].sinks.add(spec.name)
            known = [self._capture(name) for name in spec.sources if name not in held]
            # The logs count too: an epoch never goes back, even where the state is lost and the logs aren't.
            starts = max((pipeline.start_number for pipeline in known), default=1)
            self._epochs[spec.name] = self._state.next_epoch(spec.name, at_least=starts)
            self._sinks[spec.name] = spec
            added = [self._deliver(name, spec) for name in spec.sources if name not in held]
            self._start([delivery for delivery in added if delivery is not None])

    def remove_sink(self, name: str) -> None:
        """Stop delivering to a sink. The logs no longer keep changes for it."""
        with self._changing:
            deliveries = self._deliveries(name)
            self._check_stopped(stop_all([delivery.worker for delivery in deliveries], STOP_WRITING_SECONDS))
            del self._sinks[name]
            for held in self.pipelines.unopened.values():
                held.sinks.discard(name)
            self._forget(deliveries)

    def pause_sink(self, name: str, by: str = "") -> None:
        """Stop delivering to a sink until it is resumed, even after a restart. The logs keep the changes that
        it lacks. `by` names the operator.
        """
        with self._changing:
            for delivery in self._deliveries(name):
                delivery.worker.ask_to_stop()
            for delivery in self._deliveries(name):
                self._check_stopped(delivery.pause(STOP_WRITING_SECONDS))
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

    def _deliver(self, source: str, sink: SinkSpec) -> DeliveryPipeline | None:
        """Make the delivery of a source to a sink, if the sink takes it."""
        if source not in sink.sources:
            return None
        capture = self.pipelines.captures[source]
        memory = delivery_memory(max(self._planned, len(self.pipelines.deliveries) + 1))
        self._share_memory(memory)
        scratch = self._scratch / source / sink.name if self._scratch is not None else None
        delivery = DeliveryPipeline(
            source,
            sink,
            self._logs.reader(source),
            self._state,
            DeliveryResources(self._epochs[sink.name], memory, scratch, self._pacing),
            effective_backfill(capture.spec.snapshot, sink.backfill),
            self._report,
        )
        capture.sinks.add(sink.name)
        self.pipelines.deliveries = {**self.pipelines.deliveries, (source, sink.name): delivery}
        return delivery

    def _share_memory(self, memory_bytes: int) -> None:
        """Have the deliveries that hold more continue with so much each."""
        for delivery in self.pipelines.deliveries.values():
            if delivery.resources.memory_bytes > memory_bytes:
                was_paused = delivery.is_paused
                self._check_stopped(delivery.pause(STOP_WRITING_SECONDS))
                delivery.resources = replace(delivery.resources, memory_bytes=memory_bytes)
                if not was_paused:
                    delivery.resume()
                    self._start([delivery])

    def _start(self, pipelines: Sequence[CapturePipeline | DeliveryPipeline]) -> None:
        if self._is_running:
            for pipeline in self._pauses.held(pipelines):
                pipeline.start()

    def _forget(self, deliveries: Sequence[DeliveryPipeline]) -> None:
        gone = {(delivery.source, delivery.spec.name) for delivery in deliveries}
        kept = {key: one for key, one in self.pipelines.deliveries.items() if key not in gone}
        self.pipelines.deliveries = kept
        for delivery in deliveries:
            delivery.close()
        for source, sink in gone:
            if source in self.pipelines.captures:
                self.pipelines.captures[source].sinks.discard(sink)

    def _capture(self, name: str) -> CapturePipeline:
        if name not in self.pipelines.captures:
            raise ConfigError("there is no such source", where=f"sources.{name}")
        return self.pipelines.captures[name]

    def _deliveries(self, sink: str) -> list[DeliveryPipeline]:
        if sink not in self._sinks:
            raise ConfigError("there is no such sink", where=f"sinks.{sink}")
        return self.pipelines.of_sink(sink)

    def _check_stopped(self, stuck: Sequence[str]) -> None:
        if stuck:
            raise CdcError(
                f"still busy: {', '.join(stuck)}", remedy="Try again. Unfinished work continues later."
            )

    def _finish(self, *, done: bool) -> RunResult:
        with self._changing:
            self._is_running = False
        self._pauses.stop()
        captures, deliveries = self.pipelines.captures.values(), self.pipelines.deliveries.values()
        reading = [worker for pipeline in captures for worker in pipeline.workers]
        reading += [unopened.worker for unopened in self.pipelines.unopened.values()]
        writing = [delivery.worker for delivery in deliveries]
        stuck = stop_all(reading, STOP_READING_SECONDS) + stop_all(writing, STOP_WRITING_SECONDS)
        if stuck:
            self._report("stopping now: unfinished work continues at the next start", workers=stuck)
        self._housekeeping.tick(final=True)
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
            return RunResult(Outcome.FAILED, {**errors, **refused})
        return RunResult(Outcome.DONE if done else Outcome.STOPPED, {})

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
    """Tells when `run --once` is done:
    the position that each source had at the start is in the log and in every sink.
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
