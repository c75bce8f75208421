"""The captures and deliveries that an engine runs, and the sources whose logs it cannot open yet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cdc.engine.capture_pipeline import CapturePipeline
from cdc.engine.delivery_pipeline import DeliveryPipeline
from cdc.engine.pacing import Pacing
from cdc.engine.retry import Directive, directive
from cdc.engine.specs import SourceSpec
from cdc.engine.status import LastError, SourceStatus
from cdc.engine.workers import Log, Worker, bound
from cdc.errors import CdcError


class UnopenedSource:
    """Owns the worker that calls `open_log` until that succeeds; `status` shows the error from the start.

    `sinks` are the names of the sinks that take its changes.
    """

    def __init__(
        self, spec: SourceSpec, error: CdcError, open_log: Callable[[str], None], report: Log, pacing: Pacing
    ) -> None:
        self.spec = spec
        self.status = SourceStatus(spec.name, state="failed", log_is_open=False)
        needs_operator = directive(error) is not Directive.RETRY
        self.status.last_error = LastError.of(error, None, needs_operator=needs_operator)
        self.sinks: set[str] = set()
        self._open_log = open_log
        report = bound(report, source=spec.name)
        self.worker = Worker(f"open:{spec.name}", self._run, self.status, report, pacing=pacing)

    def _run(self, _: threading.Event) -> None:
        self._open_log(self.spec.name)


@dataclass(slots=True)
class Pipelines:
    """The captures by source, the deliveries by source and sink, and the sources whose logs are not open.
    Each mapping is replaced whole, so that readers need no lock.
    """

    captures: dict[str, CapturePipeline] = field(default_factory=dict)
    deliveries: dict[tuple[str, str], DeliveryPipeline] = field(default_factory=dict)
    unopened: dict[str, UnopenedSource] = field(default_factory=dict)
    housekeeping: threading.Lock = field(default_factory=threading.Lock)
    """Held during a round of housekeeping, and while a pipeline leaves."""

    def of_source(self, source: str) -> list[DeliveryPipeline]:
        return [delivery for (name, _), delivery in self.deliveries.items() if name == source]

    def of_sink(self, sink: str) -> list[DeliveryPipeline]:
        return [delivery for (_, name), delivery in self.deliveries.items() if name == sink]

    def is_delivered(self, source: str, offset: int) -> bool:
        """Return whether every sink of the source that still works has everything below `offset`."""
        return all(delivery.is_delivered(offset) for delivery in self.of_source(source))
