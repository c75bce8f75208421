"""An added column whose default Arrow can't hold follows the policy `unrepresentable` in older rows too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until

MIGRATION = (
    "alter table app.t add c timestamp default 'infinity', add d date[] default '{2024-02-29,-infinity}'",
    "alter table app.t alter c drop default, alter d drop default",
    "insert into app.t values (2, 'infinity', '{}')",
)
NULLS = "select string_agg(concat_ws('|', id, c is null, d::varchar), ' ' order by id) from app.t"


@pytest.fixture
def database(database15: Database) -> Database:
    database15.execute(
        "create schema app", "create table app.t (id int primary key)", "insert into app.t values (1)"
    )
    return database15


def counted(pipeline: Pipeline) -> int | None:
    counters: dict[str, int] = pipeline.status().get("sources", {}).get("shop", {}).get("counters", {})
    return counters.get("unrepresentable_values")


def test_older_rows_get_null_and_are_counted_where_the_policy_says_so(
    database: Database, tmp_path: Path
) -> None:
    pipeline = Pipeline(database, tmp_path, source_options={"unrepresentable": "null"})
    with pipeline.start() as process:
        pipeline.wait_until_streaming(process)
        database.execute(*MIGRATION)
        # The fills of both columns, and the new row's value.
        wait_until(lambda: counted(pipeline) == 3, "three values to be counted")
        pipeline.wait_until_delivered(process)
        process.terminate()
    assert pipeline.mirror_value(NULLS) == "1|true|[2024-02-29, NULL] 2|true|[]"


def test_the_error_names_table_and_column(database: Database, tmp_path: Path) -> None:
    pipeline = Pipeline(database, tmp_path)
    pipeline.catch_up()
    database.execute(*MIGRATION)
    done = pipeline.run_once()
    assert done.returncode == 1
    assert "app.t, column c, in rows older than the column: infinity has no counterpart" in done.stderr
