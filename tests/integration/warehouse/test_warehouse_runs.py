"""The daemon with a Postgres sink: from the example's file, and from two URLs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres.server import Database, PostgresServer
from tests.support.processes import ROOT, run_cdc
from tests.support.server_pool import lend

ROWS = (
    "create table public.orders (id int primary key, amount numeric, note text)",
    "insert into public.orders values (1, 1.50, 'a'), (2, 'NaN', null)",
)
SELECTED = "select id, amount::text, note from public.orders order by id"


@pytest.fixture
def target(postgres18: PostgresServer) -> Iterator[Database]:
    yield from lend(postgres18, postgres18.create_database)


def test_the_example_runs_and_marks_deleted_rows(
    database15: Database, target: Database, tmp_path: Path
) -> None:
    database15.execute(*ROWS)
    shutil.copy(ROOT / "config/examples/postgres-to-postgres.yaml", tmp_path / "cdc.yaml")
    variables = {"SHOP_URL": database15.url, "WAREHOUSE_URL": target.url}
    checked = run_cdc("check", cwd=tmp_path, environment=variables)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for statements in ((), ("delete from public.orders where id = 1",)):
        database15.execute(*statements)
        done = run_cdc("run", "--once", cwd=tmp_path, environment=variables)
        assert done.returncode == 0, done.stdout + done.stderr
    assert target.query(SELECTED) == [(1, "1.50", "a"), (2, "NaN", None)]
    assert target.query("select id, _cdc_deleted from public.orders order by id") == [(1, True), (2, False)]


def test_two_urls_need_no_file(database15: Database, target: Database, tmp_path: Path) -> None:
    database15.execute(*ROWS)
    done = run_cdc("run", database15.url, "--to", target.url, "--once", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.query(SELECTED) == [(1, "1.50", "a"), (2, "NaN", None)]
