"""A transaction of any size from a binlog, compressed or not, stays under 400 MiB of resident memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_source_mysql.binlog.positions import parse
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import SOURCE, MysqlPipeline
from tests.support.processes import CdcProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("fresh_processes")

MEBIBYTE = 1024 * 1024
LIMIT_BYTES = 400 * MEBIBYTE
TABLE = """create table wide (
    id bigint primary key, customer int, status varchar(20), note varchar(80), amount decimal(12,2),
    price double, created datetime(6), updated timestamp(6) null, paid boolean, code varchar(20)
)"""
# A thousand numbers, joined with themselves as often as it takes.
NUMBERS = "create table numbers (n int primary key)"
ROWS = """
    insert into wide select i, i % 5000, concat('status ', i % 7),
        concat('a note of some length for row ', i),
        i / 100.0, i * 1.5, '2026-01-01 00:00:00.000001', '2026-01-01 00:00:00.000001', i % 2 = 0,
        concat('c', i % 1000)
    from (select a.n * 1000 + b.n + 1 i from numbers a join numbers b on b.n < 1000
        where a.n < {thousands}) numbered
"""


def fill_numbers(database: MysqlDatabase) -> None:
    values = ", ".join(f"({n})" for n in range(1000))
    database.execute(NUMBERS, f"insert into numbers values {values}")
    for _ in range(2):
        database.execute("insert into numbers select n + (select count(*) from numbers) from numbers")


def one_transaction(database: MysqlDatabase, folder: Path, thousands: int, *session: str) -> None:
    database.execute(TABLE, "insert into wide (id) values (0)")
    fill_numbers(database)
    pipeline = MysqlPipeline(database.server, folder, url=database.url, tables=(f"{database.name}.wide",))
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        with database.connect() as connection, connection.cursor() as cursor:
            for statement in (*session, ROWS.format(thousands=thousands)):
                cursor.execute(statement)
            connection.commit()
        wait_until_delivered(pipeline, daemon, database)
        peak = daemon.peak_rss_bytes()
        assert daemon.terminate() == 0
    assert pipeline.mirror_rows(f"{database.name}.wide") == thousands * 1000 + 1
    assert pipeline.lake_rows(f"{database.name}.wide") == thousands * 1000 + 1
    assert peak < LIMIT_BYTES, f"peak of {peak / MEBIBYTE:.0f} MiB"


def wait_until_delivered(pipeline: MysqlPipeline, daemon: CdcProcess, database: MysqlDatabase) -> None:
    file, offset = database.server.position()
    target = parse(f"{file}:{offset}", "the test").order

    def delivered() -> bool:
        daemon.assert_running()
        reached = pipeline.status().get("sources", {}).get(SOURCE, {}).get("position")
        is_captured = reached is not None and parse(reached, "the test").order >= target
        return is_captured and all(
            pipeline.sink_status(name).get("behind_changes") == 0 for name in ("lake", "warehouse")
        )

    wait_until(delivered, "both sinks to have everything")


def test_large_transaction_of_a_binlog_stays_in_bounded_memory(
    mariadb10_database: MysqlDatabase, tmp_path: Path
) -> None:
    one_transaction(mariadb10_database, tmp_path, 300)


def test_large_compressed_transaction_stays_in_bounded_memory(
    mysql9_database: MysqlDatabase, tmp_path: Path
) -> None:
    one_transaction(mysql9_database, tmp_path, 300, "set session binlog_transaction_compression = on")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_binlog_transaction_of_three_million_rows_stays_under_400_mib(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    one_transaction(mysql_database, tmp_path, 3000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compressed_transaction_of_three_million_rows_stays_under_400_mib(
    mysql9_database: MysqlDatabase, tmp_path: Path
) -> None:
    one_transaction(mysql9_database, tmp_path, 3000, "set session binlog_transaction_compression = on")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_binlog_update_of_three_million_rows_stays_under_400_mib(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    """The initial copy and one update of every row, in one transaction."""
    mysql_database.execute(TABLE)
    fill_numbers(mysql_database)
    mysql_database.execute(ROWS.format(thousands=3000))
    tables = (f"{mysql_database.name}.wide",)
    pipeline = MysqlPipeline(mysql_database.server, tmp_path, url=mysql_database.url, tables=tables)
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon, 300)
        mysql_database.execute("update wide set amount = amount + 1")
        wait_until_delivered(pipeline, daemon, mysql_database)
        peak = daemon.peak_rss_bytes()
        assert daemon.terminate() == 0
    total = f"select sum(amount)::varchar from {mysql_database.name}.wide"
    assert pipeline.mirror_value(total) == str(mysql_database.value("select sum(amount) from wide"))
    assert peak < LIMIT_BYTES, f"peak of {peak / MEBIBYTE:.0f} MiB"
