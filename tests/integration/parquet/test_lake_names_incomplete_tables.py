"""The lake says which tables lack rows: in each manifest as of its commit, in the cursor file as of now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from cdc.model import CopyMark, CopyStep, TableSchema
from cdc.testing.events import EPOCH, changes, delivery, table
from cdc_sink_parquet import ParquetSink

ORDERS = table("public.orders", {"id": pa.int64()}, relation=1)
RENAMED = replace(ORDERS, table=replace(ORDERS.table, name="renamed"))


class Lake:
    """Deliveries of one offset each."""

    def __init__(self, sink: ParquetSink, folder: Path) -> None:
        self.sink, self.folder, self.next = sink, folder, 0

    def step(self, step: CopyStep, schema: TableSchema = ORDERS) -> None:
        batch = replace(changes(schema, [], start=self.next), mark=CopyMark(step, EPOCH, self.next))
        self._apply(batch)

    def insert(self, schema: TableSchema = ORDERS) -> None:
        self._apply(changes(schema, [("c", {"id": self.next})], start=self.next))

    def _apply(self, batch: Any) -> None:
        self.sink.apply(delivery([batch], first=self.next, next=self.next + 1))
        self.next += 1

    def incomplete(self) -> list[str]:
        state = orjson.loads((self.folder / "_cdc/sources/shop/cursor.json").read_bytes())
        assert all(one["since"] == EPOCH.isoformat() for one in state["incomplete"])
        return [one["table"] for one in state["incomplete"]]

    def manifests(self) -> list[list[str]]:
        found = sorted((self.folder / "_cdc/commits").rglob("*.json"))
        return [[one["table"] for one in orjson.loads(path.read_bytes())["incomplete"]] for path in found]


def test_a_table_is_named_from_the_mark_that_a_copy_is_due_to_its_end(
    lake: Path, open_lake: Callable[..., ParquetSink]
) -> None:
    shop = Lake(open_lake(), lake)
    shop.step(CopyStep.BEGIN)
    shop.insert()
    assert shop.incomplete() == ["public.orders"]
    shop.step(CopyStep.FINISHED)
    shop.insert()
    shop.step(CopyStep.PENDING)
    shop.step(CopyStep.BEGIN, RENAMED)
    assert shop.incomplete() == ["public.renamed"]
    shop.step(CopyStep.FINISHED, RENAMED)
    assert shop.incomplete() == []
    expected = [["public.orders"], ["public.orders"], [], [], ["public.orders"], ["public.renamed"], []]
    assert shop.manifests() == expected
    # A replay begins with what was known at its place.
    shop.sink.rewind("shop", 2)
    assert shop.incomplete() == ["public.orders"]


def test_a_range_without_rows_for_this_lake_leaves_no_file(
    lake: Path, open_lake: Callable[..., ParquetSink]
) -> None:
    shop = Lake(open_lake(), lake)
    shop.insert()
    before = sorted(path for path in lake.rglob("*") if path.is_file())
    shop.sink.apply(delivery([], first=1, next=9))
    assert sorted(path for path in lake.rglob("*") if path.is_file()) == before
    cursor = shop.sink.committed("shop")
    assert cursor is not None
    assert cursor.next == 9
