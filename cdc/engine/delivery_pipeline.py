"""One log and one sink: everything on the side that reads the log. Wiring only."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from cdc.defaults import BackfillMode
from cdc.engine.beginning import Beginning
from cdc.engine.delivery import DeliveryLoop
from cdc.engine.pacing import Pacing
from cdc.engine.specs import PARTS_IN_MEMORY, SinkSpec
from cdc.engine.status import SinkStatus
from cdc.engine.workers import Log, PausablePipeline, Worker, bound
from cdc.errors import SinkRefused
from cdc.spi import DeliveryState, LogReader, SinkContext
from cdc.spi.tracing import BatchTracer


@dataclass(frozen=True, slots=True)
class DeliveryResources:
    """Resources of a delivery: its sink's epoch, share of the memory and folder for scratch
    files, how it is paced, and what traces its batches.
    """

    epoch: int
    memory_bytes: int
    scratch: Path | None
    pacing: Pacing
    tracer: BatchTracer | None = None


class DeliveryPipeline(PausablePipeline):
    """Owns the delivery of one source's log to one sink, and closes the log. Log and state show what
    capture has done. While it is paused, the log keeps the changes that the sink lacks.
    """

    status: SinkStatus

    def __init__(
        self,
        source: str,
        spec: SinkSpec,
        log: LogReader,
        state: DeliveryState,
        resources: DeliveryResources,
        backfill: BackfillMode,
        report: Log,
    ) -> None:
        self.source = source
        self.spec = spec
        self.resources = resources
        self.status = SinkStatus(
            spec.name,
            source,
            flush_interval_seconds=spec.flush.interval_seconds,
            tracer=resources.tracer,
        )
        self._log = log
        self._state = state
        self.backfill = backfill
        self._report = report
        self._open()

    def _open(self) -> None:
        """Make the delivery and its worker, with what the sink may use."""
        spec, resources, stop = self.spec, self.resources, threading.Event()
        context = SinkContext(
            spec.name,
            resources.epoch,
            bound(self._report, sink=spec.name),
            self.status.count,
            self._log.identity,
            gauge=self.status.gauge,
            memory_bytes=resources.memory_bytes,
            scratch=resources.scratch,
            stop=stop,
        )
        part_bytes = min(spec.part_bytes, resources.memory_bytes // PARTS_IN_MEMORY)
        self.delivery = DeliveryLoop(
            self._log,
            self._state,
            lambda: spec.make(context),
            Beginning(self._log, self._state, self.backfill, self.status, context.log),
            replace(spec, part_bytes=part_bytes),
            context,
            self.status,
        )
        name = f"deliver:{self.source}:{spec.name}"
        self.worker = Worker(
            name,
            self.delivery.run,
            self.status,
            self._report,
            stop,
            wake=self._log.wake,
            pacing=resources.pacing,
        )
        self.workers = [self.worker]

    @property
    def subject(self) -> tuple[str, str]:
        """Return the kind and name by which an operator pauses this pipeline."""
        return "sink", self.spec.name

    def resume(self) -> None:
        """Create a new delivery, which is not started yet."""
        self.status.state = "starting"
        self._open()

    @property
    def is_known(self) -> bool:
        """Whether the sink's cursor is known, or will not be without an operator."""
        return self.delivery.opened.is_set() or self.worker.error is not None or self.is_paused

    @property
    def set_aside(self) -> dict[str, BaseException]:
        """The tables that the sink has set aside, as errors by sink and table."""
        return {
            f"{self.spec.name}: {table}": SinkRefused(error.message, remedy=error.remedy)
            for table, error in self.status.set_aside.items()
        }

    def is_delivered(self, offset: int) -> bool:
        """Return whether the sink, if it still works, has everything below `offset`."""
        return self.worker.error is not None or self.is_paused or self.status.next >= offset

    def close(self) -> None:
        """Release the log; the worker has stopped."""
        self._log.close()

    def tick(self) -> None:
        """Log a replay that is finished, and a worker that has recovered."""
        status = self.status
        if status.replaying_to is not None and status.next >= status.replaying_to:
            self._report("replay finished", source=self.source, sink=status.name, offset=status.next)
            status.replaying_from = status.replaying_to = None
        self.worker.tick()
