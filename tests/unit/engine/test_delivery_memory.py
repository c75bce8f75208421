"""What deliveries may hold in memory, and how a sink's declared policy is obeyed."""

from __future__ import annotations

from cdc.engine.specs import (
    DELIVERIES_MEMORY_BYTES,
    PARTS_IN_MEMORY,
    delivery_memory,
)
from cdc.spi import Atomicity, Capabilities, FlushPolicy
from cdc.spi.capabilities import DEFAULT_PART_BYTES
from cdc.spi.sink import DEFAULT_MEMORY_BYTES

SLOW = Capabilities(("append",), (), Atomicity.NOTHING, False, smallest_interval_seconds=60.0)


def test_few_deliveries_have_the_memory_of_a_whole_part() -> None:
    assert delivery_memory(0) == delivery_memory(1) == delivery_memory(2) == DEFAULT_MEMORY_BYTES
    assert delivery_memory(1) // PARTS_IN_MEMORY == DEFAULT_PART_BYTES


def test_many_deliveries_stay_under_one_limit_together() -> None:
    for count in (3, 4, 10, 100):
        assert count * delivery_memory(count) <= DELIVERIES_MEMORY_BYTES


def test_a_sink_is_never_flushed_oftener_than_it_declares() -> None:
    assert SLOW.obeyed(FlushPolicy(rows=5, interval_seconds=1.0)) == FlushPolicy(
        rows=5, interval_seconds=60.0
    )
    assert SLOW.obeyed(FlushPolicy(interval_seconds=90.0)) == FlushPolicy(interval_seconds=90.0)
