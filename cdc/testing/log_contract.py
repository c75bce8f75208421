"""The contract suite of logs: subclass `LogContract` and say how a log is opened; every test is a promise of
`cdc.spi.log`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cdc.errors import LogTrimmed
from cdc.model import Audience, ChangeSet, CopyMark, CopyStep
from cdc.model.audience import EVERYONE
from cdc.spi import ChangeLog
from cdc.testing.contract_waivers import honours_waivers
from cdc.testing.events import EPOCH, changes, position, table, transaction

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()})
CUSTOMERS = table("public.customers", {"id": pa.int64()})

# What another thread does at once; the rest is for a loaded machine.
DEADLINE_SECONDS = 20.0


@honours_waivers
class LogContract:
    """Promises of every log. `place` is a folder of one test."""

    waived: ClassVar[Mapping[str, str]] = {}

    def open_log(self, place: Path) -> ChangeLog:
        """Open the log at this place; a new one when there is none."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "log"

    @pytest.fixture
    def log(self, place: Path) -> Iterator[ChangeLog]:
        log = self.open_log(place)
        yield log
        log.close()

    def test_a_new_log_is_empty(self, log: ChangeLog) -> None:
        assert log.end is None
        assert log.start == 0
        assert dict(log.facts) == {}
        assert list(log.commits(0)) == []
        assert log.schema(ORDERS.table) is None

    def test_an_appended_set_is_read_back_with_offsets_in_order(self, log: ChangeLog) -> None:
        one, two = log.append(_inserts(10, 1, 2)), log.append(_inserts(20, 3))
        assert one is not None
        assert two is not None
        assert (one.first, one.next, two.first, two.next) == (0, 2, 2, 3)
        assert _read(log, 0, 3) == [(0, 1), (1, 2), (2, 3)]
        assert _read(log, 2, 3) == [(2, 3)]

    def test_a_commit_tells_position_time_and_counts(self, log: ChangeLog) -> None:
        commit = log.append(_inserts(10, 1, 2))
        assert commit is not None
        assert (commit.position, commit.row_count, commit.transactions) == (position(11), 2, 1)
        assert commit.commit_at is not None
        assert commit.written_at.tzinfo is not None
        assert log.end == commit

    def test_an_empty_set_moves_only_the_position(self, log: ChangeLog) -> None:
        log.append(_inserts(10, 1))
        moved = log.append(ChangeSet((), position(50)))
        assert moved is not None
        assert (moved.first, moved.next) == (1, 1)
        assert log.end is not None
        assert log.end.position == position(50)
        following = log.append(_inserts(60, 2))
        assert following is not None
        assert following.first == 1

    def test_parts_become_visible_with_the_part_that_ends_them(self, log: ChangeLog) -> None:
        first, second = transaction(10, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)
        assert log.append(first) is None
        assert log.end is None
        commit = log.append(second)
        assert commit is not None
        assert (commit.first, commit.next) == (0, 4)
        assert _read(log, 0, 4) == [(0, 0), (1, 1), (2, 2), (3, 3)]

    def test_abandoned_parts_leave_nothing(self, log: ChangeLog) -> None:
        log.append(_inserts(10, 1))
        first, _ = transaction(20, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)
        log.append(first)
        log.abandon()
        log.abandon()
        commit = log.append(_inserts(30, 7))
        assert commit is not None
        assert [value for _, value in _read(log, 0, commit.next)] == [1, 7]

    def test_parts_that_were_never_ended_are_gone_after_close(self, place: Path, log: ChangeLog) -> None:
        log.append(_inserts(10, 1))
        log.append(transaction(20, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)[0])
        log.close()
        again = self.open_log(place)
        assert again.end is not None
        assert again.end.position == position(11)
        assert [value for _, value in _read(again, 0, again.end.next)] == [1]
        again.close()

    def test_facts_change_with_their_commit_and_survive_a_reopen(self, place: Path, log: ChangeLog) -> None:
        log.append(_inserts(10, 1), facts={"a": "1", "b": "2"})
        log.append(_inserts(20, 2), facts={"b": None, "c": "3"})
        assert dict(log.facts) == {"a": "1", "c": "3"}
        log.close()
        again = self.open_log(place)
        assert dict(again.facts) == {"a": "1", "c": "3"}
        again.close()

    def test_facts_of_parts_wait_for_the_end(self, log: ChangeLog) -> None:
        first, second = transaction(10, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)
        log.append(first, facts={"a": "1"})
        assert dict(log.facts) == {}
        log.append(second, facts={"b": "2"})
        assert dict(log.facts) == {"a": "1", "b": "2"}

    def test_a_set_without_position_can_be_given_one(self, log: ChangeLog) -> None:
        rows = transaction(10, [(ORDERS, "r", {"id": 1})], part_rows=1)[0]
        commit = log.append(ChangeSet(rows.batches, None, changes=1), position(77))
        assert commit is not None
        assert commit.position == position(77)

    def test_a_reopened_log_goes_on_where_it_ended(self, place: Path, log: ChangeLog) -> None:
        log.append(_inserts(10, 1, 2))
        log.close()
        again = self.open_log(place)
        assert again.end is not None
        assert (again.end.next, again.end.position) == (2, position(11))
        commit = again.append(_inserts(20, 3))
        assert commit is not None
        assert commit.first == 2
        assert _read(again, 0, 3) == [(0, 1), (1, 2), (2, 3)]
        again.close()

    def test_the_same_shape_keeps_its_version_and_another_gets_the_next(
        self, place: Path, log: ChangeLog
    ) -> None:
        wide = table("public.orders", {"id": pa.int64(), "note": pa.string(), "more": pa.int32()})
        log.append(_inserts(10, 1))
        log.append(_inserts(20, 2))
        log.append(transaction(30, [(wide, "c", {"id": 3, "more": 1})])[0])
        versions = [batch.schema.version for batch in log.read(0, 3)]
        assert (versions[0], versions[-1]) == (1, 2)
        log.close()
        again = self.open_log(place)
        newest = again.schema(wide.table)
        assert newest is not None
        assert (newest.version, newest.same_shape(wide)) == (2, True)
        assert [batch.schema.version for batch in again.read(0, 1)] == [1]
        again.close()

    def test_two_tables_of_a_transaction_keep_their_common_order(self, log: ChangeLog) -> None:
        steps = [(ORDERS, "c", {"id": 1}), (CUSTOMERS, "c", {"id": 9}), (ORDERS, "c", {"id": 2})]
        log.append(transaction(10, steps)[0])
        found = sorted((row["_cdc_seq"], row["id"]) for batch in log.read(0, 3) for row in batch.rows())
        assert found == [(0, 1), (1, 9), (2, 2)]

    def test_old_images_and_unchanged_columns_come_back(self, log: ChangeLog) -> None:
        update = (ORDERS, "u", {"id": 2}, {"id": 1}, ["note"])
        log.append(transaction(10, [update, (ORDERS, "d", {"id": 2}), (ORDERS, "t", None)])[0])
        rows: list[dict[str, Any]] = [row for batch in log.read(0, 3) for row in batch.rows()]
        assert [row["_cdc_op"] for row in rows] == ["u", "d", "t"]
        assert rows[0]["_cdc_before"] == {"id": 1, "note": None}
        assert rows[0]["_cdc_unchanged"] == ["note"]
        assert rows[1].get("_cdc_before") is None

    def test_commits_start_with_the_one_that_holds_the_offset(self, log: ChangeLog) -> None:
        for at in (10, 20, 30):
            log.append(_inserts(at, at, at + 1))
        assert [commit.first for commit in log.commits(3)] == [2, 4]
        assert [commit.first for commit in log.commits(0)] == [0, 2, 4]

    def test_reading_before_the_start_is_refused(self, log: ChangeLog) -> None:
        log.append(_inserts(10, 1))
        with pytest.raises(LogTrimmed):
            list(log.commits(-1))

    def test_a_sink_reads_only_what_its_audience_includes(self, place: Path, log: ChangeLog) -> None:
        lake, others = Audience.only(["lake"]), Audience.only(["lake"]).others
        log.append(_inserts(10, 1))
        log.append(_seen_by(lake, _inserts(20, 2)))
        log.append(_seen_by(others, _inserts(30, 3)))
        mixed = _inserts(40, 4)
        log.append(replace(mixed, batches=(*mixed.batches, *_seen_by(lake, _inserts(40, 5)).batches)))
        log.close()
        again = self.open_log(place)
        audiences = [commit.audience for commit in again.commits(0)]
        assert audiences == [EVERYONE, lake, others, EVERYONE]
        assert [value for _, value in _read(again, 0, 4, "lake")] == [1, 2, 4, 5]
        assert [value for _, value in _read(again, 0, 4, "mart")] == [1, 3, 4]
        assert [value for _, value in _read(again, 0, 4)] == [1, 2, 3, 4, 5]
        again.close()

    def test_a_mark_of_a_copy_comes_back_at_an_offset_of_its_own(self, log: ChangeLog) -> None:
        log.append(_inserts(10, 1, 2))
        mark = CopyMark(CopyStep.FINISHED, EPOCH)
        batch = replace(changes(ORDERS, []), audience=Audience.only(["lake"]), mark=mark)
        commit = log.append(ChangeSet((batch,), position(20), changes=1))
        assert commit is not None
        assert (commit.first, commit.next, commit.row_count) == (2, 3, 0)
        (found,) = log.read(2, 3, "lake")
        assert (found.table, found.row_count) == (ORDERS.table, 0)
        assert found.mark == replace(mark, seq=2)
        assert list(log.read(2, 3, "mart")) == []

    def test_find_gives_the_newest_commit_at_or_before(self, log: ChangeLog) -> None:
        one, two = log.append(_inserts(10, 1)), log.append(_inserts(20, 2))
        assert log.find(position=position(15)) == one
        assert log.find(position=position(21)) == two
        assert log.find(position=position(5)) is None
        assert log.find(at=datetime.now(UTC)) == two
        assert log.find(at=datetime(2000, 1, 1, tzinfo=UTC)) is None

    def test_wait_ends_when_something_is_durable(self, log: ChangeLog) -> None:
        assert not log.wait(0, 0.01)
        seen = threading.Event()

        def wait() -> None:
            if log.wait(0, DEADLINE_SECONDS):
                seen.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        log.append(_inserts(10, 1))
        waiter.join(DEADLINE_SECONDS)
        assert seen.is_set()
        assert log.wait(0, 0.0)

    def test_close_may_be_repeated(self, log: ChangeLog) -> None:
        log.close()
        log.close()


def _inserts(at: int, *ids: int) -> ChangeSet:
    return transaction(at, [(ORDERS, "c", {"id": i, "note": f"note {i}"}) for i in ids])[0]


def _seen_by(audience: Audience, changes: ChangeSet) -> ChangeSet:
    return replace(changes, batches=tuple(replace(batch, audience=audience) for batch in changes.batches))


def _read(log: ChangeLog, first: int, after: int, sink: str | None = None) -> list[tuple[int, int]]:
    return [(row["_cdc_seq"], row["id"]) for batch in log.read(first, after, sink) for row in batch.rows()]
