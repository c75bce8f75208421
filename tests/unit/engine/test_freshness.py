"""How old what a sink shows is: what was committed before that is in the sink."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cdc.engine.status import MAX_LOOKS, SinkStatus, SourceStatus
from cdc.model import Commit, Position

NOW = datetime.now(UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def at(order: int) -> Position:
    return Position(order, f"0/{order}")


def captured(status: SourceStatus, order: int, commit_at: datetime | None = None) -> None:
    status.captured(Commit(0, order, at(order), commit_at, NOW, 1, 10), 1)


def test_the_log_is_complete_until_the_last_look_that_it_has_passed() -> None:
    status = SourceStatus("shop")
    status.looked(at(5), ago(30))
    captured(status, 4)
    assert status.report().complete_at is None
    status.looked(at(9), ago(20))
    captured(status, 7)
    assert status.report().complete_at == ago(30).isoformat()
    captured(status, 9)
    assert status.report().complete_at == ago(20).isoformat()


def test_a_stream_that_stays_behind_keeps_its_oldest_looks() -> None:
    status = SourceStatus("shop")
    for number in range(1, 10 * MAX_LOOKS):
        status.looked(at(number), ago(1000 - number))
    captured(status, 3)
    assert status.report().complete_at == ago(997).isoformat()


def test_a_sink_with_the_whole_log_is_as_fresh_as_the_log() -> None:
    sink = SinkStatus("lake", "shop")
    assert sink.report(0, None).freshness_seconds is None
    sink.moved(7, at(7), ago(500))
    report = sink.report(7, ago(500), ago(3))
    assert report.complete_at == ago(3).isoformat()
    # WHEN changes arrive, THEN it is still complete until then, and not less
    assert sink.report(9, ago(1), ago(0)).complete_at == ago(3).isoformat()
    sink.moved(8, at(8), ago(2))
    report = sink.report(9, ago(1), ago(0))
    assert report.complete_at == ago(2).isoformat()
    assert report.freshness_seconds is not None
    assert report.freshness_seconds >= 2


def test_a_sink_whose_age_is_known_keeps_it_when_rows_of_a_copy_come() -> None:
    # Copied rows have no commit time: a sink that has had nothing else is as complete as it was.
    sink = SinkStatus("lake", "shop")
    assert sink.report(0, None, ago(3)).complete_at == ago(3).isoformat()
    sink.moved(7, at(7), None)
    assert sink.report(9, None, ago(0)).complete_at == ago(3).isoformat()


def test_a_sink_has_all_that_was_committed_before_the_oldest_change_that_waits() -> None:
    # After a start, with changes in the log and nothing applied yet.
    sink = SinkStatus("lake", "shop")
    sink.moved(7, at(7), None)
    sink.waiting_since = ago(25)
    assert sink.report(9, ago(1), ago(0)).complete_at == ago(25).isoformat()
    sink.moved(9, at(9), ago(1))
    assert sink.report(10, ago(1), ago(0)).complete_at == ago(1).isoformat()


def test_a_replay_takes_a_sink_back() -> None:
    sink = SinkStatus("lake", "shop")
    sink.moved(9, at(9), ago(3))
    sink.report(9, ago(3), ago(1))
    sink.replaying_from, sink.replaying_to = 0, 9
    sink.moved(2, at(2), ago(600))
    assert sink.report(9, ago(3), ago(1)).complete_at == ago(600).isoformat()
