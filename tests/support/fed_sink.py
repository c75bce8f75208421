"""A sink in a test that is fed with batches: deliveries that follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdc.model import ChangeBatch, TableSchema
from cdc.spi import SinkContext
from cdc.testing.events import LOG_ID, Change, altered, changes, delivery

SOURCE = "shop"


class FedSink:
    """`logged` and `counted` keep what the sink reported; a subclass sets `sink`."""

    sink: Any

    def __init__(self) -> None:
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.counted: dict[str, int] = {}
        self.next = 0

    def context(self, epoch: int) -> SinkContext:
        return SinkContext("warehouse", epoch, self._log, self._count, log_id=LOG_ID)

    def apply(self, *batches: ChangeBatch, parts: Sequence[Sequence[ChangeBatch]] | None = None) -> None:
        """One delivery with these batches; their `_cdc_seq` must follow what was delivered before."""
        given = [list(batches)] if parts is None else [list(part) for part in parts]
        first = self.next
        lasts = (batch.last_seq for part in given for batch in part)
        end = max((last + 1 for last in lasts if last is not None), default=first)
        self.sink.apply(delivery([], first=first, next=end, parts=lambda: iter(given)))
        self.next = end

    def change(self, schema: TableSchema, *rows: Change, **envelope: Any) -> ChangeBatch:
        """Deliver these changes of one table as one batch."""
        batch = changes(schema, rows, start=self.next, **envelope)
        self.apply(batch)
        return batch

    def alter(self, *schemas: TableSchema) -> None:
        """Deliver the marks of new definitions, which no rows follow."""
        self.apply(*(altered(schema, self.next + i) for i, schema in enumerate(schemas)))

    def rewind(self, offset: int) -> None:
        self.sink.rewind(SOURCE, offset)
        self.next = offset

    def again(self, batch: ChangeBatch) -> None:
        """Deliver a batch from before once more, and only it."""
        self.rewind(batch.seq[0].as_py())
        self.apply(batch)

    def _log(self, event: str, **fields: Any) -> None:
        self.logged.append((event, fields))

    def _count(self, name: str, amount: int) -> None:
        self.counted[name] = self.counted.get(name, 0) + amount
