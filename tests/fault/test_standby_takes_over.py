"""The active daemon is killed in the stream and in a copy: a standby goes on, nothing is lost or doubled."""

from __future__ import annotations

import random
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.campaign import live
from tests.support.equality import assert_all_equal
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess
from tests.support.waiting import wait_until
from tests.support.workload.postgres import PostgresWorkload

# Ends of the active daemon in `make test` (a kill and a stop), and in `make test-all`.
FEW_ENDS, MANY_ENDS = 2, 5


def active_of(standbys: list[CdcProcess]) -> CdcProcess:
    """The one that has taken over, once one has."""

    def active() -> list[CdcProcess]:
        for one in standbys:
            one.assert_running()
        return [one for one in standbys if any(r.get("event") == "running" for r in one.log_records)]

    (found,) = wait_until(active, "a standby to take over")
    return found


@pytest.mark.parametrize("ends", [FEW_ENDS, pytest.param(MANY_ENDS, marks=pytest.mark.slow)])
def test_two_standbys_take_over_from_killed_and_stopped_daemons(
    database: Database, tmp_path: Path, ends: int
) -> None:
    rng = random.Random(7)
    workload, pipeline = PostgresWorkload(database, seed=7), Pipeline(database, tmp_path)
    with ExitStack() as stack:
        active = stack.enter_context(pipeline.start())
        active.wait_for_log('"running"')
        standbys = [stack.enter_context(pipeline.stand_by()) for _ in range(2)]
        for standby in standbys:
            standby.wait_for_log("standing by")
        stack.enter_context(workload)
        for number in range(ends):
            live(pipeline, active, rng, until_streaming=number % 2 == 0)
            active.assert_running()
            # As in an upgrade, or not.
            if number % 2 == 1:
                assert active.terminate() == 0
            else:
                active.kill9()
            active = active_of(standbys)
            standbys.remove(active)
            standbys.append(stack.enter_context(pipeline.stand_by()))
            standbys[-1].wait_for_log("standing by")
            workload.check()
        # Tables that the workload makes and rewrites keep copies running for as long as it writes.
        pipeline.wait_until_streaming(active, copied=False)
        assert active.terminate() == 0
        assert active_of(standbys).terminate() == 0
    pipeline.catch_up()
    assert_all_equal(workload, pipeline.lake, pipeline.mirror)


def test_a_copy_goes_on_in_the_standby(database: Database, tmp_path: Path) -> None:
    database.execute("create schema app")
    pipeline = Pipeline(database, tmp_path)
    with ExitStack() as stack:
        active = stack.enter_context(pipeline.start({"CDC_FAILPOINT": "snapshot.rows-durable=3"}))
        active.wait_for_log('"running"')
        standby = stack.enter_context(pipeline.stand_by())
        standby.wait_for_log("standing by")
        # In one transaction, so that the copy, and with it the death, comes behind all rows.
        database.execute(
            "create table app.t (id int primary key, v text);"
            " insert into app.t select i, repeat('x', 100) from generate_series(1, 300000) i"
        )
        assert active.wait() == -signal.SIGKILL
        database.execute("delete from app.t where id <= 1000", "insert into app.t values (0, 'new')")
        standby.wait_for_log("copy finished")
        pipeline.wait_until_delivered(standby)
        assert standby.terminate() == 0
    assert pipeline.mirror_rows("app.t") == 299_001
    assert pipeline.mirror_value("select count(distinct id) from app.t") == 299_001
