"""A table whose columns cannot be delivered is skipped, named, copied once mended, and holds up no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.migrations.verdict import assert_postgres_equal
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database

BREAKS = {
    "reserved": "alter table app.bad add column _cdc_flag int",
    "reserved key": "alter table app.bad drop constraint bad_pkey; alter table app.bad rename id to _cdc_id; "
    "alter table app.bad add primary key (_cdc_id)",
    "column list": "alter publication cdc_shop set table app.good, app.bad (note)",
}
MENDS = {
    "reserved": "alter table app.bad rename column _cdc_flag to flag",
    "reserved key": "alter table app.bad rename column _cdc_id to id",
    "column list": "alter publication cdc_shop set table app.good, app.bad",
}
REASONS = {
    "reserved": "the column _cdc_flag has a name that is reserved for the envelope (_cdc_*)",
    "reserved key": "the column _cdc_id has a name that is reserved for the envelope (_cdc_*)",
    "column list": "the published columns leave out id, which identifies a row in updates and deletes",
}


@pytest.fixture
def pipeline(database: Database, tmp_path: Path) -> Pipeline:
    database.execute(
        "create schema app",
        "create table app.bad (id int primary key, note text)",
        "create table app.good (id int primary key, note text)",
        "insert into app.bad values (1, 'old')",
        "insert into app.good values (1, 'old')",
    )
    return Pipeline(database, tmp_path, tables=["app.*"])


def run(pipeline: Pipeline, code: int) -> None:
    result = pipeline.run_once()
    assert result.returncode == code, f"{result.stdout}\n{result.stderr}"[-6000:]


def refused(pipeline: Pipeline) -> dict[str, Any]:
    found = pipeline.status()["sources"]["shop"]["refused"]
    return {error["table"]: error for error in found}


def assert_equal(database: Database, pipeline: Pipeline) -> None:
    assert_postgres_equal(
        database, ["app"], pipeline.lake, pipeline.mirror, lambda name: False, sends_generated=False
    )


def test_a_first_copy_takes_all_other_tables(database: Database, pipeline: Pipeline) -> None:
    database.execute(BREAKS["reserved"])
    run(pipeline, 1)
    assert pipeline.mirror_rows("app.good") == 1
    error = refused(pipeline)["app.bad"]
    assert error["message"] == f"app.bad: {REASONS['reserved']}"
    assert "alter table app.bad rename column _cdc_flag to ...;" in error["remedy"]
    database.execute(MENDS["reserved"], "update app.bad set flag = 1")
    run(pipeline, 0)
    assert not refused(pipeline)
    assert_equal(database, pipeline)


@pytest.mark.parametrize("case", list(BREAKS))
def test_the_stream_of_all_other_tables_flows(database: Database, pipeline: Pipeline, case: str) -> None:
    run(pipeline, 0)
    database.execute(
        "insert into app.bad values (2, 'before')",
        BREAKS[case],
        "insert into app.bad values (5, 'during')",
        "insert into app.good values (2, 'new')",
    )
    run(pipeline, 1)
    assert pipeline.mirror_rows("app.good") == 2
    assert refused(pipeline)["app.bad"]["message"] == f"app.bad: {REASONS[case]}"
    database.execute("insert into app.bad values (6, 'more')", "insert into app.good values (3, 'new')")
    run(pipeline, 1)
    assert pipeline.mirror_rows("app.good") == 3
    database.execute(MENDS[case], "insert into app.bad (id, note) values (9, 'after')")
    run(pipeline, 0)
    assert not refused(pipeline)
    assert_equal(database, pipeline)
