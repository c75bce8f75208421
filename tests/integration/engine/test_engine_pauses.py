"""Pauses that another process wrote into the state: followed while the engine runs, and at its next start."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

from cdc.engine import Outcome
from cdc.model import TableId
from cdc.spi import StateReader
from cdc.state import LocalState
from cdc.testing.events import table
from cdc.testing.memory import MemoryStore
from tests.integration.engine.conftest import Bench

T = table("public.t", {"id": pa.int64(), "note": pa.string()}, relation=1)
ROWS: list[dict[str, object]] = [{"id": i, "note": "old"} for i in range(25)]


@pytest.fixture
def mart(bench: Bench) -> MemoryStore:
    """A running engine with a second sink, both equal to the source."""
    store = bench.others["mart"] = MemoryStore()
    bench.database.create(T, ROWS)
    bench.start()
    for one in (bench.store, store):
        bench.wait_until_equal("public.t", one)
    return store


def tell(bench: Bench, what: Callable[[StateReader], Any]) -> Any:
    with closing(LocalState(bench.folder).reader()) as state:
        return what(state)


def state_of(bench: Bench, kind: str) -> str:
    assert bench.running is not None
    pipelines = bench.running.engine.pipelines
    status = pipelines.captures["shop"] if kind == "source" else pipelines.deliveries["shop", "mart"]
    return status.status.state


def insert(bench: Bench, number: int) -> None:
    bench.database.commit([("public.t", "c", {"id": number, "note": "new"})])


def test_a_sink_that_a_command_pauses_waits_and_the_other_goes_on(bench: Bench, mart: MemoryStore) -> None:
    tell(bench, lambda state: state.add_pause("sink", "mart", "ops"))
    bench.wait_for(lambda: state_of(bench, "sink") == "paused", "the sink to be paused")
    insert(bench, 100)
    bench.wait_until_equal("public.t")
    assert not bench.is_equal("public.t", mart)
    tell(bench, lambda state: state.remove_pause("sink", "mart"))
    bench.wait_until_equal("public.t", mart)


def test_a_sink_that_does_not_stop_in_time_is_not_paused_and_gets_no_second_worker(
    bench: Bench, mart: MemoryStore
) -> None:
    assert bench.running is not None
    engine = bench.running.engine
    delivery = engine.pipelines.deliveries["shop", "mart"]
    worker = delivery.worker
    with mart.changed:
        insert(bench, 100)
        bench.wait_until_equal("public.t")
        assert delivery.pause(0.0) == [worker.name]
        assert not delivery.is_paused
        engine.resume_sink("mart")
        assert delivery.worker is worker
    bench.wait_until_equal("public.t", mart)


def test_pauses_hold_over_a_restart_and_a_run_once_does_not_wait_for_them(
    bench: Bench, mart: MemoryStore
) -> None:
    assert bench.running is not None
    bench.running.engine.pause_sink("mart", "ops")
    bench.running.stop()
    insert(bench, 100)
    assert bench.start(once=True).join().outcome is Outcome.DONE
    assert bench.is_equal("public.t")
    assert not bench.is_equal("public.t", mart)
    # WHEN the source is paused too, THEN nothing is read
    tell(bench, lambda state: state.add_pause("source", "shop", "ops"))
    insert(bench, 101)
    assert bench.start(once=True).join().outcome is Outcome.DONE
    assert not bench.is_equal("public.t")
    # WHEN both are resumed while the engine runs, THEN both catch up
    bench.start()
    bench.wait_for(lambda: state_of(bench, "source") == "paused", "the source to be held")
    tell(bench, lambda state: [state.remove_pause(*one) for one in (("source", "shop"), ("sink", "mart"))])
    for one in (bench.store, mart):
        bench.wait_until_equal("public.t", one)


def test_a_table_is_paused_and_resumed_on_request(bench: Bench, mart: MemoryStore) -> None:
    def request(name: str, *, pauses: bool) -> str | None:
        number = tell(bench, lambda s: s.request_table_pause("shop", TableId("public", name), pauses=pauses))
        done = bench.wait_for
        done(
            lambda: tell(bench, lambda s: s.table_pause_request(number)).finished_at, "the request to be done"
        )
        error: str | None = tell(bench, lambda state: state.table_pause_request(number)).error
        return error

    assert request("nowhere", pauses=True) == "public.nowhere: this table is not known"
    assert request("t", pauses=True) is None
    insert(bench, 100)
    assert request("t", pauses=False) is None
    bench.wait_until_equal("public.t", mart)
