"""Claims about the engine as a whole: copy, follow, restart, recover."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pyarrow as pa
import pytest

from cdc.engine import Outcome
from cdc.engine.specs import Retention
from cdc.errors import SinkRefused, SinkUnavailable, SourceGap, SourceMismatch, SourceUnavailable
from cdc.log import SegmentedLog
from cdc.model import ChangeSet
from cdc.state import LocalState
from cdc.testing.events import append, table
from tests.integration.engine.conftest import Bench

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, relation=1)
LINES = table("public.lines", {"id": pa.int64(), "note": pa.string()}, relation=2)


def rows(count: int, note: str = "old") -> list[dict[str, object]]:
    return [{"id": i, "note": note} for i in range(count)]


def test_existing_rows_and_later_changes_arrive(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(95))
    bench.start()
    bench.wait_until_equal("public.orders")
    bench.database.commit(
        [("public.orders", "u", {"id": 3, "note": "new"}), ("public.orders", "d", {"id": 4})]
    )
    bench.database.commit([("public.orders", "c", {"id": 400, "note": "new"})])
    bench.wait_until_equal("public.orders")


def test_the_sink_takes_each_row_once_without_crashes(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(95))
    bench.start()
    bench.wait_until_equal("public.orders")
    bench.database.commit([("public.orders", "c", {"id": 400, "note": "new"})])
    bench.wait_until_equal("public.orders")
    history = bench.store.rows("public.orders")
    assert [row["_cdc_op"] for row in history].count("r") == 95
    assert [row["_cdc_op"] for row in history].count("c") == 1
    seqs = [row["_cdc_seq"] for row in history]
    assert seqs == sorted(set(seqs))


def test_the_status_has_the_end_of_the_log_although_a_copy_wrote_last(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(5))
    bench.start(once=True).join()
    with closing(SegmentedLog(bench.folder / "log" / "shop")) as log:
        assert log.end is not None
        written = LocalState(bench.folder).status()
        assert written is not None
        assert written["sources"]["shop"]["offset"] == log.end.next


def test_an_empty_table_is_made_known_to_the_sink(bench: Bench) -> None:
    bench.database.create(ORDERS)
    bench.start(once=True).join()
    assert ORDERS.table in bench.store.tables
    assert bench.store.rows("public.orders") == []


def test_a_restart_goes_on_where_it_stopped(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(20))
    bench.start()
    bench.wait_until_equal("public.orders")
    assert bench.running is not None
    assert bench.running.stop().outcome is Outcome.STOPPED
    bench.database.commit([("public.orders", "c", {"id": 77, "note": "while down"})])
    bench.start()
    bench.wait_until_equal("public.orders")
    assert [row["_cdc_op"] for row in bench.store.rows("public.orders")].count("r") == 20


def test_once_ends_when_everything_is_delivered(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(50))
    bench.database.create(LINES, rows(10))
    result = bench.start(once=True).join()
    assert result.outcome is Outcome.DONE
    assert bench.is_equal("public.orders")
    assert bench.is_equal("public.lines")


def test_a_table_that_appears_later_is_copied_and_followed(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(5))
    bench.start()
    bench.wait_until_equal("public.orders")
    bench.database.create(LINES, rows(33))
    bench.wait_until_equal("public.lines")
    bench.database.commit([("public.lines", "c", {"id": 99, "note": "new"})])
    bench.wait_until_equal("public.lines")


def test_a_huge_transaction_in_parts_arrives_whole(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(1))
    bench.start()
    bench.wait_until_equal("public.orders")
    steps = [("public.orders", "c", {"id": 1000 + i, "note": "bulk"}) for i in range(300)]
    bench.database.commit(steps, part_rows=7)
    bench.wait_until_equal("public.orders")


@pytest.mark.parametrize("method", ["stream", "open", "read", "snapshot", "discover", "current", "follow"])
def test_a_lost_source_is_tried_again(bench: Bench, method: str) -> None:
    bench.database.create(ORDERS, rows(95))
    bench.database.fail(method, SourceUnavailable("gone"), SourceUnavailable("still gone"))
    bench.start()
    bench.wait_until_equal("public.orders")
    bench.database.commit([("public.orders", "u", {"id": 3, "note": "new"})])
    bench.wait_until_equal("public.orders")


def test_a_lost_sink_catches_up_by_itself(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(10))
    bench.store.fail(SinkUnavailable("down"), SinkUnavailable("down"), SinkUnavailable("down"))
    bench.start()
    bench.wait_until_equal("public.orders")


def test_the_source_is_acknowledged_while_the_sink_is_down(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(10))
    bench.store.fail(*[SinkUnavailable("down")] * 50)
    bench.start()
    bench.database.commit([("public.orders", "c", {"id": 500, "note": "new"})])
    newest = bench.database.now
    bench.wait_for(lambda: bench.database.acknowledged == newest, "the acknowledgement of what the log holds")
    assert bench.store.rows("public.orders") == []
    bench.store.errors.clear()


def test_acknowledge_sinks_waits_for_the_sink(bench: Bench) -> None:
    bench.acknowledge = "sinks"
    bench.database.create(ORDERS, rows(10))
    bench.start()
    bench.wait_until_equal("public.orders")
    bench.store.fail(*[SinkUnavailable("down")] * 50)
    before = bench.database.commit([("public.orders", "c", {"id": 500, "note": "new"})])
    bench.database.advance()
    bench.wait_for(lambda: len(bench.store.errors) < 50, "a first refused attempt")
    acknowledged = bench.database.acknowledged
    assert acknowledged is None or acknowledged < before
    bench.store.errors.clear()
    bench.wait_until_equal("public.orders")
    bench.wait_for(
        lambda: bench.database.acknowledged == bench.database.now, "the acknowledgement after delivery"
    )


def test_a_gap_stops_the_source_and_names_itself(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(10))
    bench.start()
    bench.wait_until_equal("public.orders")
    assert bench.running is not None
    bench.running.stop()
    bench.database.commit([("public.orders", "c", {"id": 500, "note": "new"})])
    bench.database.trim(bench.database.now)
    result = bench.start(once=True).join()
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.errors["capture:shop"], SourceGap)


def test_on_gap_resnapshot_copies_everything_again_and_forgets_rows_deleted_in_the_gap(bench: Bench) -> None:
    bench.on_gap = "resnapshot"
    bench.database.create(ORDERS, rows(30))
    bench.start()
    bench.wait_until_equal("public.orders")
    assert bench.running is not None
    bench.running.stop()
    bench.database.commit(
        [("public.orders", "d", {"id": 7}), ("public.orders", "c", {"id": 500, "note": "new"})]
    )
    bench.database.trim(bench.database.now)
    bench.start()
    bench.wait_until_equal("public.orders")
    bench.database.commit([("public.orders", "u", {"id": 500, "note": "later"})])
    bench.wait_until_equal("public.orders")


def test_a_recreated_table_loses_its_old_rows(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(30))
    bench.start()
    bench.wait_until_equal("public.orders")
    bench.database.drop(ORDERS.table)
    again = table("public.orders", {"id": pa.int64(), "note": pa.string()}, relation=9)
    bench.database.create(again, rows(3, "second life"), followed=True)
    bench.wait_until_equal("public.orders")
    bench.database.commit([("public.orders", "c", {"id": 500, "note": "new"})])
    bench.wait_until_equal("public.orders")


def test_another_database_is_refused_until_accepted(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(10))
    bench.start()
    bench.wait_until_equal("public.orders")
    assert bench.running is not None
    bench.running.stop()
    bench.database.name = "restored"
    result = bench.start(once=True).join()
    error = result.errors["capture:shop"]
    assert isinstance(error, SourceMismatch)
    assert "database was 'memory', and is now 'restored'" in str(error)
    assert "--accept-source" in str(error)
    bench.database.commit([("public.orders", "c", {"id": 500, "note": "new"})])
    bench.start(accept=True)
    bench.wait_until_equal("public.orders")


def test_a_refusing_sink_stops_alone_and_the_run_fails_at_its_end(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(10))
    bench.store.fail(*[SinkRefused("no")] * 1000)
    running = bench.start()
    bench.wait_for(lambda: any(e.get("kind") == "SinkRefused" for e in bench.events), "the sink to stop")
    bench.database.commit([("public.orders", "c", {"id": 500, "note": "new"})])
    newest = bench.database.now
    bench.wait_for(lambda: bench.database.acknowledged == newest, "capture to go on")
    assert running.stop().outcome is Outcome.FAILED


def test_a_sink_of_another_log_is_refused(bench: Bench) -> None:
    bench.database.create(ORDERS, rows(10))
    bench.start(once=True).join()
    bench.folder = bench.folder.with_name("other")
    result = bench.start(once=True).join()
    assert isinstance(result.errors["deliver:shop:lake"], SinkRefused)
    assert "state_dir" in str(result.errors["deliver:shop:lake"])


def test_a_selection_that_matches_nothing_is_said_once(bench: Bench) -> None:
    bench.start(once=True).join()
    said = [e for e in bench.events if "no table matches" in e["event"]]
    assert [e["level"] for e in said] == ["warning"]


def test_runs_that_are_shorter_than_a_look_at_retention_trim_the_log(bench: Bench) -> None:
    bench.retention = Retention(timedelta(0), 0)
    bench.database.create(ORDERS, rows(20))
    bench.start(once=True).join()
    with closing(SegmentedLog(bench.folder / "log" / "shop", segment_bytes=1)) as log:
        assert log.end is not None
        append(log, ChangeSet((), log.end.position))
        append(log, ChangeSet((), log.end.position))
        assert (log.start, len(log.segments)) == (0, 3)
    bench.start(once=True).join()
    with closing(SegmentedLog(bench.folder / "log" / "shop")) as log:
        assert log.start > 0
