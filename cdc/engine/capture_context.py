"""State of one source that its capture, coordinator and copier share."""

from __future__ import annotations

from dataclasses import dataclass

from cdc.engine.ledger import Ledger
from cdc.engine.pacing import Pacing
from cdc.engine.routing import Router
from cdc.engine.specs import SourceSpec
from cdc.engine.status import SourceStatus
from cdc.engine.workers import Log
from cdc.spi import LogWriter, Source


@dataclass(frozen=True, slots=True)
class CaptureContext:
    """Owned and closed by the pipeline. `sinks` are the names of the sinks that take its changes."""

    spec: SourceSpec
    source: Source
    ledger: Ledger
    router: Router
    status: SourceStatus
    report: Log
    sinks: set[str]
    pacing: Pacing

    @property
    def log(self) -> LogWriter:
        return self.ledger.log
