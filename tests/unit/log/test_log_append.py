from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.errors import LogTrimmed, StateError
from cdc.log import SegmentedLog
from cdc.model import ChangeSet
from cdc.testing.events import EPOCH, append, append_parts, changes, position, transaction
from tests.support.logs import ITEMS, ORDERS, idle, ids, one, opened, parts, rows, schemas
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS


def test_empty_log_has_no_end_and_starts_at_zero(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        assert (log.end, log.start, dict(log.metadata)) == (None, 0, {})
        assert list(log.commits(0)) == []
        assert list(log.read(0, 0)) == []
        assert log.find(position=position(10**9)) is None


def test_append_turns_ordinals_into_offsets(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, one(10, 1, 2, 3))
        commit = append(log, one(20, 4, 5))
        assert commit == log.end
        assert commit is not None
        assert (commit.first, commit.next, commit.position) == (3, 5, position(21))
        assert (commit.row_count, commit.transactions, commit.commit_at) == (2, 1, EPOCH)
        assert ids(log) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, one(10, 1, 2), metadata={"a": "1", "b": "2"})
        append(log, one(20, 3), metadata={"a": None, "c": "3"})
        before = (log.end, log.metadata, schemas(log), rows(log))
    with opened(tmp_path) as log:
        assert (log.end, log.metadata, schemas(log), rows(log)) == before
        assert log.metadata == {"b": "2", "c": "3"}
        assert log.recovered_bytes == 0


def test_sets_of_several_tables_keep_one_order(tmp_path: Path) -> None:
    steps = [(ORDERS, "c", {"id": 1}), (ITEMS, "c", {"id": 7}), (ORDERS, "d", {"id": 1}), (ITEMS, "t", None)]
    with opened(tmp_path) as log:
        append(log, transaction(10, steps)[0])
        found = [(row["_cdc_seq"], row["_cdc_op"], row["id"]) for row in rows(log)]
    assert found == [(0, "c", 1), (1, "c", 7), (2, "d", 1), (3, "t", None)]


def test_old_images_and_unchanged_columns_survive(tmp_path: Path) -> None:
    history = [
        ("u", {"id": 2}, {"id": 1}, ["note"]),
        ("c", {"id": 3, "note": "z"}),
        ("u", {"id": 3}, {"id": 3}),
    ]
    given = changes(ORDERS, history)
    with opened(tmp_path) as log:
        append(log, ChangeSet((given,), position(5), 3))
        assert rows(log) == list(given.rows())
        (batch,) = log.read(0, 3)
        assert batch.data.schema == given.data.schema


def test_a_slice_of_a_batch_is_stored_as_that_slice(tmp_path: Path) -> None:
    given = changes(ORDERS, [("u", {"id": i}, {"id": -i} if i % 3 else None) for i in range(20)])
    part = type(given)(given.schema, given.data.slice(7, 6)).shifted(-7)
    with opened(tmp_path) as log:
        append(log, ChangeSet((part,), position(5), 6))
        assert rows(log) == list(part.rows())


def test_ordinals_outside_the_set_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        with pytest.raises(ValueError, match="ordinals outside 0 ≤ ordinal < 1"):
            append(log, ChangeSet((changes(ORDERS, [("c", {"id": 1}), ("c", {"id": 2})]),), position(1), 1))
        assert log.end is None


def test_more_ordinals_than_rows_leave_a_gap(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, ChangeSet((changes(ORDERS, [("c", {"id": 1})]),), position(1), 10))
        append(log, one(20, 2))
        assert ids(log) == [(0, 1), (10, 2)]


def test_a_given_position_ends_a_set_without_one(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        snapshot = ChangeSet((changes(ORDERS, [("r", {"id": 1})], commit_at=None),), None, 1)
        commit = append(log, snapshot, position(77), {"snapshot": "chunk 1"})
        assert commit is not None
        assert (commit.position, commit.commit_at) == (position(77), None)


def test_a_batch_without_rows_keeps_its_schema(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, ChangeSet((changes(ORDERS, []),), position(1), 1))
        (batch,) = log.read(0, 1)
        assert (batch.row_count, batch.schema) == (0, ORDERS.with_version(1))
        assert log.schema(ORDERS.table) == ORDERS.with_version(1)


def test_parts_become_visible_together(tmp_path: Path) -> None:
    first, second, last = parts(10, 3, 4)
    with opened(tmp_path) as log:
        with log.begin() as entry:
            entry.append(first)
            entry.append(second)
            assert (log.end, log.metadata, ids(log)) == (None, {}, [])
            entry.append(last)
            commit = entry.commit(position(11), {"k": "early"})
        assert commit is not None
        assert (commit.first, commit.next, commit.row_count) == (0, 12, 12)
        assert ids(log) == [(i, i) for i in range(12)]
        assert log.metadata == {"k": "early"}


def test_abandoned_parts_leave_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, one(5, 1))
        size = log.byte_count
        with log.begin() as entry:
            entry.append(parts(10, 2, 50)[0])
        assert log.segments[-1].path.stat().st_size == size
        append(log, one(20, 2))
        assert (ids(log), log.metadata) == ([(0, 1), (1, 2)], {})
    with opened(tmp_path) as log:
        assert ids(log) == [(0, 1), (1, 2)]


def test_a_schema_first_seen_in_an_abandoned_part_is_numbered_again(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        with log.begin() as entry:
            entry.append(parts(10, 2, 5)[0])
        assert log.schema(ORDERS.table) is None
        append(log, one(20, 1))
        assert log.schema(ORDERS.table) == ORDERS.with_version(1)
        assert [b.schema.version for b in log.read(0, 1)] == [1]


def test_an_empty_transaction_does_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, one(5, 1))
        with log.begin():
            pass
        assert ids(log) == [(0, 1)]


def test_other_threads_wait_for_the_end_of_a_transaction(tmp_path: Path) -> None:
    first, last = parts(10, 2, 2)
    with opened(tmp_path) as log:
        entry = log.begin()
        entry.append(first)
        started = threading.Event()

        def other() -> None:
            started.set()
            append(log, one(99, 42))

        thread = threading.Thread(target=other)
        thread.start()
        assert started.wait(DEFAULT_TIMEOUT_SECONDS)
        thread.join(0.05)
        assert thread.is_alive()
        entry.append(last)
        entry.commit(position(11))
        assert thread.is_alive()
        entry.close()
        thread.join(DEFAULT_TIMEOUT_SECONDS)
        assert ids(log) == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 42)]


def test_another_thread_may_end_the_transaction(tmp_path: Path) -> None:
    first, last = parts(10, 2, 2)
    with opened(tmp_path) as log:
        entry = log.begin()
        entry.append(first)
        thread = threading.Thread(target=entry.close)
        thread.start()
        thread.join(DEFAULT_TIMEOUT_SECONDS)
        with pytest.raises(ValueError, match="committed or closed"):
            entry.append(last)
        append(log, one(20, 2))
        assert ids(log) == [(0, 2)]


def test_closing_frees_a_thread_that_waits_for_its_turn(tmp_path: Path) -> None:
    log = SegmentedLog(tmp_path)
    log.begin().append(parts(10, 2, 2)[0])
    errors: list[Exception] = []

    def other() -> None:
        try:
            append(log, one(99, 42))
        except StateError as error:
            errors.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    log.close()
    thread.join(DEFAULT_TIMEOUT_SECONDS)
    assert [str(error) for error in errors] == [f"{tmp_path}: the log is closed"]
    with opened(tmp_path) as again:
        assert again.end is None


def test_many_threads_append_without_loss(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=20_000) as log:

        def work(worker: int) -> None:
            for i in range(10):
                append_parts(log, parts(worker * 100 + i, 2, 3))

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEFAULT_TIMEOUT_SECONDS)
        found = rows(log)
        assert [row["_cdc_seq"] for row in found] == list(range(240))
        by_commit = [found[i : i + 6] for i in range(0, 240, 6)]
        assert all([row["id"] for row in group] == list(range(6)) for group in by_commit)
        assert all(len({row["note"] for row in group}) == 1 for group in by_commit)


def test_wait_ends_when_the_offset_is_durable(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        assert not log.wait(0, 0.01)
        woken: list[bool] = []
        thread = threading.Thread(target=lambda: woken.append(log.wait(1, DEFAULT_TIMEOUT_SECONDS)))
        thread.start()
        append(log, one(5, 1))
        append(log, idle(9))
        assert thread.is_alive()
        append(log, one(10, 2))
        thread.join(DEFAULT_TIMEOUT_SECONDS)
        assert woken == [True]


def test_one_process_holds_the_folder(tmp_path: Path) -> None:
    with (
        opened(tmp_path),
        pytest.raises(StateError, match=r"process \d+ holds this log\. Stop that process first"),
    ):
        SegmentedLog(tmp_path)


def test_reading_beyond_the_end_or_across_a_commit_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, one(5, 1, 2))
        append(log, one(6, 3, 4))
        with pytest.raises(ValueError, match="the range 1 to 4 cuts the commit 0 to 2"):
            list(log.read(1, 4))
        with pytest.raises(ValueError, match="the range 0 to 3 cuts the commit 2 to 4"):
            list(log.read(0, 3))
        with pytest.raises(LogTrimmed, match="offset 9 is not in the log, which holds 0 to 4"):
            list(log.commits(9))


def test_a_batch_that_does_not_fit_its_schema_is_refused(tmp_path: Path) -> None:
    wrong = type(ORDERS)(ORDERS.table, (ORDERS.columns[0],), ("id",))
    given = changes(ORDERS, [("c", {"id": 1})])
    data = given.data.set_column(0, "id", pa.array(["1"]))
    with opened(tmp_path) as log, pytest.raises(ValueError, match="does not have the columns of its schema"):
        append(log, ChangeSet((type(given)(wrong, data),), position(1), 1))
