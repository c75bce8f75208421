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
from cdc.spi.state import Plan
from cdc.state import LocalState
from cdc.state.schema import SCHEMA_VERSION
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
START = NOON - timedelta(days=40)
# A position may be far beyond 64 bits (GTID sets).
FAR = Position(2**90 + 1, "uuid:1-99")


def test_old_checkpoints_are_thinned_to_the_newest_of_each_hour_and_day(tmp_path: Path) -> None:
    minutes = range(0, 60 * 24 * 40, 20)  # 40 days, one in 20 minutes.
    with closing(LocalState(tmp_path).open()) as state:
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


def test_a_state_has_no_other_files(tmp_path: Path) -> None:
    with closing(LocalState(tmp_path).open()) as state:
        state.write_status({"running": True})
        state.write_status({"running": False})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LOCK", "state.sqlite", "status.json"]


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with closing(LocalState(tmp_path).open()):
        with pytest.raises(StateError) as caught:
            LocalState(tmp_path).open()
        assert str(caught.value) == (
            f"{tmp_path}: process {os.getpid()} holds this state directory. "
            "Stop that process first; only one may write here."
        )
    LocalState(tmp_path).open().close()


def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"there is no state here\. `cdc run` creates it at its first start"):
        LocalState(tmp_path / "none").reader()
    assert list(tmp_path.iterdir()) == []


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    LocalState(tmp_path).open().close()
    with closing(sqlite3.connect(tmp_path / "state.sqlite")) as connection:
        connection.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")
    for opening in (LocalState.open, LocalState.reader):
        with pytest.raises(
            StateError,
            match=f"the state has version {SCHEMA_VERSION + 1}; this version reads up to {SCHEMA_VERSION}",
        ):
            opening(LocalState(tmp_path))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"not a database" * 100)
    for opening in (LocalState.open, LocalState.reader):
        with pytest.raises(StateError, match="the state cannot be read or written"):
            opening(LocalState(tmp_path))


def test_threads_share_one_store(tmp_path: Path) -> None:
    with closing(LocalState(tmp_path).open()) as state:
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
    with closing(LocalState(tmp_path).open()) as state:
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
