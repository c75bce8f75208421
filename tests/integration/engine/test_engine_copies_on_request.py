"""A table is copied again on request, or for a sink whose beginning the log no longer has: exactly,
resumably, and into no other sink.
"""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from cdc import failpoints
from cdc.engine import Outcome
from cdc.engine.pacing import Pacing
from cdc.errors import LogTrimmed, SourceBusy, UnsupportedSchema
from cdc.spi import SnapshotChunk
from cdc.testing.database import MemoryDatabase
from cdc.testing.events import table
from cdc.testing.memory import MemoryStore
from tests.integration.engine.conftest import Bench
from tests.integration.engine.test_engine_follows_table_identity import ask_to_read_again
from tests.integration.engine.test_engine_survives_crashes import ORDERS, POINTS, CrashAt, Writer
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

LINES = table("public.lines", {"id": pa.int64(), "note": pa.string()}, relation=3)
KEYLESS = table(
    "public.keyless", {"id": pa.int64(), "note": pa.string()}, key=(), identity="full", relation=2
)
TABLES = ("public.orders", "public.keyless")


@pytest.fixture
def pacing() -> Pacing:
    """The catalog is asked often, so that no test waits for it."""
    return Pacing(discover_seconds=0.2)


def filled(bench: Bench, *, rows: int = 45) -> None:
    bench.database.create(ORDERS, [{"id": i, "note": "old", "big": f"b{i}"} for i in range(rows)])
    bench.database.create(KEYLESS, [{"id": i % 5, "note": "same"} for i in range(rows)])


def write(bench: Bench, key: int) -> None:
    bench.database.commit(
        [
            ("public.orders", "c", {"id": key, "note": "new", "big": "new"}),
            ("public.orders", "u", {"id": 1, "note": f"n{key}"}, None, ["big"]),
            ("public.keyless", "c", {"id": 1, "note": "same"}),
        ]
    )


def stop(bench: Bench) -> None:
    assert bench.running is not None
    bench.running.stop()


def wait_until_equal(bench: Bench, *stores: MemoryStore) -> None:
    for store in stores:
        for name in TABLES:
            bench.wait_until_equal(name, store)


def wait_for_copies(bench: Bench, lake: int, mart: int) -> None:
    """Until the sinks have had so many second copies: they may equal the source before the last one, which
    the log has before they do.
    """
    stores = bench.store, bench.others["mart"]
    expected = [lake, mart]
    bench.wait_for(lambda: [ops(store).count("t") for store in stores] == expected, f"{expected} copies")


def ops(store: MemoryStore, name: str = "public.orders") -> list[str]:
    return [row["_cdc_op"] for row in store.rows(name)]


class HeldCopies:
    """Lets a copy read so many chunks and then waits until it is let go."""

    def __init__(self, database: MemoryDatabase, chunks: int = 1) -> None:
        self.waiting, self._go, self._left = threading.Event(), threading.Event(), chunks
        database.before_read = self._hold

    def _hold(self, _chunk: SnapshotChunk) -> None:
        self._left -= 1
        if self._left < 0:
            self.waiting.set()
            assert self._go.wait(DEFAULT_TIMEOUT_SECONDS)

    def let_go(self) -> None:
        self._go.set()


def with_mart(bench: Bench) -> MemoryStore:
    """Two sinks that have all rows; return the second one's."""
    filled(bench)
    bench.others = {"mart": (mart := MemoryStore())}
    bench.start()
    wait_until_equal(bench, bench.store, mart)
    return mart


def copy_for_mart(bench: Bench) -> tuple[MemoryStore, HeldCopies, int]:
    """A copy for one of two sinks that stands still until it is let go, and its request."""
    mart = with_mart(bench)
    held = HeldCopies(bench.database)
    number = bench.request("public.orders", sink="mart")
    bench.wait_for(held.waiting.is_set, "the copy")
    return mart, held, number


def test_a_new_sink_on_a_trimmed_log_gets_all_tables_and_the_other_sink_none_of_it(bench: Bench) -> None:
    # GIVEN a log that has lost its beginning
    filled(bench)
    bench.start()
    wait_until_equal(bench, bench.store)
    write(bench, 500)
    wait_until_equal(bench, bench.store)
    stop(bench)
    assert bench.trim_log() > 0
    before = ops(bench.store)
    # WHEN two sinks are added and changes go on
    bench.others = {"mart": MemoryStore(), "attic": MemoryStore()}
    write(bench, 501)
    bench.start()
    write(bench, 502)
    wait_until_equal(bench, bench.store, *bench.others.values())
    write(bench, 503)
    wait_until_equal(bench, bench.store, *bench.others.values())
    # THEN they equal the source, after one copy for both, and the first sink has had changes only
    assert ops(bench.others["mart"]).count("r") == ops(bench.others["attic"]).count("r") >= 47
    assert "r" not in ops(bench.store)[len(before) :]
    assert "t" not in ops(bench.store)
    # AND a restart begins no copy again
    stop(bench)
    rows = len(bench.others["mart"].rows("public.orders"))
    bench.start()
    write(bench, 504)
    wait_until_equal(bench, bench.store, *bench.others.values())
    assert len(bench.others["mart"].rows("public.orders")) == rows + 2


def test_a_sink_that_retention_has_passed_starts_over(bench: Bench) -> None:
    # GIVEN a sink that is away while the log goes on and is trimmed
    mart = with_mart(bench)
    stop(bench)
    bench.others = {}
    bench.database.commit([("public.orders", "d", {"id": 3}, None, ["note", "big"])])
    bench.start()
    wait_until_equal(bench, bench.store)
    stop(bench)
    assert bench.trim_log() > mart.cursors["shop"].next
    # WHEN it comes back THEN it equals the source
    bench.others = {"mart": mart}
    bench.start()
    wait_until_equal(bench, bench.store, mart)
    assert "t" in ops(mart)
    assert "t" not in ops(bench.store)


def test_backfill_log_begins_with_what_the_log_has_and_warns(bench: Bench) -> None:
    filled(bench)
    bench.start()
    wait_until_equal(bench, bench.store)
    stop(bench)
    bench.trim_log()
    bench.backfill = "log"
    bench.others = {"mart": (mart := MemoryStore())}
    bench.start()
    write(bench, 500)
    bench.wait_for(lambda: ops(mart) == ["c", "u"], "the changes since")
    assert any("the log no longer has" in e["event"] and e["level"] == "warning" for e in bench.events)


def test_backfill_fail_stops_the_sink_with_a_command_that_lets_it_begin(bench: Bench) -> None:
    filled(bench)
    bench.start()
    wait_until_equal(bench, bench.store)
    stop(bench)
    bench.trim_log()
    bench.backfill = "fail"
    bench.others = {"mart": (mart := MemoryStore())}
    running = bench.start()
    worker = running.engine.pipelines.of_source("shop")[1].worker
    bench.wait_for(lambda: worker.error is not None, "the sink to fail")
    assert isinstance(worker.error, LogTrimmed)
    assert worker.error.remedy == "cdc snapshot shop --sink mart"
    stop(bench)
    # WHEN that command is given THEN the sink begins
    bench.request(sink="mart")
    bench.start(once=True).join()
    for name in TABLES:
        assert bench.is_equal(name, mart)
    assert ops(bench.store).count("r") == 45


def test_a_request_for_one_sink_leaves_the_others_live(bench: Bench) -> None:
    # GIVEN two sinks, and a copy for one of them that stands still
    mart, held, number = copy_for_mart(bench)
    # WHEN changes come THEN the other sink has them at once
    write(bench, 500)
    wait_until_equal(bench, bench.store)
    held.let_go()
    assert bench.wait_until_done(number) is None
    wait_until_equal(bench, bench.store, mart)
    assert ops(bench.store).count("r") == 45
    assert ops(mart).count("r") > 45
    seqs = [row["_cdc_seq"] for row in mart.rows("public.orders")]
    assert seqs == sorted(set(seqs))


def test_a_request_for_all_sinks_while_one_is_copied_is_done_after_it(bench: Bench) -> None:
    mart, held, one = copy_for_mart(bench)
    every = bench.request("public.orders")
    write(bench, 500)
    bench.wait_until_captured()
    held.let_go()
    assert (bench.wait_until_done(one), bench.wait_until_done(every)) == (None, None)
    wait_for_copies(bench, 1, 2)
    wait_until_equal(bench, bench.store, mart)


def test_a_request_for_one_sink_while_all_are_copied_is_that_copy(bench: Bench) -> None:
    held = HeldCopies(bench.database)
    filled(bench)
    bench.start()
    bench.wait_for(held.waiting.is_set, "the first copy")
    number = bench.request("public.orders", sink="lake")
    held.let_go()
    assert bench.wait_until_done(number) is None
    wait_until_equal(bench, bench.store)


def test_a_rewrite_while_one_sink_is_copied_copies_for_all(bench: Bench) -> None:
    mart, held, _ = copy_for_mart(bench)
    write(bench, 500)
    # WHEN rows change without events
    heap = bench.database.tables[ORDERS.table]
    heap.tuples = [entry and (entry[0], entry[1] | {"note": "rewritten"}) for entry in heap.tuples]
    ask_to_read_again(bench, ORDERS)
    write(bench, 501)
    bench.wait_until_captured()
    held.let_go()
    wait_for_copies(bench, 1, 2)
    wait_until_equal(bench, bench.store, mart)


def test_a_table_renamed_while_it_is_copied_for_one_sink_arrives_in_both(bench: Bench) -> None:
    mart, held, _ = copy_for_mart(bench)
    bench.database.rename("public.orders", "renamed")
    bench.database.commit([("public.renamed", "c", {"id": 900, "note": "x", "big": "y"})])
    bench.wait_until_captured()
    held.let_go()
    bench.wait_until_equal("public.renamed", mart)
    bench.wait_for(
        lambda: [row["id"] for row in bench.store.rows("public.renamed")] == [900],
        "the other sink to have the change alone",
    )


def test_a_table_dropped_while_it_is_copied_for_one_sink_keeps_its_changes_in_the_other(bench: Bench) -> None:
    _, held, number = copy_for_mart(bench)
    write(bench, 500)
    last = bench.database.rows("public.orders")
    bench.database.drop(ORDERS.table)
    bench.database.advance()
    bench.wait_until_captured()
    held.let_go()
    bench.wait_until_done(number)
    bench.wait_for(
        lambda: len(bench.store.state("public.orders")) == len(last), "the changes before the drop"
    )


def test_a_table_dropped_just_before_the_catalog_is_read_keeps_its_changes_in_the_other(bench: Bench) -> None:
    # GIVEN a table that waits for its copy for one sink
    filled(bench)
    bench.others = {"mart": (mart := MemoryStore())}
    running = bench.start()
    wait_until_equal(bench, bench.store, mart)
    bench.database.waiting[ORDERS.table] = SourceBusy("a session is in the way")
    bench.request("public.orders", sink="mart")
    copying = running.engine.pipelines.captures["shop"].status.copying
    bench.wait_for(lambda: copying.last_error is not None, "the table to wait")

    # WHEN it is changed and dropped while a round begins
    def drop() -> None:
        bench.database.before_discover = lambda: None
        write(bench, 500)
        bench.database.drop(ORDERS.table)

    expected = len(bench.database.rows("public.orders")) + 1
    bench.database.before_discover = drop
    # THEN the sink that the copy was not for has the change
    bench.wait_for(lambda: len(bench.store.state("public.orders")) == expected, "the change before the drop")


def test_once_makes_the_copies_that_are_asked_for(bench: Bench) -> None:
    filled(bench)
    bench.start(once=True).join()
    bench.request("public.orders")
    result = bench.start(once=True).join()
    assert result.outcome is Outcome.DONE
    assert ops(bench.store).count("t") == 1
    assert bench.is_equal("public.orders")


def test_a_refused_or_unknown_table_ends_the_request_with_its_name(bench: Bench) -> None:
    filled(bench)
    bench.start()
    wait_until_equal(bench, bench.store)
    error = bench.wait_until_done(bench.request("public.nothing"))
    assert error is not None
    assert "public.nothing" in error
    bench.database.fail("snapshot", *[UnsupportedSchema("no") for _ in range(6)])
    error = bench.wait_until_done(bench.request("public.orders"))
    assert error is not None
    assert "public.orders" in error
    wait_until_equal(bench, bench.store)


def test_snapshot_never_copies_on_request_only(bench: Bench) -> None:
    bench.snapshot = "never"
    filled(bench)
    bench.database.followed = {ORDERS.table, KEYLESS.table}
    running = bench.start()
    bench.wait_for(running.engine.pipelines.captures["shop"].capture.opened.is_set, "the stream")
    write(bench, 500)
    bench.wait_for(lambda: ops(bench.store) == ["c", "u"], "changes alone")
    assert bench.wait_until_done(bench.request("public.orders")) is None
    bench.wait_until_equal("public.orders")
    assert "r" not in ops(bench.store, "public.keyless")


def test_a_copy_for_a_sink_that_is_no_longer_configured_ends(bench: Bench) -> None:
    filled(bench)
    bench.others = {"mart": MemoryStore()}
    bench.start()
    wait_until_equal(bench, bench.store, bench.others["mart"])
    held = HeldCopies(bench.database)
    bench.request("public.orders", sink="mart")
    bench.wait_for(held.waiting.is_set, "the copy")
    bench.database.before_read = lambda _chunk: None
    assert bench.running is not None
    bench.running.engine.stop()
    held.let_go()
    bench.running.join()
    bench.others = {}
    bench.start(once=True).join()
    assert bench.is_equal("public.orders")
    assert "t" not in ops(bench.store)


@pytest.mark.parametrize("name", POINTS)
def test_a_crash_during_copies_for_one_sink_loses_nothing(bench: Bench, name: str) -> None:
    # GIVEN a new sink on a trimmed log, a request for the other one, and a busy writer
    filled(bench, rows=120)
    bench.start()
    wait_until_equal(bench, bench.store)
    stop(bench)
    bench.trim_log()
    bench.others = {"mart": (mart := MemoryStore())}
    writer = Writer(bench, seed=len(name))
    with writer.writing():
        # WHEN the engine crashes during the copy and is started again
        crash = CrashAt(name, 2)
        bench.request("public.orders", sink="lake")
        with failpoints.watched(crash.hit):
            running = bench.start()
            copies = running.engine.pipelines.captures["shop"].copies
            bench.wait_for(lambda: crash.crashed.is_set() or not copies.is_open, "a crash")
            running.stop()
        bench.start()
        commits = writer.commits
        bench.wait_for(lambda: writer.commits > commits + 50, "the writer to go on")
    # THEN both sinks have exactly the source's rows, and no offset twice
    wait_until_equal(bench, bench.store, mart)
    for store in (bench.store, mart):
        seqs = [row["_cdc_seq"] for name in TABLES for row in store.rows(name)]
        assert len(seqs) == len(set(seqs))
