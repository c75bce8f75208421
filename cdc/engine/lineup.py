"""Which sources and sinks an engine runs, and the step from one set of them to another while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from cdc.defaults import BackfillMode
from cdc.engine.capture_pipeline import CapturePipeline
from cdc.engine.delivery_pipeline import DeliveryPipeline, DeliveryResources
from cdc.engine.pacing import Pacing
from cdc.engine.pipelines import Pipelines, UnopenedSource
from cdc.engine.specs import SinkSpec, SourceSpec, delivery_memory, effective_backfill
from cdc.engine.workers import Log, stop_all
from cdc.errors import CdcError, ConfigError, PluginError
from cdc.spi import LogStore, State
from cdc.spi.tracing import BatchTracer

# Together below the 30 s that systemd and Kubernetes give by default.
STOP_READING_SECONDS = 12.0
STOP_WRITING_SECONDS = 15.0

REMOVED = "No action needed: retention removes these changes. Sinks cannot be replayed from before them."

Pair = tuple[str, str]
Pipeline = CapturePipeline | DeliveryPipeline
SpecT = TypeVar("SpecT", SourceSpec, SinkSpec)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The things that every pipeline of an engine works with."""

    state: State
    logs: LogStore
    report: Log
    scratch: Path | None
    pacing: Pacing
    tracer: BatchTracer | None = None


@dataclass(slots=True)
class _Change:
    """The sources and sinks that are wanted, and what they mean for the pipelines that run."""

    sources: Mapping[str, SourceSpec]
    sinks: Mapping[str, SinkSpec]
    held: dict[str, UnopenedSource] = field(default_factory=dict)
    added: dict[str, CapturePipeline] = field(default_factory=dict)
    replaced: list[tuple[CapturePipeline, SourceSpec]] = field(default_factory=list)
    removed: list[CapturePipeline] = field(default_factory=list)
    opened: dict[Pair, DeliveryPipeline] = field(default_factory=dict)
    kept: dict[Pair, DeliveryPipeline] = field(default_factory=dict)
    ended: list[DeliveryPipeline] = field(default_factory=list)
    shrunk: list[DeliveryPipeline] = field(default_factory=list)
    memory_bytes: int = 0

    def pairs(self) -> list[Pair]:
        """The deliveries, source and sink, of sources whose logs are open."""
        return [
            (source, sink.name)
            for sink in self.sinks.values()
            for source in self.sources
            if source in sink.sources and source not in self.held
        ]

    def backfill(self, pair: Pair) -> BackfillMode:
        return effective_backfill(self.sources[pair[0]].snapshot, self.sinks[pair[1]].backfill)


class Lineup:
    """One engine's. `start` starts those pipelines that are not paused. Called by one thread at a time."""

    def __init__(
        self, pipelines: Pipelines, around: Surroundings, start: Callable[[Sequence[Pipeline]], None]
    ) -> None:
        self.sources: Mapping[str, SourceSpec] = {}
        self.sinks: Mapping[str, SinkSpec] = {}
        self._pipelines = pipelines
        self._around = around
        self._start = start
        self._epochs: dict[str, int] = {}

    def change(
        self,
        sources: Sequence[SourceSpec],
        sinks: Sequence[SinkSpec],
        *,
        hold: Callable[[str], None] | None = None,
        opening: str | None = None,
    ) -> None:
        """Have the engine run exactly these, as `Engine.reconfigure` says.

        With `hold`, a source whose log cannot be opened is left to a worker that calls it until it has
        opened the log by `open_held`. `opening` is the name of such a source, whose log is to be opened now.
        """
        change = self._compared(_by_name(sources, "sources"), _by_name(sinks, "sinks"), opening)
        with ExitStack() as undo:
            self._open_logs(change, undo, hold)
            self._stop(change, undo)
            self._replace_sources(change, undo)
            self._claim_sinks(change)
            self._open_deliveries(change, undo)
            undo.pop_all()
        self._publish(change)
        self._revive(change.shrunk)
        replaced = [pipeline for pipeline, _ in change.replaced]
        self._start([*change.added.values(), *replaced, *change.opened.values()])
        gone: list[Pipeline] = [*change.ended, *change.removed]
        for pipeline in gone:
            pipeline.close()

    def open_held(self, name: str) -> bool:
        """Run a source whose log could not be opened; whether there is one. Raises what keeps it closed."""
        if name not in self._pipelines.unopened:
            return False
        self.change(list(self.sources.values()), list(self.sinks.values()), opening=name)
        return True

    def _compared(
        self, sources: Mapping[str, SourceSpec], sinks: Mapping[str, SinkSpec], opening: str | None
    ) -> _Change:
        unopened = self._pipelines.unopened
        held = {name: one for name, one in unopened.items() if name in sources and name != opening}
        change = _Change(sources, sinks, held)
        for sink in sinks.values():
            for name in sink.sources:
                if name not in sources:
                    raise ConfigError("there is no such source", where=f"sources.{name}")
        for name, pipeline in self._pipelines.captures.items():
            if name not in sources:
                change.removed.append(pipeline)
            elif pipeline.spec is not sources[name]:
                change.replaced.append((pipeline, sources[name]))
        pairs = change.pairs()
        # Those of sources that are held come later.
        change.memory_bytes = delivery_memory(sum(len(sink.sources) for sink in sinks.values()))
        for pair, delivery in self._pipelines.deliveries.items():
            is_same = pair in pairs and self.sinks[pair[1]] is sinks[pair[1]]
            if not is_same or delivery.backfill != change.backfill(pair):
                change.ended.append(delivery)
                continue
            change.kept[pair] = delivery
            if delivery.resources.memory_bytes > change.memory_bytes:
                change.shrunk.append(delivery)
        return change

    def _open_logs(self, change: _Change, undo: ExitStack, hold: Callable[[str], None] | None) -> None:
        around = self._around
        for name, spec in change.sources.items():
            if name in self._pipelines.captures or name in change.held:
                continue
            try:
                change.added[name] = self._opened(spec, self._needed_from(name, change), undo)
            except (ConfigError, PluginError):
                raise
            except CdcError as error:
                if hold is None:
                    raise
                change.held[name] = UnopenedSource(spec, error, hold, around.report, around.pacing)

    def _needed_from(self, source: str, change: _Change) -> int:
        """Return the offset that every sink of the source has passed; 0 if that is not known."""
        cursors = self._around.state.cursors(source)
        sinks = [sink.name for sink in change.sinks.values() if source in sink.sources]
        return min((cursors[sink].next if sink in cursors else 0 for sink in sinks), default=0)

    def _opened(self, spec: SourceSpec, needed_from: int, undo: ExitStack) -> CapturePipeline:
        around, name = self._around, spec.name
        log, retention = around.logs.writer(name, needed_from), around.logs.retention(name)
        for error in retention.damage:
            around.report(
                "the log is damaged where no sink needs it",
                level="warning",
                source=name,
                where=error.where,
                error=error.message,
                remedy=REMOVED,
            )
        try:
            pipeline = CapturePipeline(
                spec, log, retention, around.state, around.report, around.pacing, around.tracer
            )
        except BaseException:
            log.close()
            raise
        undo.callback(pipeline.close)
        return pipeline

    def _stop(self, change: _Change, undo: ExitStack) -> None:
        """Stop every pipeline that is removed or changed. A paused one stays paused."""
        reading = [*change.removed, *(pipeline for pipeline, _ in change.replaced)]
        writing = [*change.ended, *change.shrunk]
        undo.callback(self._revive, [*reading, *writing])
        for delivery in writing:
            delivery.worker.ask_to_stop()
        stuck = stop_all([worker for one in reading for worker in one.workers], STOP_READING_SECONDS)
        check_stopped(stuck + stop_all([one.worker for one in writing], STOP_WRITING_SECONDS))

    def _replace_sources(self, change: _Change, undo: ExitStack) -> None:
        for pipeline, spec in change.replaced:
            undo.callback(pipeline.replace, pipeline.spec)
            pipeline.replace(spec)

    def _claim_sinks(self, change: _Change) -> None:
        """Give new and changed sinks an epoch of their own: the cursors of earlier ones count no more."""
        captures = {**self._pipelines.captures, **change.added}
        for name, sink in change.sinks.items():
            if self.sinks.get(name) is not sink:
                # The logs count too: an epoch never goes back, even where the state is lost and the logs
                # aren't.
                known = [captures[one] for one in sink.sources if one in captures]
                starts = max((pipeline.start_number for pipeline in known), default=1)
                self._epochs[name] = self._around.state.next_epoch(name, at_least=starts)

    def _open_deliveries(self, change: _Change, undo: ExitStack) -> None:
        around = self._around
        for pair in change.pairs():
            if pair in change.kept:
                continue
            source, name = pair
            scratch = around.scratch / source / name if around.scratch is not None else None
            reader = around.logs.reader(source)
            undo.callback(reader.close)
            change.opened[pair] = DeliveryPipeline(
                source,
                change.sinks[name],
                reader,
                around.state,
                DeliveryResources(
                    self._epochs[name], change.memory_bytes, scratch, around.pacing, around.tracer
                ),
                change.backfill(pair),
                around.report,
            )

    def _publish(self, change: _Change) -> None:
        deliveries = change.kept | change.opened
        captures = {**self._pipelines.captures, **change.added}
        with self._pipelines.housekeeping:
            for source, sink in deliveries:
                captures[source].sinks.add(sink)
            self._pipelines.captures = {n: captures[n] for n in change.sources if n not in change.held}
            self._pipelines.deliveries = {pair: deliveries[pair] for pair in change.pairs()}
            self.sources, self.sinks = change.sources, change.sinks
            self._hold(change)
            # Last: a sink that leaves, and one that comes, both hold what the source may forget until now.
            for name, pipeline in self._pipelines.captures.items():
                pipeline.sinks &= {sink for source, sink in deliveries if source == name}
        for delivery in change.shrunk:
            delivery.resources = replace(delivery.resources, memory_bytes=change.memory_bytes)

    def _hold(self, change: _Change) -> None:
        """Leave the sources of `change.held` to their workers, and end the workers of the others."""
        for name, held in self._pipelines.unopened.items():
            if name not in change.held:
                held.worker.ask_to_stop()
        for name, held in change.held.items():
            held.spec = change.sources[name]
            held.sinks = {sink.name for sink in change.sinks.values() if name in sink.sources}
        self._pipelines.unopened = change.held

    def _revive(self, pipelines: Sequence[Pipeline]) -> None:
        """Resume stopped pipelines. `PauseWatch` resumes those that are still stopping."""
        for pipeline in pipelines:
            if any(worker.is_alive for worker in pipeline.workers):
                continue
            if isinstance(pipeline, DeliveryPipeline):
                # The sink may have a new epoch by now.
                epoch = self._epochs[pipeline.spec.name]
                pipeline.resources = replace(pipeline.resources, epoch=epoch)
            pipeline.resume()
            self._start([pipeline])


def check_stopped(stuck: Sequence[str]) -> None:
    """Raise CdcError if there are workers that did not stop."""
    if stuck:
        raise CdcError(
            f"still busy: {', '.join(stuck)}", remedy="Try again. Unfinished work continues later."
        )


def _by_name(specs: Sequence[SpecT], kind: str) -> dict[str, SpecT]:
    named: dict[str, SpecT] = {}
    for spec in specs:
        if spec.name in named:
            raise ConfigError("this name is given twice", where=f"{kind}.{spec.name}")
        named[spec.name] = spec
    return named
