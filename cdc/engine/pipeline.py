"""One source, its log, and the sinks that read it: wiring only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cdc.engine.beginning import Beginning
from cdc.engine.capture import Capture
from cdc.engine.coordinator import Coordinator
from cdc.engine.copies import CopyRequests, CopyRequestStore
from cdc.engine.delivery import Delivery, PlanStore
from cdc.engine.identity import starts_in
from cdc.engine.ledger import Ledger
from cdc.engine.reading import Reading
from cdc.engine.routing import Router
from cdc.engine.specs import PARTS_IN_MEMORY, SinkSpec, SourceSpec, effective_backfill
from cdc.engine.status import SinkStatus, SourceStatus
from cdc.engine.workers import Log, Worker
from cdc.errors import SinkRefused
from cdc.model import Position
from cdc.spi import (
    LogIdentity,
    LogStore,
    LogWriter,
    MeasuresDistance,
    Sink,
    SinkContext,
    Source,
    SourceContext,
)


class Pipeline:
    """Owns one source, its log, and the workers of all its deliveries."""

    def __init__(
        self,
        spec: SourceSpec,
        logs: LogStore,
        report: Log,
        requests: CopyRequestStore,
    ) -> None:
        self.spec = spec
        self.log = logs.writer(spec.name)
        self.retention = logs.retention(spec.name)
        self.status = SourceStatus(spec.name)
        self.source: Source = spec.make(
            SourceContext(
                spec.name, _bound(report, source=spec.name), self.status.count, _owner(spec, self.log)
            )
        )
        if isinstance(self.source, MeasuresDistance):
            self.status.distance = self.source.distance
        self._report = report
        self._bound = _bound(report, source=spec.name)
        router = Router(spec.snapshot)
        reading = Reading(spec, self.source, Ledger(self.log), router, self.status, self._bound)
        self.capture = Capture(reading, self._acknowledgeable)
        self._sinks = reading.sinks
        self.copies = CopyRequests(reading, requests)
        self.coordinator = Coordinator(reading, self.capture.opened, self.copies)
        self.deliveries: list[Delivery] = []
        self.sink_statuses: list[SinkStatus] = []
        self.reading = [
            Worker(f"capture:{spec.name}", self.capture.run, self.status, report),
            Worker(f"snapshot:{spec.name}", self.coordinator.run, self.status.copying, report),
        ]
        self.writing: list[Worker] = []
        self.status.positioned(self.log.end)

    def add_sink(
        self, spec: SinkSpec, epoch: int, plans: PlanStore, memory_bytes: int, scratch: Path | None
    ) -> None:
        """Add the delivery of this source's log to one sink."""
        status = SinkStatus(spec.name, self.spec.name)
        report = _bound(self._report, sink=spec.name)
        stop = threading.Event()
        context = SinkContext(
            spec.name,
            epoch,
            report,
            status.count,
            self.log.identity,
            gauge=status.gauge,
            memory_bytes=memory_bytes,
            scratch=scratch,
            stop=stop,
        )
        make: Callable[[], Sink] = lambda: spec.make(context)  # noqa: E731  (a name for the type's sake)
        mode = effective_backfill(self.spec.snapshot, spec.backfill)
        beginning = Beginning(self.log, self.copies, mode, status, context.log)
        spec = replace(spec, part_bytes=min(spec.part_bytes, memory_bytes // PARTS_IN_MEMORY))
        delivery = Delivery(self.spec.name, self.log, make, plans, beginning, spec, status)
        self._sinks.add(spec.name)
        self.deliveries.append(delivery)
        self.sink_statuses.append(status)
        name = f"deliver:{self.spec.name}:{spec.name}"
        self.writing.append(Worker(name, delivery.run, status, self._report, stop))

    @property
    def set_aside(self) -> dict[str, BaseException]:
        """The tables that sinks have set aside, as errors by sink and table."""
        return {
            f"{status.name}: {table}": SinkRefused(error.message, remedy=error.remedy)
            for status in self.sink_statuses
            for table, error in status.set_aside.items()
        }

    @property
    def workers(self) -> list[Worker]:
        return [*self.reading, *self.writing]

    @property
    def lowest_cursor(self) -> int | None:
        """The offset that every sink has passed; None while a sink's cursor isn't known."""
        if any(delivery.position is None for delivery in self.deliveries):
            return None
        return min((status.next for status in self.sink_statuses), default=None)

    @property
    def is_dead(self) -> bool:
        """Whether capture has stopped and is not retried."""
        return self.reading[0].failed is not None

    @property
    def waiting_for(self) -> set[str]:
        """The kinds of the current errors and waits."""
        errors = (worker.last_error for worker in self.workers)
        return self.status.waits.kinds | {error.kind for error in errors if error is not None}

    def tick(self) -> None:
        """Log waits that have begun or ended, and workers that have recovered."""
        self.status.waits.report(self._bound)
        for status in self.sink_statuses:
            if status.replaying_to is not None and status.next >= status.replaying_to:
                self._bound("replay finished", sink=status.name, offset=status.next)
                status.replaying_to = None
        for worker in self.workers:
            worker.tick()

    def is_settled_at(self, target: Position) -> bool:
        """Whether the log holds everything up to the target, every selected table is live, and no copy is
        asked for or may still be, by a sink whose cursor is not known.
        """
        end = self.log.end
        if end is None or end.position.order < target.order or not self.coordinator.is_settled:
            return False
        known = [
            delivery.opened.is_set() or worker.error is not None
            for delivery, worker in zip(self.deliveries, self.writing, strict=True)
        ]
        return all(known) and not self.copies.is_open

    def is_delivered(self, offset: int) -> bool:
        """Whether every sink that still works has everything below `offset`."""
        return all(
            worker.error is not None or status.next >= offset
            for worker, status in zip(self.writing, self.sink_statuses, strict=True)
        )

    def close(self) -> None:
        self.source.close()
        self.log.close()

    def _acknowledgeable(self) -> Position | None:
        """What the source may forget: what is durable in the log, or (`acknowledge: sinks`) in every sink."""
        end = self.log.end
        if self.spec.acknowledge == "log" or end is None:
            return end.position if end else None
        if all(status.next >= end.next for status in self.sink_statuses):
            return end.position
        positions = [delivery.position for delivery in self.deliveries]
        known = [position for position in positions if position is not None]
        return min(known) if len(known) == len(positions) else None


def _owner(spec: SourceSpec, log: LogWriter) -> LogIdentity:
    starts = starts_in(log.metadata) + 1
    return LogIdentity(log.identity, starts, is_new=log.end is None, takes_over=spec.takes_over)


def _bound(report: Log, **fields: str) -> Log:
    def bound(event: str, **more: object) -> None:
        report(event, **fields, **more)

    return bound


def start_all(workers: list[Worker]) -> None:
    for worker in workers:
        worker.start()


def stop_all(workers: list[Worker], timeout_seconds: float) -> list[str]:
    """Ask all to stop and wait for them together; the names of those that did not in time."""
    for worker in workers:
        worker.stop.set()
    deadline = time.monotonic() + timeout_seconds
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    return [worker.name for worker in workers if worker.is_alive]
