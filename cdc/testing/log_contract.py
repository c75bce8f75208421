"""The contract suite of logs: subclass `LogContract` and return the store of its logs; every test is a
promise of `cdc.spi.log`.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cdc.errors import LogTrimmed, StateError
from cdc.model import Audience, ChangeSet, CopyMark, CopyStep
from cdc.model.batch import EVERYONE
from cdc.spi import LogReader, LogRetention, LogStore, LogWriter, Severity, Trimmed
from cdc.testing.conditions import DEFAULT_TIMEOUT_SECONDS
from cdc.testing.contract_waivers import honours_waivers
from cdc.testing.events import EPOCH, append, changes, position, table, transaction

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()})
CUSTOMERS = table("public.customers", {"id": pa.int64()})


@honours_waivers
class LogContract:
    """Promises of every log. `place` is where one test's log is; what it consists of is the log's affair."""

    waived: ClassVar[Mapping[str, str]] = {}

    def store(self, place: Any) -> LogStore:
        """Return what opens the logs at this place."""
        raise NotImplementedError

    def divided_store(self, place: Any) -> LogStore:
        """Return what opens logs at this place of which every commit but the newest can be removed alone."""
        raise NotImplementedError

    def open_log(self, place: Any) -> LogWriter:
        """Open the log of every test; a new one when there is none."""
        return self.store(place).writer("shop")

    @pytest.fixture
    def place(self) -> Any:
        """A place without a log. Override this fixture."""
        raise NotImplementedError

    @pytest.fixture
    def log(self, place: Any) -> Iterator[LogWriter]:
        log = self.open_log(place)
        yield log
        log.close()

    def test_there_is_nothing_to_read_before_the_first_start(self, place: Any) -> None:
        assert not self.store(place).exists("shop")
        with pytest.raises(StateError, match="cdc run"):
            self.store(place).reader("shop")

    def test_a_reader_sees_what_another_process_committed(self, place: Any, log: LogWriter) -> None:
        append(log, _inserts(10, 1, 2))
        assert self.store(place).exists("shop")
        assert not self.store(place).exists("crm")
        with closing(self.store(place).reader("shop")) as reader:
            assert (reader.identity, reader.end) == (log.identity, log.end)
            assert _read(reader, 0, 2) == [(0, 1), (1, 2)]
            append(log, _inserts(20, 3))
            assert reader.wait(2, DEFAULT_TIMEOUT_SECONDS)
            assert reader.end == log.end

    def test_a_large_batch_is_announced_with_its_size_before_it_is_read(
        self, place: Any, log: LogWriter
    ) -> None:
        rows = [(ORDERS, "c", {"id": 1, "note": letter * 2**20}) for letter in "ab"]
        for order, row in enumerate(rows):
            append(log, transaction(order + 1, [row])[0])
        append(log, _inserts(10, 3))
        seen: list[tuple[str, int]] = []

        def note(what: str, byte_count: int) -> None:
            seen.append((what, byte_count))

        with closing(self.store(place).reader("shop")) as reader:
            for batch in reader.read(0, 3, before_large=lambda size: note("announced", size)):
                note("read", batch.byte_count)
        assert [what for what, _ in seen] == ["announced", "read", "announced", "read", "read"]
        assert all(size >= 2**20 for _, size in seen[:4])

    def test_closing_a_reader_closes_nothing_else(self, place: Any) -> None:
        store = self.store(place)
        with closing(store.writer("shop")) as log:
            append(log, _inserts(10, 1))
            for at, logs in ((20, store), (30, self.store(place))):
                reader, other = logs.reader("shop"), logs.reader("shop")
                reader.close()
                reader.close()
                end = append(log, _inserts(at, 2))
                assert other.wait(end.first, DEFAULT_TIMEOUT_SECONDS)
                assert other.end == log.end == end
                other.close()

    def test_the_parts_hold_the_whole_log(self, place: Any, log: LogWriter) -> None:
        append(log, _inserts(10, 1, 2))
        append(log, _inserts(20, 3))
        with closing(self.store(place).reader("shop")) as reader:
            found = log.parts, reader.parts
        for parts in found:
            assert (parts[0].first, parts[-1].next, parts[-1].newest) == (0, 3, log.end)
            assert all(before.next == after.first for before, after in itertools.pairwise(parts))
            assert sum(part.commit_count for part in parts) == 2
            assert all(part.byte_count > 0 and part.place for part in parts)

    def test_an_intact_log_is_verified_beside_its_writer(self, place: Any, log: LogWriter) -> None:
        append(log, _inserts(10, 1, 2))
        append(log, _inserts(20, 3))
        for newest_bytes in (None, 1 << 40):
            found = self.store(place).verify("shop", newest_bytes)
            assert (found.commit_count, found.tail_bytes, list(found.damage)) == (2, 0, [])
            assert found.part_count > 0

    def test_a_place_that_can_be_written_has_no_errors(self, place: Any, log: LogWriter) -> None:
        append(log, _inserts(10, 1))
        assert {finding.severity for finding in self.store(place).check(0)} == {Severity.OK}
        assert self.store(place).free_bytes() > 0

    def test_a_new_log_is_empty(self, log: LogWriter) -> None:
        assert log.end is None
        assert log.start == 0
        assert dict(log.metadata) == {}
        assert list(log.commits(0)) == []
        assert log.schema(ORDERS.table) is None
        assert not log.tables

    def test_an_appended_set_is_read_back_with_offsets_in_order(self, log: LogWriter) -> None:
        one, two = append(log, _inserts(10, 1, 2)), append(log, _inserts(20, 3))
        assert (one.first, one.next, two.first, two.next) == (0, 2, 2, 3)
        assert _read(log, 0, 3) == [(0, 1), (1, 2), (2, 3)]
        assert _read(log, 2, 3) == [(2, 3)]

    def test_a_commit_tells_position_time_and_counts(self, log: LogWriter) -> None:
        commit = append(log, _inserts(10, 1, 2))
        assert (commit.position, commit.row_count, commit.transactions) == (position(11), 2, 1)
        assert commit.commit_at is not None
        assert commit.written_at.tzinfo is not None
        assert log.end == commit

    def test_an_empty_set_moves_only_the_position(self, log: LogWriter) -> None:
        append(log, _inserts(10, 1))
        moved = append(log, ChangeSet((), position(50)))
        assert (moved.first, moved.next) == (1, 1)
        assert log.end is not None
        assert log.end.position == position(50)
        following = append(log, _inserts(60, 2))
        assert following.first == 1

    def test_parts_become_visible_with_the_part_that_ends_them(self, log: LogWriter) -> None:
        first, second = transaction(10, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)
        with log.begin() as entry:
            entry.append(first)
            assert log.end is None
            entry.append(second)
            commit = entry.commit(position(11))
        assert (commit.first, commit.next) == (0, 4)
        assert _read(log, 0, 4) == [(0, 0), (1, 1), (2, 2), (3, 3)]

    def test_a_transaction_without_a_commit_leaves_nothing(self, log: LogWriter) -> None:
        append(log, _inserts(10, 1))
        first, _ = transaction(20, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)
        with log.begin() as entry:
            entry.append(first)
            entry.buffer(1, first)
        entry.close()
        commit = append(log, _inserts(30, 7))
        assert [value for _, value in _read(log, 0, commit.next)] == [1, 7]
        assert list(log.buffered(1).commits(0)) == []

    def test_a_transaction_is_over_after_its_commit(self, log: LogWriter) -> None:
        with log.begin() as entry:
            entry.append(_inserts(10, 1))
            entry.commit(position(11))
            with pytest.raises(ValueError, match="committed or closed"):
                entry.append(_inserts(20, 2))
            with pytest.raises(ValueError, match="committed or closed"):
                entry.commit(position(21))
        assert _read(log, 0, 1) == [(0, 1)]

    def test_any_thread_may_go_on_with_a_transaction_and_others_wait_for_its_end(
        self, log: LogWriter
    ) -> None:
        entry = log.begin()
        entry.append(_inserts(10, 1))
        other = threading.Thread(target=lambda: append(log, _inserts(20, 2)))
        other.start()

        def finish() -> None:
            entry.commit(position(11))
            assert log.end is not None
            assert log.end.position == position(11)
            entry.close()

        finisher = threading.Thread(target=finish)
        finisher.start()
        for thread in (finisher, other):
            thread.join(DEFAULT_TIMEOUT_SECONDS)
        assert _read(log, 0, 2) == [(0, 1), (1, 2)]

    def test_an_uncommitted_transaction_is_gone_after_close(self, place: Any, log: LogWriter) -> None:
        append(log, _inserts(10, 1))
        parts = transaction(20, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)
        log.begin().append(parts[0])
        log.close()
        again = self.open_log(place)
        assert again.end is not None
        assert again.end.position == position(11)
        assert [value for _, value in _read(again, 0, again.end.next)] == [1]
        again.close()

    def test_buffered_changes_become_visible_with_their_commit_and_survive_a_reopen(
        self, place: Any, log: LogWriter
    ) -> None:
        with log.begin() as entry:
            entry.append(_inserts(10, 1))
            entry.buffer(3, _inserts(10, 70))
            entry.buffer(3, _inserts(10, 71))
            entry.buffer(4, _inserts(10, 80))
            assert list(log.buffered(3).commits(0)) == []
            entry.commit(position(11), {"a": "1"})
        log.close()
        again = self.open_log(place)
        (commit,) = again.buffered(3).commits(0)
        assert (commit.position, commit.commit_at) == (position(11), EPOCH)
        assert _buffered(again, 3) == [70, 71]
        assert _buffered(again, 4) == [80]
        assert _read(again, 0, 1) == [(0, 1)]
        assert dict(again.metadata) == {"a": "1"}
        again.close()

    def test_buffered_changes_without_a_commit_never_happened(self, place: Any, log: LogWriter) -> None:
        _buffer(log, 10, 3, 70)
        with log.begin() as entry:
            entry.buffer(3, _inserts(20, 71))
        _buffer(log, 30, 3, 72)
        log.begin().buffer(3, _inserts(40, 73))
        log.close()
        again = self.open_log(place)
        _buffer(again, 50, 3, 74)
        assert _buffered(again, 3) == [70, 72, 74]
        again.close()

    def test_a_dropped_buffer_starts_over(self, place: Any, log: LogWriter) -> None:
        _buffer(log, 10, 3, 70)
        with log.begin() as entry:
            entry.drop(3)
        assert _buffered(log, 3) == [70]
        with log.begin() as entry:
            entry.drop(3)
            entry.drop(9)
            entry.commit(position(21))
        assert _buffered(log, 3) == []
        _buffer(log, 30, 3, 71)
        log.close()
        again = self.open_log(place)
        assert _buffered(again, 3) == [71]
        again.close()

    def test_metadata_changes_with_its_commit_and_survive_a_reopen(self, place: Any, log: LogWriter) -> None:
        append(log, _inserts(10, 1), metadata={"a": "1", "b": "2"})
        append(log, _inserts(20, 2), metadata={"b": None, "c": "3"})
        assert dict(log.metadata) == {"a": "1", "c": "3"}
        log.close()
        again = self.open_log(place)
        assert dict(again.metadata) == {"a": "1", "c": "3"}
        again.close()

    def test_metadata_waits_for_the_commit(self, log: LogWriter) -> None:
        first, second = transaction(10, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)
        with log.begin() as entry:
            entry.append(first)
            entry.append(second)
            assert dict(log.metadata) == {}
            entry.commit(position(11), {"a": "1", "b": "2"})
        assert dict(log.metadata) == {"a": "1", "b": "2"}

    def test_a_set_without_position_can_be_given_one(self, log: LogWriter) -> None:
        rows = transaction(10, [(ORDERS, "r", {"id": 1})], part_rows=1)[0]
        commit = append(log, ChangeSet(rows.batches, None, changes=1), position(77))
        assert commit.position == position(77)

    def test_a_reopened_log_goes_on_where_it_ended(self, place: Any, log: LogWriter) -> None:
        append(log, _inserts(10, 1, 2))
        log.close()
        again = self.open_log(place)
        assert again.end is not None
        assert (again.end.next, again.end.position) == (2, position(11))
        commit = append(again, _inserts(20, 3))
        assert commit.first == 2
        assert _read(again, 0, 3) == [(0, 1), (1, 2), (2, 3)]
        again.close()

    def test_the_same_shape_keeps_its_version_and_another_gets_the_next(
        self, place: Any, log: LogWriter
    ) -> None:
        wide = table("public.orders", {"id": pa.int64(), "note": pa.string(), "more": pa.int32()})
        append(log, _inserts(10, 1))
        append(log, _inserts(20, 2))
        append(log, transaction(30, [(wide, "c", {"id": 3, "more": 1})])[0])
        versions = [batch.schema.version for batch in log.read(0, 3)]
        assert (versions[0], versions[-1]) == (1, 2)
        log.close()
        again = self.open_log(place)
        newest = again.schema(wide.table)
        assert set(again.tables) == {wide.table}
        assert newest is not None
        assert (newest.version, newest.same_shape(wide)) == (2, True)
        assert [batch.schema.version for batch in again.read(0, 1)] == [1]
        again.close()

    def test_a_fill_that_was_not_told_yet_gets_a_version_and_is_kept(
        self, place: Any, log: LogWriter
    ) -> None:
        *others, last = ORDERS.columns
        filled = replace(ORDERS, columns=(*others, replace(last, fill=pa.scalar("none", last.type))))
        for at, schema in ((10, ORDERS), (20, filled), (30, ORDERS), (40, filled)):
            append(log, transaction(at, [(schema, "c", {"id": at})])[0])
        found = [(batch.schema.version, batch.schema.columns[-1].fill) for batch in log.read(0, 4)]
        assert found == [(1, None), *[(2, pa.scalar("none", last.type))] * 3]
        log.close()
        again = self.open_log(place)
        newest = again.schema(ORDERS.table)
        assert newest is not None
        assert newest.columns[-1].fill == pa.scalar("none", last.type)
        again.close()

    def test_two_tables_of_a_transaction_keep_their_common_order(self, log: LogWriter) -> None:
        steps = [(ORDERS, "c", {"id": 1}), (CUSTOMERS, "c", {"id": 9}), (ORDERS, "c", {"id": 2})]
        append(log, transaction(10, steps)[0])
        found = sorted((row["_cdc_seq"], row["id"]) for batch in log.read(0, 3) for row in batch.rows())
        assert found == [(0, 1), (1, 9), (2, 2)]

    def test_old_images_and_unchanged_columns_come_back(self, log: LogWriter) -> None:
        update = (ORDERS, "u", {"id": 2}, {"id": 1}, ["note"])
        append(log, transaction(10, [update, (ORDERS, "d", {"id": 2}), (ORDERS, "t", None)])[0])
        rows: list[dict[str, Any]] = [row for batch in log.read(0, 3) for row in batch.rows()]
        assert [row["_cdc_op"] for row in rows] == ["u", "d", "t"]
        assert rows[0]["_cdc_before"] == {"id": 1, "note": None}
        assert rows[0]["_cdc_unchanged"] == ["note"]
        assert rows[1].get("_cdc_before") is None

    def test_commits_start_with_the_one_that_holds_the_offset(self, log: LogWriter) -> None:
        for at in (10, 20, 30):
            append(log, _inserts(at, at, at + 1))
        assert [commit.first for commit in log.commits(3)] == [2, 4]
        assert [commit.first for commit in log.commits(0)] == [0, 2, 4]

    def test_reading_before_the_start_is_refused(self, log: LogWriter) -> None:
        append(log, _inserts(10, 1))
        with pytest.raises(LogTrimmed):
            list(log.commits(-1))

    def test_a_sink_reads_only_what_its_audience_includes(self, place: Any, log: LogWriter) -> None:
        lake, others = Audience.only(["lake"]), Audience.only(["lake"]).others
        append(log, _inserts(10, 1))
        append(log, _seen_by(lake, _inserts(20, 2)))
        append(log, _seen_by(others, _inserts(30, 3)))
        mixed = _inserts(40, 4)
        append(log, replace(mixed, batches=(*mixed.batches, *_seen_by(lake, _inserts(40, 5)).batches)))
        log.close()
        again = self.open_log(place)
        audiences = [commit.audience for commit in again.commits(0)]
        assert audiences == [EVERYONE, lake, others, EVERYONE]
        assert [value for _, value in _read(again, 0, 4, "lake")] == [1, 2, 4, 5]
        assert [value for _, value in _read(again, 0, 4, "mart")] == [1, 3, 4]
        assert [value for _, value in _read(again, 0, 4)] == [1, 2, 3, 4, 5]
        again.close()

    def test_a_mark_of_a_copy_comes_back_at_an_offset_of_its_own(self, log: LogWriter) -> None:
        append(log, _inserts(10, 1, 2))
        mark = CopyMark(CopyStep.FINISHED, EPOCH)
        batch = replace(changes(ORDERS, []), audience=Audience.only(["lake"]), mark=mark)
        commit = append(log, ChangeSet((batch,), position(20), changes=1))
        assert (commit.first, commit.next, commit.row_count) == (2, 3, 0)
        (found,) = log.read(2, 3, "lake")
        assert (found.table, found.row_count) == (ORDERS.table, 0)
        assert found.mark == replace(mark, seq=2)
        assert list(log.read(2, 3, "mart")) == []

    def test_reading_is_restricted_to_tables(self, log: LogWriter) -> None:
        steps = [(ORDERS, "c", {"id": 1}), (CUSTOMERS, "c", {"id": 9}), (ORDERS, "c", {"id": 2})]
        append(log, transaction(10, steps)[0])
        found = [row["id"] for batch in log.read(0, 3, tables={CUSTOMERS.table}) for row in batch.rows()]
        assert found == [9]
        assert list(log.read(0, 3, tables=[])) == []

    def test_the_log_keeps_its_identity(self, place: Any, log: LogWriter) -> None:
        identity = log.identity
        log.close()
        again = self.open_log(place)
        assert identity
        assert again.identity == identity
        again.close()

    def test_find_gives_the_newest_commit_at_or_before(self, log: LogWriter) -> None:
        one, two = append(log, _inserts(10, 1)), append(log, _inserts(20, 2))
        assert log.find(position=position(15)) == one
        assert log.find(position=position(21)) == two
        assert log.find(position=position(5)) is None
        assert log.find(at=datetime.now(UTC)) == two
        assert log.find(at=datetime(2000, 1, 1, tzinfo=UTC)) is None

    def test_wait_ends_when_something_is_durable(self, log: LogWriter) -> None:
        assert not log.wait(0, 0.01)
        seen = threading.Event()

        def wait() -> None:
            if log.wait(0, DEFAULT_TIMEOUT_SECONDS):
                seen.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        append(log, _inserts(10, 1))
        waiter.join(DEFAULT_TIMEOUT_SECONDS)
        assert seen.is_set()
        assert log.wait(0, 0.0)

    def test_wake_ends_a_wait_that_is_no_longer_wanted(self, log: LogWriter) -> None:
        asked, over = threading.Event(), threading.Event()
        found: list[bool] = []

        def until() -> bool:
            asked.set()
            return over.is_set()

        waiter = threading.Thread(target=lambda: found.append(log.wait(0, DEFAULT_TIMEOUT_SECONDS, until)))
        waiter.start()
        assert asked.wait(DEFAULT_TIMEOUT_SECONDS)
        over.set()
        log.wake()
        waiter.join(DEFAULT_TIMEOUT_SECONDS)
        assert found == [False]

    def test_nothing_is_removed_without_a_limit(self, place: Any) -> None:
        with closing(self._filled(place, 4)) as log:
            retention = self._retention
            assert retention.trim(4) == Trimmed(0, 0)
            assert log.start == 0

    def test_a_limit_removes_what_every_sink_has_and_no_more(self, place: Any) -> None:
        with closing(self._filled(place, 4)) as log:
            retention = self._retention
            before = retention.byte_count
            done = retention.trim(2, max_bytes=0)
            assert (done.start, log.start) == (2, 2)
            assert done.byte_count == before - retention.byte_count > 0
            assert retention.trim(0, max_bytes=0) == Trimmed(0, 2)
            assert _read(log, 2, 4) == [(2, 2), (3, 3)]
            with pytest.raises(LogTrimmed):
                list(log.commits(1))
            end = log.end
        with closing(self.divided_store(place).writer("shop")) as log:
            assert (log.start, log.end, log.metadata) == (2, end, {"n": "3"})

    def test_force_passes_every_cursor_and_keeps_the_newest_commit(self, place: Any) -> None:
        with closing(self._filled(place, 4)) as log:
            assert self._retention.trim(0, max_bytes=0, force=True).start == 3
            assert _read(log, 3, 4) == [(3, 3)]

    def test_what_is_young_or_fits_is_kept(self, place: Any) -> None:
        with closing(self._filled(place, 4)) as log:
            retention = self._retention
            assert retention.trim(4, max_age=timedelta(days=1)).byte_count == 0
            assert retention.trim(4, max_bytes=retention.byte_count).byte_count == 0
            assert log.start == 0

    def test_the_size_of_a_stretch_is_known_without_reading_it(self, place: Any) -> None:
        with closing(self._filled(place, 4)):
            retention = self._retention
            assert retention.size_between(2, 2) == 0
            assert 0 < retention.size_between(0, 2) < retention.size_between(0, 4) <= retention.byte_count

    def _filled(self, place: Any, commits: int) -> LogWriter:
        """Open a log of so many commits of one row each, whose upkeep is `_retention`."""
        store = self.divided_store(place)
        log = store.writer("shop")
        self._retention: LogRetention = store.retention("shop")
        for number in range(commits):
            append(log, _inserts(10 + number, number), metadata={"n": str(number)})
        return log

    def test_close_may_be_repeated(self, log: LogWriter) -> None:
        log.close()
        log.close()


def _inserts(at: int, *ids: int) -> ChangeSet:
    return transaction(at, [(ORDERS, "c", {"id": i, "note": f"note {i}"}) for i in ids])[0]


def _seen_by(audience: Audience, changes: ChangeSet) -> ChangeSet:
    return replace(changes, batches=tuple(replace(batch, audience=audience) for batch in changes.batches))


def _buffer(log: LogWriter, at: int, number: int, *ids: int) -> None:
    with log.begin() as entry:
        entry.buffer(number, _inserts(at, *ids))
        entry.commit(position(at + 1))


def _buffered(log: LogWriter, number: int) -> list[int]:
    buffer = log.buffered(number)
    commits = list(buffer.commits(0))
    last = commits[-1].next if commits else 0
    return [row["id"] for batch in buffer.read(0, last) for row in batch.rows()]


def _read(log: LogReader, first: int, after: int, sink: str | None = None) -> list[tuple[int, int]]:
    return [(row["_cdc_seq"], row["id"]) for batch in log.read(first, after, sink) for row in batch.rows()]
