from __future__ import annotations

import os
import resource
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cdc.engine.retry import Directive, directive
from cdc.errors import StateError, StateFull
from cdc.model import Position
from cdc.spi.state import Checkpoint, Plan
from cdc.state import StateReader, StateStore, read_status
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
START = NOON - timedelta(days=40)
# A position may be far beyond 64 bits (GTID sets).
FAR = Position(2**90 + 1, "uuid:1-99")


def test_epochs_grow_over_restarts_and_are_per_sink(tmp_path: Path) -> None:
    with closing(StateStore(tmp_path)) as state:
        assert [state.next_epoch("lake"), state.next_epoch("lake"), state.next_epoch("warehouse")] == [
            1,
            2,
            1,
        ]
    with closing(StateStore(tmp_path)) as state:
        assert state.next_epoch("lake") == 3


def test_plan_is_there_after_a_restart_until_cleared(tmp_path: Path) -> None:
    plan = Plan(5, 9, FAR, NOON)
    other = Plan(0, 1, Position(1, "0/1"), None)
    with closing(StateStore(tmp_path)) as state:
        assert state.plan("lake", "shop") is None
        state.save_plan("lake", "shop", Plan(0, 5, Position(1, "0/1"), None))
        state.save_plan("lake", "shop", plan)
        state.save_plan("lake", "crm", other)
    with closing(StateStore(tmp_path)) as state:
        assert (state.plan("lake", "shop"), state.plan("lake", "crm")) == (plan, other)
        state.clear_plan("lake", "shop")
        state.clear_plan("lake", "shop")
        assert (state.plan("lake", "shop"), state.plan("lake", "crm")) == (None, other)


def test_checkpoints_come_newest_first(tmp_path: Path) -> None:
    with closing(StateStore(tmp_path)) as state:
        for i in range(5):
            state.add_checkpoint("shop", i, Position(i, f"0/{i}"), NOON + timedelta(seconds=i))
        number = state.add_checkpoint("crm", 7, FAR, NOON)
        newest = state.checkpoints("shop", limit=2)
        assert [c.offset for c in newest] == [4, 3]
        assert len(state.checkpoints()) == 6
        assert state.checkpoint(number) == Checkpoint(number, "crm", 7, FAR, NOON)
        assert state.checkpoint(99) is None


def test_old_checkpoints_are_thinned_to_the_newest_of_each_hour_and_day(tmp_path: Path) -> None:
    minutes = range(0, 60 * 24 * 40, 20)  # 40 days, one in 20 minutes.
    with closing(StateStore(tmp_path)) as state:
        # As add_checkpoint does, in one transaction: the disk is not what is tested.
        state._connection.execute("begin")
        state._connection.executemany(
            "insert into checkpoints (source, next_offset, position_order, position_text, at) "
            "values ('shop', 0, '0', '', ?)",
            [(int((START + timedelta(minutes=minute)).timestamp() * 1e6),) for minute in minutes],
        )
        state._connection.execute("commit")
        state.thin_checkpoints("shop", 0, NOON)
        kept = [c.at for c in state.checkpoints("shop", limit=10_000)]
        ages = [NOON - at for at in kept]
        assert sum(age <= timedelta(days=1) for age in ages) == 72
        assert sum(timedelta(days=1) < age <= timedelta(days=30) for age in ages) == pytest.approx(
            29 * 24, abs=2
        )
        assert sum(age > timedelta(days=30) for age in ages) == pytest.approx(10, abs=2)
        assert all(
            at.minute == 40 for at in kept if timedelta(days=1, hours=1) < NOON - at < timedelta(days=29)
        )
        assert state.thin_checkpoints("shop", 0, NOON) == 0


def test_checkpoints_that_the_log_has_lost_are_removed(tmp_path: Path) -> None:
    with closing(StateStore(tmp_path)) as state:
        for i in range(5):
            state.add_checkpoint("shop", i, Position(i, ""), NOON)
        state.add_checkpoint("crm", 0, Position(0, ""), NOON)
        assert state.thin_checkpoints("shop", 3, NOON) == 3
        assert [c.offset for c in state.checkpoints("shop")] == [4, 3]
        assert len(state.checkpoints("crm")) == 1


def test_replay_request_reaches_the_daemon_and_its_answer_the_asker(tmp_path: Path) -> None:
    with closing(StateStore(tmp_path)) as daemon, closing(StateReader(tmp_path)) as command:
        first = command.request_replay("lake", "shop", 40)
        second = command.request_replay("warehouse", "shop", 50)
        assert [(r.id, r.offset) for r in daemon.pending_replays()] == [(first, 40), (second, 50)]
        assert [r.id for r in daemon.pending_replays("warehouse", "shop")] == [second]
        daemon.finish_replay(first)
        daemon.finish_replay(second, "the log begins at offset 60")
        assert daemon.pending_replays() == []
        answers = [command.replay(first), command.replay(second)]
        assert [(r.finished_at is not None, r.error) for r in answers if r] == [
            (True, None),
            (True, "the log begins at offset 60"),
        ]


def test_status_is_replaced_whole_and_read_without_the_lock(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    with closing(StateStore(tmp_path)) as state:
        state.write_status({"running": True, "sources": {"shop": {"position": "0/1"}}})
        state.write_status({"running": False})
        assert read_status(tmp_path) == {"running": False}
        with closing(StateReader(tmp_path)) as reader:
            assert reader.read_status() == {"running": False}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LOCK", "state.sqlite", "status.json"]


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with closing(StateStore(tmp_path)):
        with pytest.raises(StateError) as caught:
            StateStore(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path}: process {os.getpid()} holds this state directory. "
            "Stop that process first; only one may write here."
        )
    StateStore(tmp_path).close()


def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"there is no state here\. `cdc run` creates it at its first start"):
        StateReader(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    StateStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "state.sqlite")) as connection:
        connection.execute("pragma user_version = 7")
    for opening in (StateStore, StateReader):
        with pytest.raises(StateError, match="the state has version 7; this version reads up to 4"):
            opening(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"not a database" * 100)
    for opening in (StateStore, StateReader):
        with pytest.raises(StateError, match="the state cannot be read or written"):
            opening(tmp_path)


def test_threads_share_one_store(tmp_path: Path) -> None:
    with closing(StateStore(tmp_path)) as state:
        epochs: list[int] = []
        threads = [threading.Thread(target=lambda: epochs.append(state.next_epoch("lake"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEFAULT_TIMEOUT_SECONDS)
        assert sorted(epochs) == list(range(1, 9))


def test_write_without_room_is_retried_and_works_when_there_is_room(tmp_path: Path) -> None:
    plan = Plan(0, 5, FAR, NOON)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(StateStore(tmp_path)) as state:
        # As with a used-up quota, SQLite learns of this limit as an I/O error.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        try:
            with pytest.raises(StateFull) as caught:
                state.save_plan("lake", "shop", plan)
            with pytest.raises(StateFull):
                state.write_status({"running": True})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(caught.value) == (
            f"{tmp_path / 'state.sqlite'}: the disk under state_dir is full. "
            "Free space on this disk. The daemon resumes automatically."
        )
        assert directive(caught.value) is Directive.RETRY
        assert state.plan("lake", "shop") is None
        state.save_plan("lake", "shop", plan)
        assert state.plan("lake", "shop") == plan
