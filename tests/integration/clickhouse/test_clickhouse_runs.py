"""The daemon with a ClickHouse sink: from the example's file, and from two URLs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cdc.testing.servers.clickhouse import ClickHouseServer
from tests.support.postgres.server import Database
from tests.support.processes import ROOT, run_cdc

ROWS = (
    "create table public.orders (id int primary key, amount numeric(10,2), note text)",
    "insert into public.orders values (1, 1.50, 'a'), (2, 2, null)",
)
CURRENT = "select id, toString(amount) as amount, note from public.orders__current order by id"


def test_the_example_runs_and_hides_deleted_rows(
    database15: Database, clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    database15.execute(*ROWS)
    shutil.copy(ROOT / "config/examples/postgres-to-clickhouse.yaml", tmp_path / "cdc.yaml")
    variables = {"SHOP_URL": database15.url, "CLICKHOUSE_URL": clickhouse.url()}
    checked = run_cdc("check", cwd=tmp_path, environment=variables)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for statements in ((), ("delete from public.orders where id = 1",)):
        database15.execute(*statements)
        done = run_cdc("run", "--once", cwd=tmp_path, environment=variables)
        assert done.returncode == 0, done.stdout + done.stderr
    assert clickhouse.query(CURRENT) == [{"id": 2, "amount": "2", "note": None}]
    (cursor,) = clickhouse.query("select source, position, offset > 0 as is_moved, epoch from _cdc.cursors")
    assert (cursor["source"], cursor["is_moved"]) == ("shop", 1)
    assert "/" in cursor["position"]


@pytest.mark.slow
def test_two_urls_need_no_file(database15: Database, clickhouse: ClickHouseServer, tmp_path: Path) -> None:
    database15.execute(*ROWS)
    done = run_cdc("run", database15.url, "--to", clickhouse.url(), "--once", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["id"] for row in clickhouse.query(CURRENT)] == [1, 2]
