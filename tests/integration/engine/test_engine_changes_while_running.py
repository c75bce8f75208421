"""Sources, sinks and tables come, go, pause and resume while the engine runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from cdc.engine import Engine, Outcome, Retention, SinkSpec, SourceSpec
from cdc.engine.specs import DELIVERIES_MEMORY_BYTES
from cdc.errors import ConfigError, SinkUnavailable, StateError, StateFull
from cdc.log import LogView
from cdc.model import TableId
from cdc.spi import FlushPolicy, Sink, SinkContext, SourceContext
from cdc.state import LocalState
from cdc.state.store import SqliteState
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


def change(engine: Engine, *new: SourceSpec | SinkSpec, without: str = "") -> None:
    """Have the engine run what it runs, with these in addition or in place of their namesakes."""
    sources = {one.name: one for one in [*engine.sources, *new] if isinstance(one, SourceSpec)}
    sinks = {one.name: one for one in [*engine.sinks, *new] if isinstance(one, SinkSpec)}
    engine.reconfigure(
        [one for one in sources.values() if one.name != without],
        [one for one in sinks.values() if one.name != without],
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
    change(engine, source("crm", crm), sink("everything", everything, "shop", "crm"))
    # THEN it gets both, and the first sink goes on
    bench.wait_until_equal("public.t", everything)
    bench.wait_for(lambda: len(everything.state("public.other")) == 25, "the rows of the new source")
    assert OTHER.table not in bench.store.tables
    # WHEN the source leaves, THEN the rest goes on, and it continues when it returns
    with pytest.raises(ConfigError, match="no such source"):
        change(engine, without="crm")
    change(engine, sink("everything", everything, "shop"), without="crm")
    crm.commit([("public.other", "c", {"id": 100, "note": "meanwhile"})])
    insert(bench, 100)
    bench.wait_until_equal("public.t", everything)
    assert list(engine.pipelines.deliveries) == [("shop", "lake"), ("shop", "everything")]
    change(engine, source("crm", crm), sink("everything", everything, "shop", "crm"))
    bench.wait_for(lambda: len(everything.state("public.other")) == 26, "what came meanwhile")
    assert [row["_cdc_op"] for row in everything.rows("public.other")].count("r") == 25
    # WHEN the sink leaves, THEN the log keeps nothing for it
    change(engine, without="everything")
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
        change(engine, sink(name, store, "shop"))
    insert(bench, 100)
    for store in (bench.store, *stores.values()):
        bench.wait_until_equal("public.t", store)
    shares = [one.resources.memory_bytes for one in engine.pipelines.of_source("shop")]
    assert shares == [DELIVERIES_MEMORY_BYTES // 6] * 6
    assert [row["_cdc_op"] for row in bench.store.rows("public.t")].count("r") == 25


def test_what_is_not_there_and_what_is_there_twice_is_refused(bench: Bench) -> None:
    engine = started(bench)
    refused: list[tuple[Callable[[], None], str]] = [
        (lambda: engine.reconfigure(engine.sources * 2, engine.sinks), "given twice"),
        (lambda: engine.reconfigure(engine.sources, engine.sinks * 2), "given twice"),
        (lambda: change(engine, sink("other", bench.store, "nowhere")), "no such source"),
        (lambda: engine.pause_source("nowhere"), "no such source"),
        (lambda: engine.pause_sink("nowhere"), "no such sink"),
        (lambda: engine.pause_table("shop", TableId("public", "nowhere")), "not known"),
    ]
    for attempt, message in refused:
        with pytest.raises(ConfigError, match=message):
            attempt()
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
    # WHEN the selection changes, THEN one table is copied and the other one is left as it is
    bench.database.excluded = {T.table}
    change(engine, replace(engine.sources[0]))
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
    change(engine, without="lake")
    assert engine.pipelines.deliveries == {}


def test_a_changed_sink_goes_on_where_it_was_also_in_another_place(bench: Bench) -> None:
    engine = started(bench)
    other = MemoryStore()
    change(engine, sink("mart", MemoryStore(), "shop"), sink("lake", bench.store, "shop"))
    insert(bench, 100)
    bench.wait_until_equal("public.t")
    assert [row["_cdc_op"] for row in bench.store.rows("public.t")].count("r") == 25
    # WHEN two sinks swap what they write to, THEN neither meets the other there
    change(engine, sink("mart", bench.store, "shop"), sink("lake", other, "shop"))
    insert(bench, 101)
    bench.wait_until_equal("public.t")
    bench.wait_until_equal("public.t", other)


def test_a_changed_sink_holds_the_log_until_its_cursor_is_known(bench: Bench) -> None:
    bench.retention = Retention(timedelta(0), 0)
    mart = bench.others["mart"] = MemoryStore()
    engine = started(bench)
    bench.wait_until_equal("public.t", mart)
    capture = engine.pipelines.captures["shop"]
    down, works = threading.Event(), sink("mart", mart, "shop")
    down.set()

    def make(context: SinkContext) -> Sink:
        if down.is_set():
            raise SinkUnavailable("down")
        return works.make(context)

    change(engine, replace(works, make=make))
    insert(bench, 100)
    bench.wait_until_equal("public.t")
    assert capture.lowest_cursor is None
    down.clear()
    bench.wait_until_equal("public.t", mart)


def test_a_change_that_fails_half_way_leaves_all_as_it_was(bench: Bench) -> None:
    bench.others["mart"] = MemoryStore()
    engine = started(bench)
    crm, everything = MemoryDatabase("crm"), MemoryStore()
    crm.create(OTHER, ROWS)

    def broken(_: SourceContext) -> MemorySource:
        raise StateError("cannot be made")

    # WHEN the second of two changed sources cannot be made
    change(engine, source("crm", crm), sink("everything", everything, "crm"))
    before = (engine.sources, engine.sinks)
    shop = replace(engine.sources[0], acknowledge="sinks")
    news = [shop, replace(engine.sources[1], make=broken), source("third", MemoryDatabase("third"))]
    with pytest.raises(StateError, match="cannot be made"):
        change(engine, *news, sink("lake", MemoryStore(), "shop", "third"), without="mart")
    # THEN everything is as before, and works
    assert (engine.sources, engine.sinks) == before
    insert(bench, 100)
    crm.commit([("public.other", "c", {"id": 100, "note": "meanwhile"})])
    bench.wait_until_equal("public.t")
    bench.wait_until_equal("public.t", bench.others["mart"])
    bench.wait_for(lambda: len(everything.state("public.other")) == 26, "what came meanwhile")
    # AND what was made meanwhile is not in the way of another try
    change(engine, source("third", MemoryDatabase("third")))


def test_a_change_that_finds_no_room_leaves_cursors_that_count(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mart = bench.others["mart"] = MemoryStore()
    engine = started(bench)
    real, claimed = SqliteState.next_epoch, []

    def next_epoch(state: SqliteState, name: str, *, at_least: int = 1) -> int:
        claimed.append(name)
        if len(claimed) > 1:
            raise StateFull("the disk is full")
        return real(state, name, at_least=at_least)

    monkeypatch.setattr(SqliteState, "next_epoch", next_epoch)
    with pytest.raises(StateFull):
        change(engine, sink("lake", bench.store, "shop"), sink("mart", mart, "shop"))
    insert(bench, 100)
    bench.wait_until_equal("public.t", mart)
    capture = engine.pipelines.captures["shop"]
    bench.wait_for(lambda: capture.lowest_cursor == capture.end, "the cursors of both sinks")
