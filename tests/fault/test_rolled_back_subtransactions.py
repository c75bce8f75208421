"""Rolled back subtransactions leave nothing, however large they were and whatever the server says about
them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database

# Beyond logical_decoding_work_mem, so that the server spills it and may drop it when it sees the rollback.
LARGE = "insert into app.t select 'large', repeat('x', 100) from generate_series(1, 3000)"
SMALL = "insert into app.t values ('small', null)"


@pytest.mark.halved
@pytest.mark.parametrize(
    "statements",
    [
        ("savepoint s", LARGE, "rollback to s", SMALL, "commit"),
        (LARGE, "savepoint s", LARGE, "rollback to s", LARGE, "commit"),
        (LARGE, "savepoint s", SMALL, "savepoint r", LARGE, "release r", "rollback to s", LARGE, "commit"),
        (LARGE, "savepoint s", LARGE, "release s", LARGE, "rollback"),
    ],
    ids=["small-survives", "large-survives", "nested", "nothing-survives"],
)
def test_rolled_back_subtransaction_is_not_delivered(
    database: Database, tmp_path: Path, statements: tuple[str, ...]
) -> None:
    database.execute("create schema app", "create table app.t (kind text, filler text)")
    database.execute("alter table app.t replica identity full")
    pipeline = Pipeline(database, tmp_path)
    pipeline.catch_up()
    with database.connect() as connection:
        for statement in ("begin", SMALL, *statements):
            connection.execute(statement.encode())
    pipeline.catch_up()
    assert pipeline.lake_rows("app.t") == database.value("select count(*) from app.t")
