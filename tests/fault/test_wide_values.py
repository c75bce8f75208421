"""Several values of 50 MB in one transaction go through, in memory that depends on one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.test_memory_bound_mysql import wait_until_delivered
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database

pytestmark = pytest.mark.usefixtures("fresh_processes")

MEBIBYTE = 1024 * 1024
SIZE = 50_000_000
ROWS = 4
# As docs/operations.md names it: the daemon's own, and so many times a value.
OWN_BYTES = 170 * MEBIBYTE
# A binlog has the old row too, whole.
BINLOG_LIMIT_BYTES = OWN_BYTES + 7 * SIZE
STATEMENTS = (
    "update {table} set v = v + 1",
    "update {table} set big = concat(big, 'x')",
    "delete from {table} where id = 1",
)
VALUE = f"select string_agg(md5(i::text || j), '') from generate_series(1, {SIZE // 32}) j"
EXPECTED = (ROWS - 1, ROWS - 1, (ROWS - 1) * (SIZE + 1))

WIDE_TABLE = (
    "create schema app",
    "create table app.wide (id int primary key, v int, big text)",
    "insert into app.wide values (0, 0, 'x')",
)


def peak_of_wide_rows(database: Database, pipeline: Pipeline) -> int:
    """Write the rows and run each statement while a daemon follows; return the bytes of its peak."""
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        database.execute(
            "delete from app.wide",
            f"insert into app.wide select i, 0, ({VALUE}) from generate_series(1, {ROWS}) i",
        )
        pipeline.wait_until_delivered(daemon, 300)
        for statement in STATEMENTS:
            database.execute(statement.format(table="app.wide"))
            pipeline.wait_until_delivered(daemon, 300)
        peak = daemon.peak_rss_bytes()
        assert daemon.terminate() == 0
    return peak


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mode", "times"), [("mirror", 5), ("append", 5), ("history", 10)])
def test_values_of_50_mb_in_one_transaction_of_postgres(
    database15: Database, tmp_path: Path, mode: str, times: int
) -> None:
    database15.execute(*WIDE_TABLE)
    pipeline = Pipeline(database15, tmp_path)
    pipeline.configure_sink("warehouse", mode=mode)
    pipeline.remove_sink("lake")
    peak = peak_of_wide_rows(database15, pipeline)
    live = {"mirror": "true", "history": "valid_to is null", "append": "false"}[mode]
    if mode != "append":
        query = f"select (count(*), sum(v), sum(length(big))) from app.wide where {live}"
        assert pipeline.mirror_value(query) == EXPECTED
    assert peak < OWN_BYTES + times * SIZE, f"peak of {peak / MEBIBYTE:.0f} MiB"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_values_of_50_mb_in_one_transaction_go_into_a_warehouse(
    database15: Database, database18: Database, tmp_path: Path
) -> None:
    database15.execute(*WIDE_TABLE)
    pipeline = Pipeline(database15, tmp_path)
    pipeline.mirror_into(database18)
    pipeline.remove_sink("lake")
    peak = peak_of_wide_rows(database15, pipeline)
    found = database18.query("select count(*), sum(v), sum(length(big)) from app.wide")
    assert found == [EXPECTED]
    assert peak < OWN_BYTES + 5 * SIZE, f"peak of {peak / MEBIBYTE:.0f} MiB"


def wide_table(database: MysqlDatabase) -> str:
    """Create the table, and one with a number for each of its rows to come; return its name."""
    database.execute(
        "set global max_allowed_packet = 268435456",
        "create table wide (id int primary key, v int, big longtext)",
        "create table numbers (n int primary key)",
        "insert into numbers values " + ", ".join(f"({n + 1})" for n in range(ROWS)),
    )
    return f"{database.name}.wide"


def fill_wide_table(database: MysqlDatabase) -> None:
    database.execute(f"insert into wide select n, 0, repeat(sha2(n, 256), {SIZE // 64}) from numbers")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_values_of_50_mb_in_one_transaction_of_a_binlog(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    table = wide_table(mysql_database)
    pipeline = MysqlPipeline(mysql_database.server, tmp_path, url=mysql_database.url, tables=(table,))
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon, copied=False)
        fill_wide_table(mysql_database)
        wait_until_delivered(pipeline, daemon, mysql_database)
        for statement in STATEMENTS:
            mysql_database.execute(statement.format(table="wide"))
            wait_until_delivered(pipeline, daemon, mysql_database)
        peak = daemon.peak_rss_bytes()
        assert daemon.terminate() == 0
    query = f"select (count(*), sum(v), sum(length(big))) from {table}"
    assert pipeline.mirror_value(query) == EXPECTED
    assert peak < BINLOG_LIMIT_BYTES, f"peak of {peak / MEBIBYTE:.0f} MiB"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_copied_values_of_50_mb_take_no_more_than_streamed_ones(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    table = wide_table(mysql_database)
    fill_wide_table(mysql_database)
    pipeline = MysqlPipeline(mysql_database.server, tmp_path, url=mysql_database.url, tables=(table,))
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        wait_until_delivered(pipeline, daemon, mysql_database)
        peak = daemon.peak_rss_bytes()
        assert daemon.terminate() == 0
    assert pipeline.mirror_value(f"select (count(*), sum(length(big))) from {table}") == (ROWS, ROWS * SIZE)
    assert peak < BINLOG_LIMIT_BYTES, f"peak of {peak / MEBIBYTE:.0f} MiB"
