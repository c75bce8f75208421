"""Connections that are cut, stalled or refused cost time, never a change."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.support.equality import assert_all_equal
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.proxy import Proxy
from tests.support.workload.postgres import PostgresWorkload

# Cuts of `make test`, and of `make test-all`.
FEW_CUTS, MANY_CUTS = 4, 12
# Between two cuts the stream must come back: the first retry follows after half a second.
BETWEEN_CUTS_SECONDS = (0.2, 1.8)
# Bytes until a cut lands: inside a message, a snapshot's chunk, a handshake.
CUT_AFTER_BYTES = (1, 3_000_000)


@pytest.mark.parametrize("cuts", [FEW_CUTS, pytest.param(MANY_CUTS, marks=pytest.mark.slow)])
def test_random_workload_survives_cut_connections(database: Database, tmp_path: Path, cuts: int) -> None:
    rng = random.Random(7)
    with Proxy(database.server.port) as proxy:
        pipeline = Pipeline(database, tmp_path, url=database.dsn(port=str(proxy.port), sslmode="disable"))
        with PostgresWorkload(database, seed=7) as workload, pipeline.start() as daemon:
            for _ in range(cuts):
                proxy.cut_after(rng.randint(*CUT_AFTER_BYTES))
                threading.Event().wait(rng.uniform(*BETWEEN_CUTS_SECONDS))
                proxy.cut()
                daemon.assert_running()
        pipeline.catch_up()
    assert_all_equal(workload, pipeline.lake, pipeline.mirror)


@pytest.mark.halved
def test_daemon_goes_on_by_itself_after_the_server_was_killed(database: Database, tmp_path: Path) -> None:
    pipeline = Pipeline(database, tmp_path)
    database.execute("create schema app", "create table app.t (id int primary key, note text)")
    database.execute("insert into app.t values (0, 'first')")
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        database.execute("insert into app.t select i, 'before' from generate_series(1, 1000) i")
        database.server.kill9()
        daemon.assert_running()
        database.server.start()
        database.execute("insert into app.t select i, 'after' from generate_series(1001, 2000) i")
        pipeline.wait_until_delivered(daemon)
        assert daemon.terminate() == 0
    assert pipeline.mirror_rows("app.t") == 2001


def test_refused_connections_are_retried_until_the_server_answers(
    database15: Database, tmp_path: Path
) -> None:
    database15.execute(
        "create schema app", "create table app.t (id int primary key)", "insert into app.t values (1)"
    )
    with Proxy(database15.server.port) as proxy:
        proxy.refuse()
        pipeline = Pipeline(database15, tmp_path, url=database15.dsn(port=str(proxy.port), sslmode="disable"))
        with pipeline.start() as daemon:
            pipeline.wait_until_retrying(daemon)
            proxy.accept()
            pipeline.wait_until_streaming(daemon)
            pipeline.wait_until_delivered(daemon)
            assert daemon.terminate() == 0
    assert pipeline.mirror_rows("app.t") == 1
