from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cdc.errors import LogTrimmed
from cdc.log import SegmentedLog
from cdc.testing.events import append, append_parts, position
from tests.support.logs import idle, ids, newest, one, opened, parts, rows, schemas

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class _Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


def _fill(log: SegmentedLog, commits: int) -> None:
    for at in range(commits):
        append(log, one(at * 10, at), metadata={"n": str(at)})


def test_trim_without_a_limit_removes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        _fill(log, 5)
        assert log.trim(5).byte_count == 0
        assert log.start == 0


def test_trim_by_size_stops_at_the_offset_that_is_needed(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        _fill(log, 5)
        before = log.byte_count
        done = log.trim(3, max_bytes=0)
        assert (done.start, log.start) == (3, 3)
        assert done.byte_count == before - log.byte_count > 0
        assert len(list(tmp_path.glob("*.cdclog"))) == 2
        assert ids(log) == [(3, 3), (4, 4)]
        assert log.trim(0, max_bytes=0).byte_count == 0


def test_trim_by_force_passes_every_cursor_but_keeps_the_newest_segment(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        _fill(log, 5)
        log.trim(0, max_bytes=0, force=True)
        assert ids(log) == [(4, 4)]


def test_trim_by_size_keeps_as_much_as_fits(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        _fill(log, 5)
        size = sum(segment.byte_count for segment in log.segments[-2:])
        log.trim(5, max_bytes=size)
        assert (log.start, log.byte_count) == (3, size)


def test_trim_by_age_keeps_what_is_young(tmp_path: Path) -> None:
    clock = _Clock()
    with opened(tmp_path, segment_bytes=1, clock=clock) as log:
        _fill(log, 5)
        newest_times = [segment.newest.written_at for segment in log.segments if segment.newest]
        clock.now = newest_times[2] + timedelta(minutes=59)
        log.trim(5, max_age=timedelta(hours=1))
        assert log.start == 2


def test_what_was_trimmed_stays_away_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        _fill(log, 5)
        log.trim(3, max_bytes=0)
        end = log.end
    with opened(tmp_path) as log:
        assert (log.start, log.end, log.metadata) == (3, end, {"n": "4"})
        with pytest.raises(LogTrimmed, match="offset 2 is not in the log, which holds 3 to 5"):
            list(log.commits(2))


def test_a_reader_finishes_the_segment_that_retention_removes(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        _fill(log, 4)
        reading = log.read(0, 4)
        assert next(reading).row_count == 1
        log.trim(4, max_bytes=0)
        with pytest.raises(LogTrimmed, match="retention removed this segment"):
            list(reading)


def test_truncate_goes_back_to_a_commit_with_its_facts_and_schemas(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=6000) as log:
        states = []
        for at in range(8):
            append(log, one(at, at, -at), metadata={"n": str(at), f"only {at}": "x"})
            states.append((log.end, log.metadata, rows(log)))
        assert len(log.segments) > 2
        for commit in (6, 3, 2, 0):
            log.truncate(2 * commit + 2)
            assert (log.end, log.metadata, rows(log)) == states[commit]
        log.truncate(0)
        assert (log.end, log.metadata, schemas(log), ids(log)) == (None, {}, {}, [])
        append(log, one(50, 7))
        assert ids(log) == [(0, 7)]
    with opened(tmp_path) as log:
        assert ids(log) == [(0, 7)]


def test_truncate_to_the_end_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        _fill(log, 2)
        before = newest(tmp_path).read_bytes()
        log.truncate(2)
        assert newest(tmp_path).read_bytes() == before


def test_truncate_inside_a_commit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        for at in range(4):
            append(log, one(at, 1, 2))
        with pytest.raises(ValueError, match="offset 3 is not a boundary between commits"):
            log.truncate(3)
        with pytest.raises(LogTrimmed):
            log.truncate(100)
        assert len(ids(log)) == 8
        append(log, one(9, 9))
        assert len(ids(log)) == 9


def test_truncate_during_a_transaction_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, one(1, 1))
        log.begin().append(parts(2, 2, 2)[0])
        with pytest.raises(ValueError, match="open transaction"):
            log.truncate(0)


def test_a_transaction_is_never_split_over_segments(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        append(log, one(1, 1))
        append_parts(log, parts(2, 5, 100))
        assert [segment.commit_count for segment in log.segments] == [1, 1]


def test_find_gives_the_newest_commit_at_or_before(tmp_path: Path) -> None:
    clock = _Clock()
    with opened(tmp_path, segment_bytes=6000, clock=clock) as log:
        commits = [append(log, one(at * 10, at)) for at in range(12)]
        assert len(log.segments) > 2
        for at, commit in enumerate(commits):
            assert commit is not None
            assert log.find(position=position(at * 10 + 1)) == commit
            assert log.find(position=position(at * 10 + 5)) == commit
            assert log.find(at=commit.written_at) == commit
            assert log.find(at=commit.written_at + timedelta(seconds=1)) == commit
        assert log.find(position=position(0)) is None
        assert log.find(at=START) is None


def test_find_by_time_works_where_the_clock_went_back(tmp_path: Path) -> None:
    clock = _Clock()
    with opened(tmp_path, segment_bytes=6000, clock=clock) as log:
        for at in range(12):
            if at == 6:
                clock.now = START
            append(log, one(at, at))
        everything = list(log.commits(0))
        for when in (START + timedelta(minutes=m) for m in range(15)):
            fitting = [commit for commit in everything if commit.written_at <= when]
            assert log.find(at=when) == (fitting[-1] if fitting else None)


def test_commits_begin_with_the_one_that_holds_the_offset(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4000) as log:
        append(log, idle(1))
        append(log, one(2, 1, 2, 3))
        for at in range(3, 6):
            append(log, idle(at))
        append(log, one(6, 4))
        append(log, idle(7))
        append(log, one(8, 5))
        append(log, idle(9))
        spans = [(c.first, c.next) for c in log.commits(0)]
        assert spans == [(0, 3), (3, 3), (3, 3), (3, 3), (3, 4), (4, 4), (4, 5), (5, 5)]
        assert [(c.first, c.next) for c in log.commits(2)] == spans
        assert [(c.first, c.next) for c in log.commits(3)] == spans[4:]
        assert [(c.first, c.next) for c in log.commits(4)] == spans[6:]
        assert list(log.commits(5)) == []
        assert ids(log) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=9000) as log:
        _fill(log, 30)
        place, found = 0, []
        while place < 30:
            step = min(place + 1 + place % 3, 30)
            found += [row["id"] for batch in log.read(place, step) for row in batch.rows()]
            place = step
        assert found == list(range(30))
