"""Deliveries of wide rows: one at a time holds them, and no other reads its own before."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from cdc.engine.planning import delivery_of
from cdc.engine.wide import WIDE_BYTES, WideTurn
from cdc.model import ChangeBatch
from cdc.spi import Plan
from cdc.testing.events import append, position, table, transaction
from tests.support.logs import opened

DOCUMENTS = table("public.documents", {"id": pa.int64(), "body": pa.string()})


def test_a_wide_row_is_read_when_no_other_delivery_has_one(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, transaction(1, [(DOCUMENTS, "c", {"id": 1, "body": "x" * WIDE_BYTES})])[0])
        plan = Plan(0, 1, position(1), None)

        def read(turn: WideTurn) -> list[ChangeBatch]:
            delivery = delivery_of(plan, log, "shop", "lake", replaying=False, turn=turn)
            return [batch for part in delivery.parts() for batch in part]

        with WideTurn(0.0) as first, WideTurn(0.0) as second:
            assert [batch.row_count for batch in read(first)] == [1]
            assert first.is_held
            assert [batch.row_count for batch in read(second)] == [1]
            assert not second.is_held
        with WideTurn(0.0) as third:
            read(third)
            assert third.is_held
