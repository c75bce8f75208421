"""A transaction of any size, and a backlog of any size, stay under 400 MiB of resident memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database

pytestmark = pytest.mark.usefixtures("fresh_processes")

MEBIBYTE = 1024 * 1024
LIMIT_BYTES = 400 * MEBIBYTE
COLUMNS = """
    id bigint primary key, customer integer, status text, note text, amount numeric(12,2),
    price double precision, created timestamptz, updated timestamptz, paid boolean, code varchar(20)
"""
ROWS = """
    select i, i % 5000, 'status ' || i % 7, 'a note of some length for row ' || i, i / 100.0, i * 1.5,
        now() - i * interval '1 second', now(), i % 2 = 0, 'c' || i % 1000
    from generate_series(1, {count}) i
"""


def one_transaction(database: Database, folder: Path, rows: int) -> None:
    database.execute("create schema app", f"create table app.wide ({COLUMNS})")
    database.execute("insert into app.wide (id) values (0)")
    pipeline = Pipeline(database, folder)
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        database.execute(f"insert into app.wide {ROWS.format(count=rows)}")
        pipeline.wait_until_delivered(daemon)
        peak = daemon.peak_rss_bytes()
        assert daemon.terminate() == 0
    assert pipeline.mirror_rows("app.wide") == rows + 1
    assert pipeline.lake_rows("app.wide") == rows + 1
    assert peak < LIMIT_BYTES, f"peak of {peak / MEBIBYTE:.0f} MiB"


def test_large_transaction_stays_in_bounded_memory(database15: Database, tmp_path: Path) -> None:
    one_transaction(database15, tmp_path, 500_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_transaction_of_three_million_rows_stays_under_400_mib(database: Database, tmp_path: Path) -> None:
    one_transaction(database, tmp_path, 3_000_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_update_of_three_million_rows_stays_under_400_mib(database18: Database, tmp_path: Path) -> None:
    """The initial copy and one update of every row, in one transaction."""
    database18.execute(
        "create schema app",
        f"create table app.wide ({COLUMNS})",
        f"insert into app.wide {ROWS.format(count=3_000_000)}",
    )
    pipeline = Pipeline(database18, tmp_path)
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon, 300)
        database18.execute("update app.wide set amount = amount + 1")
        pipeline.wait_until_delivered(daemon, 400)
        peak = daemon.peak_rss_bytes()
        assert daemon.terminate() == 0
    assert pipeline.mirror_value("select sum(amount)::varchar from app.wide") == str(
        database18.value("select sum(amount) from app.wide")
    )
    assert peak < LIMIT_BYTES, f"peak of {peak / MEBIBYTE:.0f} MiB"
