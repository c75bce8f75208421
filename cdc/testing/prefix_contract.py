"""Promises of `cdc.spi.sink` about a delivery of many commits that breaks off: a part of `SinkContract`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.model import ChangeBatch, Commit, TableSchema
from cdc.spi import Delivery, Sink
from cdc.testing.events import EPOCH, changes, delivery, position, table
from cdc.testing.fold import Row

DOCUMENTS = table("public.documents", {"id": pa.int64(), "text": pa.string()}, version=1)
# Together more than a sink may want in one transaction.
COMMITS = 12
VALUE_CHARACTERS = 4 * 1024 * 1024


class BrokenOff(Exception):
    """A log that can't be read on."""


class PrefixContract:
    """After an error, a sink holds whole commits only."""

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        """See `SinkContract`."""
        raise NotImplementedError

    def test_a_large_delivery_that_breaks_off_leaves_whole_commits(self, place: Path, sink: Sink) -> None:
        batches = list(_large_commits())
        with pytest.raises(BrokenOff):
            sink.apply(_delivery_of(batches, breaks_off=True))
        cursor = sink.committed("shop")
        reached = cursor.next if cursor else 0
        assert cursor is None or cursor.position == position(reached)
        rest = _delivery_of(batches)
        sink.apply(rest.behind(reached) if reached else rest)
        cursor = sink.committed("shop")
        assert cursor is not None
        assert cursor.next == COMMITS
        sink.close()
        found = sorted((row["id"], len(row["text"])) for row in self.read_state(place, DOCUMENTS))
        assert found == [(i, VALUE_CHARACTERS) for i in range(COMMITS)]


def _large_commits() -> Iterator[ChangeBatch]:
    for i in range(COMMITS):
        batch = changes(DOCUMENTS, [("c", {"id": i, "text": "x" * VALUE_CHARACTERS})], start=i)
        commit = Commit(i, i + 1, position(i + 1), EPOCH, EPOCH, 1, batch.byte_count)
        yield replace(batch, commit=commit)


def _delivery_of(batches: Sequence[ChangeBatch], *, breaks_off: bool = False) -> Delivery:
    def parts() -> Iterator[Sequence[ChangeBatch]]:
        yield from ([batch] for batch in batches)
        if breaks_off:
            raise BrokenOff

    return delivery([], first=0, next=len(batches), parts=parts)
