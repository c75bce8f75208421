"""The daemon with an Iceberg sink: from the example's file."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

from cdc.model import TableId
from cdc_sink_iceberg.options import IcebergOptions
from tests.support.iceberg import read_table
from tests.support.postgres.server import Database
from tests.support.processes import ROOT, run_cdc

ROWS = (
    "create table public.orders (id int primary key, amount numeric(10,2), note text)",
    "insert into public.orders values (1, 1.50, 'a'), (2, 2, null), (3, 3, 'c')",
)


def test_the_example_runs_and_follows_the_source(database15: Database, tmp_path: Path) -> None:
    database15.execute(*ROWS)
    shutil.copy(ROOT / "config/examples/postgres-to-iceberg.yaml", tmp_path / "cdc.yaml")
    variables = {"SHOP_URL": database15.url}
    checked = run_cdc("check", cwd=tmp_path, environment=variables)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    changed = ("delete from public.orders where id = 1", "update public.orders set amount = 5 where id = 3")
    for statements in ((), changed):
        database15.execute(*statements)
        done = run_cdc("run", "--once", cwd=tmp_path, environment=variables)
        assert done.returncode == 0, done.stdout + done.stderr
    checked = run_cdc("check", cwd=tmp_path, environment=variables)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = read_table(IcebergOptions(warehouse=str(tmp_path / "lakehouse")), TableId("public", "orders"))
    assert found is not None
    assert found.select(["id", "amount", "note"]).to_pylist() == [
        {"id": 2, "amount": Decimal("2.00"), "note": None},
        {"id": 3, "amount": Decimal("5.00"), "note": "c"},
    ]
