"""Sources, sinks and tables come, go, pause and resume while the engine runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pyarrow as pa
import pytest

from cdc.engine import Engine, Outcome, Retention, SinkSpec, SourceSpec
from cdc.engine.specs import DELIVERIES_MEMORY_BYTES
from cdc.errors import ConfigError, SinkUnavailable
from cdc.log import LogView
from cdc.model import TableId
from cdc.spi import FlushPolicy, SourceContext
from cdc.state import LocalState
from cdc.testing.database import MemoryDatabase
from cdc.testing.events import table
from cdc.testing.memory import MemorySink, MemorySource, MemoryStore
from tests.integration.engine.conftest import Bench

T = table("public.t", {"id": pa.int64(), "note": pa.string()}, relation=1)
OTHER = table("public.other", {"id": pa.int64(), "note": pa.string()}, relation=2)
ROWS: list[dict[str, object]] = [{"id": i, "note": "old"} for i in range(25)]


def source(name: str, database: MemoryDatabase) -> SourceSpec:
    def make(context: SourceContext) -> MemorySource:
        return MemorySource(MemorySource.Options(database=database), context)

    return SourceSpec(name, make)


def sink(name: str, store: MemoryStore, *sources: str) -> SinkSpec:
    return SinkSpec(
        name,
        lambda context: MemorySink(MemorySink.Options(store=store), context),
        sources,
        FlushPolicy(interval_seconds=0.0),
    )


def started(bench: Bench) -> Engine:
    bench.database.create(T, ROWS)
    engine = bench.start().engine
    bench.wait_until_equal("public.t")
    return engine


def insert(bench: Bench, number: int, name: str = "public.t") -> None:
    bench.database.commit([(name, "c", {"id": number, "note": "new"})])


def log_reaches_now(bench: Bench) -> None:
    """Until the log has what the database has."""
    assert bench.running is not None
    log = bench.running.engine.pipelines.captures["shop"].log
    bench.wait_for(
        lambda: log.end is not None and log.end.position >= bench.database.now, "the log to reach the source"
    )


def test_a_source_and_a_sink_come_and_go(bench: Bench) -> None:
    engine = started(bench)
    # WHEN a sink is added that takes two sources, and its second source comes with it
    crm, everything = MemoryDatabase("crm"), MemoryStore()
    crm.create(OTHER, ROWS)
    engine.add_source(source("crm", crm))
    engine.add_sink(sink("everything", everything, "shop", "crm"))
    # THEN it gets both, and the first sink goes on
    bench.wait_until_equal("public.t", everything)
    bench.wait_for(lambda: len(everything.state("public.other")) == 25, "the rows of the new source")
    assert OTHER.table not in bench.store.tables
    # WHEN the source leaves, THEN the rest goes on, and it continues when it returns
    engine.remove_source("crm")
    crm.commit([("public.other", "c", {"id": 100, "note": "meanwhile"})])
    insert(bench, 100)
    bench.wait_until_equal("public.t", everything)
    assert list(engine.pipelines.deliveries) == [("shop", "lake"), ("shop", "everything")]
    engine.add_source(source("crm", crm))
    bench.wait_for(lambda: len(everything.state("public.other")) == 26, "what came meanwhile")
    assert [row["_cdc_op"] for row in everything.rows("public.other")].count("r") == 25
    # WHEN the sink leaves, THEN the log keeps nothing for it
    engine.remove_sink("everything")
    insert(bench, 101)
    bench.wait_until_equal("public.t")
    assert len(everything.state("public.t")) == 26
    capture = engine.pipelines.captures["shop"]
    bench.wait_for(lambda: capture.lowest_cursor == capture.end, "the only sink to be at the end")
    assert bench.running is not None
    assert bench.running.stop().outcome is Outcome.STOPPED


def test_sinks_that_come_share_the_memory_with_those_that_are_there(bench: Bench) -> None:
    engine = started(bench)
    stores = {name: MemoryStore() for name in "abcde"}
    for name, store in stores.items():
        engine.add_sink(sink(name, store, "shop"))
    insert(bench, 100)
    for store in (bench.store, *stores.values()):
        bench.wait_until_equal("public.t", store)
    shares = [one.resources.memory_bytes for one in engine.pipelines.of_source("shop")]
    assert shares == [DELIVERIES_MEMORY_BYTES // 6] * 6
    assert [row["_cdc_op"] for row in bench.store.rows("public.t")].count("r") == 25


def test_what_is_there_is_not_added_and_what_is_not_is_refused(bench: Bench) -> None:
    engine = started(bench)
    refused: list[tuple[Callable[[], None], str]] = [
        (lambda: engine.add_source(source("shop", bench.database)), "already exists"),
        (lambda: engine.add_sink(sink("lake", bench.store, "shop")), "already exists"),
        (lambda: engine.add_sink(sink("other", bench.store, "nowhere")), "no such source"),
        (lambda: engine.pause_source("nowhere"), "no such source"),
        (lambda: engine.remove_sink("nowhere"), "no such sink"),
        (lambda: engine.pause_table("shop", TableId("public", "nowhere")), "not known"),
    ]
    for change, message in refused:
        with pytest.raises(ConfigError, match=message):
            change()
    insert(bench, 100)
    bench.wait_until_equal("public.t")


def test_a_paused_source_keeps_its_changes_and_goes_on(bench: Bench) -> None:
    engine = started(bench)
    engine.pause_source("shop")
    assert bench.status().state == "paused"
    insert(bench, 100)
    assert not bench.is_equal("public.t")
    engine.resume_source("shop")
    engine.resume_source("shop")
    bench.wait_until_equal("public.t")
    assert bench.status().state == "streaming"


def test_a_paused_sink_lets_the_others_go_on_and_the_log_keeps_what_it_lacks(bench: Bench) -> None:
    mart = bench.others["mart"] = MemoryStore()
    bench.retention = Retention(timedelta(0), 0)
    engine = started(bench)
    bench.wait_until_equal("public.t", mart)
    engine.pause_sink("mart")
    capture = engine.pipelines.captures["shop"]
    kept = capture.lowest_cursor
    insert(bench, 100)
    bench.wait_until_equal("public.t")
    assert capture.lowest_cursor == kept
    assert not bench.is_equal("public.t", mart)
    engine.resume_sink("mart")
    bench.wait_until_equal("public.t", mart)
    bench.wait_for(lambda: capture.lowest_cursor == capture.end, "the sink to be at the end")


def test_a_paused_table_waits_alone_also_over_a_restart(bench: Bench) -> None:
    bench.database.create(OTHER, ROWS)
    engine = started(bench)
    bench.wait_until_equal("public.other")
    # WHEN one table is paused
    engine.pause_table("shop", T.table)
    engine.pause_table("shop", T.table)
    steps = [("public.t", "u", {"id": 3, "note": "new"}), ("public.t", "d", {"id": 4})]
    bench.database.commit([*steps, ("public.other", "c", {"id": 100, "note": "new"})])
    # THEN the others go on, and its changes are neither shown nor lost
    bench.wait_until_equal("public.other")
    log_reaches_now(bench)
    assert len(bench.store.rows("public.t")) == 25
    assert bench.running is not None
    bench.running.stop()
    engine = bench.start().engine
    insert(bench, 101)
    log_reaches_now(bench)
    assert len(bench.store.rows("public.t")) == 25
    engine.resume_table("shop", T.table)
    engine.resume_table("shop", T.table)
    bench.wait_until_equal("public.t")
    insert(bench, 102)
    bench.wait_until_equal("public.t")
    ops = [row["_cdc_op"] for row in bench.store.rows("public.t")]
    assert [ops.count(op) for op in "rudc"] == [25, 1, 1, 2]
    assert not list((bench.folder / "held" / "shop").iterdir())


def test_a_paused_table_that_has_to_be_copied_is_copied_when_it_is_resumed(bench: Bench) -> None:
    engine = started(bench)
    engine.pause_table("shop", T.table)
    bench.database.rename("public.t", "t2")
    insert(bench, 100, "public.t2")
    bench.database.drop(TableId("public", "t2"))
    again = table("public.t2", {"id": pa.int64(), "note": pa.string()}, relation=9)
    bench.database.create(again, ROWS[:3], followed=True)
    insert(bench, 101, "public.t2")
    log_reaches_now(bench)
    number = bench.request("public.t2")
    assert "resumed" in (bench.wait_until_done(number) or "")
    engine.resume_table("shop", again.table)
    bench.wait_until_equal("public.t2")
    insert(bench, 102, "public.t2")
    bench.wait_until_equal("public.t2")


def test_tables_come_and_go_with_another_selection(bench: Bench) -> None:
    bench.database.create(OTHER, ROWS)
    bench.database.excluded.add(OTHER.table)
    engine = started(bench)
    assert OTHER.table not in bench.store.tables
    spec = engine.pipelines.captures["shop"].spec
    # WHEN the selection changes, THEN one table is copied and the other one is left as it is
    bench.database.excluded = {T.table}
    engine.change_source(spec)
    bench.wait_until_equal("public.other")
    insert(bench, 100, "public.other")
    bench.wait_until_equal("public.other")
    with closing(LocalState(bench.folder).reader()) as state:
        assert state.unfinished_copies() == []
    assert not any('"t"' in key for key in LogView(bench.folder / "log" / "shop").metadata)


def test_a_sink_that_is_down_is_paused_and_removed(bench: Bench) -> None:
    engine = started(bench)
    bench.store.fail(*[SinkUnavailable("down")] * 1000)
    insert(bench, 100)
    bench.wait_for(lambda: any(e.get("kind") == "SinkUnavailable" for e in bench.events), "the outage")
    engine.pause_sink("lake")
    bench.store.errors.clear()
    engine.resume_sink("lake")
    bench.wait_until_equal("public.t")
    engine.remove_sink("lake")
    assert engine.pipelines.deliveries == {}
