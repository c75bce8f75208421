"""The captures and deliveries that an engine runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from cdc.engine.capture_pipeline import CapturePipeline
from cdc.engine.delivery_pipeline import DeliveryPipeline
from cdc.engine.unopened import UnopenedSource


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
