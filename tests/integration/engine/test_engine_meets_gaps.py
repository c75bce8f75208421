"""A gap at the source: copied again where that is wanted or loses nothing, a loud stop elsewhere."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa
import pytest

from cdc.engine import Outcome
from cdc.engine.pacing import Pacing
from cdc.errors import SourceGap, SourceUnavailable
from cdc.model import ChangeSet
from cdc.state import LocalState
from cdc.testing.events import position, table
from tests.integration.engine.conftest import Bench

T = table("public.t", {"id": pa.int64(), "note": pa.string()}, relation=1)
ROWS = [{"id": i, "note": "old"} for i in range(30)]


def row(identity: int) -> dict[str, object]:
    return {"id": identity, "note": "new"}


def log_metadata(bench: Bench) -> dict[str, str]:
    assert bench.running is not None
    return dict(bench.running.engine.pipelines.captures["shop"].log.metadata)


@pytest.fixture
def pacing() -> Pacing:
    return Pacing(operator_wait_seconds=0.2, discover_seconds=0.2)


def wait_until_failed(bench: Bench) -> None:
    def failed() -> bool:
        error = bench.status().error
        return error is not None and error.kind == "SourceGap"

    bench.wait_for(failed, "the gap")


def stop(bench: Bench) -> None:
    assert bench.running is not None
    bench.running.stop()


def test_on_gap_resnapshot_recovers_from_a_gap_that_the_stream_meets(bench: Bench) -> None:
    bench.on_gap = "resnapshot"
    bench.database.create(T, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    remembered = ChangeSet((), position(bench.database.now.order + 1), memory={"seen": "x"})
    bench.database.append(remembered)
    bench.wait_for(lambda: log_metadata(bench).get("memory:seen") == "x", "the source's memory in the log")
    with bench.database.changed:
        bench.database.tables[T.table].tuples[3:7] = [None] * 4
        bench.database.fail("stream", SourceGap("the slot was invalidated"))
    bench.wait_until_equal("public.t")
    assert "memory:seen" not in log_metadata(bench)
    bench.database.commit([("public.t", "c", row(50))])
    bench.wait_until_equal("public.t")
    stop(bench)
    bench.start()
    bench.database.commit([("public.t", "c", row(51))])
    bench.wait_until_equal("public.t")


def test_a_gap_before_the_first_change_starts_over_once(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    running = bench.start()
    bench.wait_until_equal("public.t")
    bench.database.fail("stream", SourceUnavailable("cut"), SourceGap("the slot can't be decoded"))
    with bench.database.changed:
        bench.database.tables[T.table].tuples[3:7] = [None] * 4
    bench.wait_until_equal("public.t")
    bench.database.fail("stream", *[SourceGap("nor can the next one")] * 10_000)
    wait_until_failed(bench)
    result = running.stop()
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.errors["capture:shop"], SourceGap)


def test_a_gap_behind_the_first_change_is_the_operators_who_closes_it_with_copies(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    bench.database.commit([("public.t", "c", row(50))])
    bench.wait_until_equal("public.t")
    with bench.database.changed:
        bench.database.tables[T.table].tuples[3:7] = [None] * 4
        bench.database.fail("stream", *[SourceGap("the slot was invalidated")] * 10_000)
    wait_until_failed(bench)
    assert bench.status().error.remedy == "To copy all tables again, run: cdc snapshot shop"  # type: ignore[union-attr]
    number = bench.request()
    bench.database.mend("stream")
    assert bench.wait_until_done(number) is None
    bench.wait_until_equal("public.t")
    bench.database.commit([("public.t", "c", row(51))])
    bench.wait_until_equal("public.t")


def test_a_request_for_one_table_or_sink_closes_no_gap(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    bench.database.commit([("public.t", "c", row(50))])
    bench.wait_until_equal("public.t")
    stop(bench)
    bench.database.commit([("public.t", "c", row(51))])
    bench.database.trim(bench.database.now)
    of_table, of_sink = bench.request("public.t"), bench.request(sink="lake")
    bench.start()
    wait_until_failed(bench)
    stop(bench)
    with closing(LocalState(bench.folder).reader()) as state:
        waiting = state.unfinished_copies("shop")
    assert [(one.id, one.is_taken) for one in waiting] == [(of_table, False), (of_sink, False)]


def test_a_gap_that_is_gone_needs_no_copy_and_no_restart(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    running = bench.start()
    bench.wait_until_equal("public.t")
    bench.database.commit([("public.t", "c", row(50))])
    bench.wait_until_equal("public.t")
    bench.database.fail("open", *[SourceGap("a binlog is not there")] * 10_000)
    bench.database.fail("stream", SourceUnavailable("cut"))
    wait_until_failed(bench)
    bench.database.mend("open")
    bench.database.commit([("public.t", "c", row(51))])
    bench.wait_until_equal("public.t")
    bench.wait_for(lambda: any(e["event"] == "recovered" for e in bench.events), "the source to recover")
    assert running.stop().outcome is Outcome.STOPPED
    assert [event for event in bench.events if "copying" in event["event"]] == []


@pytest.mark.parametrize("on_gap", ["fail", "resnapshot"])
def test_a_gap_fails_loudly_when_no_snapshot_may_fill_it(bench: Bench, on_gap: str) -> None:
    bench.snapshot, bench.on_gap = "never", on_gap
    bench.database.create(T, followed=True)
    bench.start()
    bench.wait_for(lambda: bench.database.acknowledged is not None, "the stream")
    bench.database.commit([("public.t", "c", row(1))])
    bench.wait_until_equal("public.t")
    stop(bench)
    bench.database.commit([("public.t", "c", row(2))])
    bench.database.trim(bench.database.now)
    number = bench.request()
    result = bench.start(once=True).join()
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.errors["capture:shop"], SourceGap)
    assert "set `snapshot: initial`, then run: cdc snapshot shop" in result.errors["capture:shop"].remedy
    with closing(LocalState(bench.folder).reader()) as state:
        assert [one.id for one in state.unfinished_copies("shop")] == [number]
    assert len(bench.store.rows("public.t")) == 1
