"""What capture, coordinator and copier share of one source."""

from __future__ import annotations

from dataclasses import dataclass, field

from cdc.engine.ledger import Ledger
from cdc.engine.routing import Router
from cdc.engine.specs import SourceSpec
from cdc.engine.status import SourceStatus
from cdc.engine.workers import Log
from cdc.spi import LogWriter, Source


@dataclass(frozen=True, slots=True)
class Reading:
    """The source's side of a pipeline; owned and closed by the pipeline. `sinks` are the names of its
    sinks.
    """

    spec: SourceSpec
    source: Source
    ledger: Ledger
    router: Router
    status: SourceStatus
    report: Log
    sinks: set[str] = field(default_factory=set)

    @property
    def log(self) -> LogWriter:
        return self.ledger.log
