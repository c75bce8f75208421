"""Whatever waits says so, with its reason, and goes on by itself when the cause is gone."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from cdc.engine import Outcome
from cdc.engine.pacing import Pacing
from cdc.errors import DecodeError, SinkRefused, SinkUnavailable, SourceRefused, StreamBehind
from cdc.merge.continuity import Fence
from cdc.state import LocalState
from cdc.testing.events import table
from tests.integration.engine.conftest import Bench

T = table("public.t", {"id": pa.int64(), "note": pa.string()}, relation=1)
OTHER = table("public.other", {"id": pa.int64(), "note": pa.string()}, relation=2)
ROWS = [{"id": i, "note": "old"} for i in range(30)]
LATER = StreamBehind(
    "the stream has not reached its latest ALTER yet", remedy="Run: alter table other force;"
)


@pytest.fixture
def pacing() -> Pacing:
    return Pacing(
        operator_wait_seconds=0.2,
        discover_seconds=0.2,
        behind_seconds=0.5,
        lasting_seconds=0.1,
        # On a loaded machine an attempt may take long to fail.
        recovered_seconds=3600.0,
    )


def events(bench: Bench, text: str) -> list[dict[str, Any]]:
    return [event for event in bench.events if text in event["event"]]


def source_status(bench: Bench) -> dict[str, Any]:
    document = LocalState(bench.folder).status() or {"sources": {}}
    found: dict[str, Any] = document["sources"].get("shop", {})
    return found


def test_a_sink_that_needs_an_operator_goes_on_by_itself(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    running = bench.start()
    bench.wait_until_equal("public.t")
    bench.store.fail(*[SinkRefused("the file is locked for us")] * 3)
    bench.database.commit([("public.t", "c", {"id": 50, "note": "new"})])
    bench.wait_until_equal("public.t")
    bench.pacing.recovered_seconds = 0.0
    bench.wait_for(lambda: events(bench, "recovered"), "the sink to work again")
    (copied,) = events(bench, "copy finished")
    assert (copied["tables"], copied["rows"]) == (1, len(ROWS))
    (stopped,) = events(bench, "operator action needed")
    assert (stopped["level"], stopped["kind"]) == ("error", "SinkRefused")
    (again,) = events(bench, "recovered")
    assert (again["worker"], again["attempts"]) == ("deliver:shop:lake", 3)
    assert running.stop().outcome is Outcome.STOPPED


def test_a_fenced_sink_goes_on_when_the_newer_daemons_rows_are_gone(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    bench.store.fences["shop"] = Fence(epoch=99)
    running = bench.start()
    bench.wait_for(lambda: events(bench, "operator action needed"), "the fence")
    assert events(bench, "operator action needed")[0]["kind"] == "SinkFenced"
    assert bench.store.fences["shop"].epoch == 99
    bench.database.commit([("public.t", "c", {"id": 50, "note": "new"})])
    newest = bench.database.now
    bench.wait_for(lambda: bench.database.acknowledged == newest, "capture to go on")
    with bench.store.changed:
        bench.store.fences.clear()
    bench.wait_until_equal("public.t")
    bench.pacing.recovered_seconds = 0.0
    bench.wait_for(lambda: events(bench, "recovered"), "the sink to work again")
    assert running.stop().outcome is Outcome.STOPPED


def test_a_damaged_segment_that_is_restored_is_read_on(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    running = bench.start()
    bench.wait_until_equal("public.t")
    bench.store.fail(*[SinkUnavailable("not now")] * 1000)
    bench.database.commit([("public.t", "c", {"id": 50, "note": "new"})])
    newest = bench.database.now
    bench.wait_for(lambda: bench.database.acknowledged == newest, "the change in the log")
    (segment,) = (bench.folder / "log" / "shop").glob("*.cdclog")
    whole = segment.read_bytes()
    # The last frames are the change and its commit.
    segment.write_bytes(whole[:-100] + bytes(b ^ 255 for b in whole[-100:]))
    bench.store.errors.clear()
    bench.wait_for(lambda: events(bench, "operator action needed"), "the damage")
    assert events(bench, "operator action needed")[0]["kind"] == "LogCorrupt"
    segment.write_bytes(whole)
    bench.wait_until_equal("public.t")
    bench.pacing.recovered_seconds = 0.0
    bench.wait_for(lambda: len(events(bench, "recovered")) >= 1, "the sink to work again")
    bench.database.commit([("public.t", "c", {"id": 51, "note": "new"})])
    bench.wait_until_equal("public.t")
    assert running.stop().outcome is Outcome.STOPPED


def test_a_disk_that_refused_a_write_needs_no_restart(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    bench.database.create(T, ROWS)
    running = bench.start()
    bench.wait_until_equal("public.t")
    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", refuse)
        patch.setattr("os.fsync", refuse)
        bench.database.commit([("public.t", "c", {"id": 50, "note": "new"})])
        bench.wait_for(lambda: events(bench, "operator action needed"), "the refused write")
    assert events(bench, "operator action needed")[0]["kind"] == "LogCorrupt"
    bench.wait_until_equal("public.t")
    bench.pacing.recovered_seconds = 0.0
    bench.wait_for(lambda: events(bench, "recovered"), "the source to work again")
    assert running.stop().outcome is Outcome.STOPPED
    bench.database.commit([("public.t", "c", {"id": 51, "note": "new"})])
    bench.start()
    bench.wait_until_equal("public.t")


def test_bytes_that_can_be_read_later_need_no_restart(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    running = bench.start()
    bench.wait_until_equal("public.t")
    bench.database.fail("stream", *[DecodeError("a row ends early")] * 3)
    bench.wait_for(lambda: events(bench, "operator action needed"), "the bytes")
    bench.database.commit([("public.t", "c", {"id": 50, "note": "new"})])
    bench.wait_until_equal("public.t")
    bench.pacing.recovered_seconds = 0.0
    bench.wait_for(lambda: events(bench, "recovered"), "the source to work again")
    assert running.stop().outcome is Outcome.STOPPED


def test_a_refused_login_is_retried_at_the_start_of_the_only_source_and_later(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    bench.database.fail("identity", *[SourceRefused("password authentication failed")] * 3)
    running = bench.start()
    bench.wait_for(lambda: events(bench, "operator action needed"), "the refusal")
    bench.wait_for(lambda: events(bench, "recovered"), "the source to recover")
    bench.database.fail("identity", *[SourceRefused("password authentication failed")] * 10_000)
    bench.database.fail("stream", SourceRefused("password authentication failed"))
    bench.wait_for(lambda: source_status(bench).get("state") == "failed", "the status to say so")
    error = source_status(bench)["error"]
    assert (error["needs_operator"], error["retry_seconds"]) == (True, 0.2)
    bench.database.mend("identity")
    bench.database.commit([("public.t", "c", {"id": 50, "note": "new"})])
    bench.wait_until_equal("public.t")
    bench.wait_for(lambda: len(events(bench, "recovered")) >= 2, "the source to recover")
    assert running.stop().outcome is Outcome.STOPPED
    bench.database.fail("identity", *[SourceRefused("password authentication failed")] * 15)
    result = bench.start(once=True).join()
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.errors["capture:shop"], SourceRefused)


def test_a_run_once_ends_with_the_error_of_a_sink_that_needs_an_operator(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    bench.store.fail(*[SinkRefused("the file is locked for us")] * 100)
    result = bench.start(once=True).join()
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.errors["deliver:shop:lake"], SinkRefused)


def test_a_table_that_is_never_copied_is_an_error_with_its_reason(
    bench: Bench,
) -> None:
    bench.pacing.behind_seconds = 3600.0
    bench.database.create(T, ROWS)
    bench.database.create(OTHER, ROWS)
    bench.database.waiting[OTHER.table] = LATER
    running = bench.start(once=True)
    bench.wait_for(lambda: events(bench, "waiting"), "the wait to be logged")
    bench.wait_until_equal("public.t")
    bench.pacing.behind_seconds = 0.5
    result = running.join()
    assert result.outcome is Outcome.FAILED
    assert LATER.message in str(result.errors["public.other"])
    assert LATER.remedy in str(result.errors["public.other"])
    assert len(events(bench, "waiting")) == 1
    assert bench.is_equal("public.t")
    # In a daemon the table is shown, and taken up when it can be.
    bench.events.clear()
    bench.start()
    bench.wait_for(lambda: events(bench, "skipping a table"), "the table to be skipped")
    bench.wait_for(lambda: source_status(bench).get("refused"), "the refused table in the status")
    assert source_status(bench)["refused"][0]["table"] == "public.other"
    bench.database.waiting.clear()
    bench.wait_until_equal("public.other")
    bench.wait_for(lambda: events(bench, "no longer skipped"), "the word that it is copied")


def test_a_table_that_waits_shows_in_the_status_with_its_reason(bench: Bench) -> None:
    bench.pacing.behind_seconds = 600.0
    bench.database.create(T, ROWS)
    bench.database.waiting[T.table] = LATER
    bench.start()
    bench.wait_for(lambda: source_status(bench).get("waits"), "the wait in the status")
    (wait,) = source_status(bench)["waits"]
    assert (wait["what"], wait["reason"]) == ("table public.t", LATER.message)
    bench.database.waiting.clear()
    bench.wait_until_equal("public.t")
    bench.wait_for(lambda: events(bench, "no longer waiting"), "the end of the wait")
    (begun,) = (event for event in events(bench, "waiting") if event["event"] == "waiting")
    assert begun["level"] == "warning"
