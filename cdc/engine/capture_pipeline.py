"""One source and its log: everything on the side that writes the log. Wiring only."""

from __future__ import annotations

from cdc.engine.capture import Capture
from cdc.engine.capture_context import CaptureContext
from cdc.engine.coordinator import Coordinator
from cdc.engine.copies import CopyRequests
from cdc.engine.definitions import NewDefinitions
from cdc.engine.identity import next_start
from cdc.engine.ledger import Ledger
from cdc.engine.outdated import Outdated, record_of
from cdc.engine.pacing import Pacing
from cdc.engine.routing import Router
from cdc.engine.specs import SourceSpec
from cdc.engine.status import SourceStatus
from cdc.engine.table_pauses import pause_table, resume_table
from cdc.engine.waits import Waits
from cdc.engine.workers import Log, PausablePipeline, Worker, bound
from cdc.model import Position, TableId
from cdc.spi import (
    CaptureState,
    LogIdentity,
    LogRetention,
    LogWriter,
    MeasuresDistance,
    Source,
    SourceContext,
)
from cdc.spi.tracing import BatchTracer


class CapturePipeline(PausablePipeline):
    """Owns a source, its log and their workers. The state shows what the sinks have applied. A paused source
    is not read: it keeps later changes.

    `sinks` are the names of the sinks that take changes from the source.
    """

    status: SourceStatus

    def __init__(
        self,
        spec: SourceSpec,
        log: LogWriter,
        retention: LogRetention,
        state: CaptureState,
        report: Log,
        pacing: Pacing,
        tracer: BatchTracer | None = None,
    ) -> None:
        self.log = log
        self.retention = retention
        self.sinks: set[str] = set()
        self._state = state
        self._report = report
        self._pacing = pacing
        self._tracer = tracer
        self._ledger = Ledger(log)
        self._open(spec)

    def _open(self, spec: SourceSpec) -> None:
        """Make the source, and all that works with it."""
        self.spec = spec
        self.status = SourceStatus(spec.name, waits=Waits(self._pacing), tracer=self._tracer)
        report = bound(self._report, source=spec.name)
        self.start_number = next_start(self.log.metadata, takes_over=spec.takes_over)
        owner = LogIdentity(
            self.log.identity, self.start_number, is_new=self.log.end is None, takes_over=spec.takes_over
        )
        context_of_source = SourceContext(spec.name, report, self.status.count, owner, self._note_start)
        self.source: Source = spec.make(context_of_source)
        if isinstance(self.source, MeasuresDistance):
            self.status.distance = self.source.distance
        record = record_of(self.source)
        self.status.outdated = Outdated(self._ledger, record).names
        router = Router(spec.snapshot, record)
        context = CaptureContext(
            spec, self.source, self._ledger, router, self.status, report, self.sinks, self._pacing
        )
        self.copies = CopyRequests(context, self._state)
        self.capture = Capture(context, self._acknowledgeable, self.copies)
        self.coordinator = Coordinator(context, self.capture.opened, self.copies)
        self._make_workers()
        self.status.positioned(self.log.end)

    def _note_start(self) -> None:
        self.capture.note_start()

    def _make_workers(self) -> None:
        name, report, pacing = self.spec.name, self._report, self._pacing
        self.workers = [
            Worker(f"capture:{name}", self.capture.run, self.status, report, pacing=pacing),
            Worker(f"snapshot:{name}", self.coordinator.run, self.status.copying, report, pacing=pacing),
        ]

    @property
    def definitions(self) -> NewDefinitions:
        """The versions of tables' definitions that the state may not have yet."""
        return self._ledger.definitions

    @property
    def subject(self) -> tuple[str, str]:
        """Return the kind and name by which an operator pauses this pipeline."""
        return "source", self.spec.name

    def resume(self) -> None:
        """Create new workers, which are not started yet."""
        self.status.state = "starting"
        self._make_workers()

    def replace(self, spec: SourceSpec) -> None:
        """Replace the specification of the source; call it while the pipeline is paused."""
        self.source.close()
        self._open(spec)

    def pause_table(self, table: TableId) -> None:
        """Buffer the changes of a live table from now on."""
        pause_table(self._ledger, table)

    def resume_table(self, table: TableId) -> None:
        """Release the buffered changes of a paused table, and follow it again."""
        resume_table(self._ledger, self.source.position, table)

    @property
    def lowest_cursor(self) -> int | None:
        """The offset that every sink has passed; None while a sink's cursor is not known."""
        cursors = self._state.cursors(self.spec.name)
        if any(sink not in cursors for sink in self.sinks):
            return None
        return min((cursors[sink].next for sink in self.sinks), default=None)

    @property
    def end(self) -> int:
        """The offset after the newest commit."""
        end = self.log.end
        return end.next if end else 0

    @property
    def is_dead(self) -> bool:
        """Whether capture has stopped and is not retried."""
        return self.workers[0].failed is not None

    @property
    def has_error(self) -> bool:
        """Whether capture or the copies need an operator."""
        return any(worker.error is not None for worker in self.workers)

    @property
    def waiting_for(self) -> set[str]:
        """The kinds of the current errors and waits."""
        errors = (worker.last_error for worker in self.workers)
        return self.status.waits.kinds | {error.kind for error in errors if error is not None}

    def tick(self) -> None:
        """Log waits that have begun or ended, and workers that have recovered."""
        self.status.waits.report(bound(self._report, source=self.spec.name))
        for worker in self.workers:
            worker.tick()

    def is_settled_at(self, target: Position) -> bool:
        """Return whether the log holds everything up to the target and every selected table is live."""
        end = self.log.end
        return end is not None and end.position.order >= target.order and self.coordinator.is_settled

    def close(self) -> None:
        self.source.close()
        self.log.close()

    def _acknowledgeable(self) -> Position | None:
        """Return the durable position, which the source may discard up to: of the log, or of every sink."""
        end = self.log.end
        if self.spec.acknowledge == "log" or end is None:
            return end.position if end else None
        cursors = self._state.cursors(self.spec.name)
        known = [cursors[sink] for sink in self.sinks if sink in cursors]
        if len(known) == len(self.sinks):
            is_everywhere = all(cursor.next >= end.next for cursor in known)
            return end.position if is_everywhere else min(cursor.position for cursor in known)
        # A log without changes has nothing that a sink could lack.
        return end.position if end.next == 0 else None
