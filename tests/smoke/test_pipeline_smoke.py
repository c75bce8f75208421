"""The main job in a few seconds, by the commands that a user types; runs on both decoders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.postgres import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc

SETUP = (
    "create schema app",
    """create table app.orders (id bigint primary key, customer text, total numeric(12,2),
       placed timestamptz, doc jsonb, tags text[])""",
    """insert into app.orders select i, 'customer ' || i, i / 4.0, now() - i * interval '1 minute',
       jsonb_build_object('n', i), array['a', null, 'c' || i] from generate_series(1, 2000) i""",
)
CHANGES = (
    "insert into app.orders select i, 'late', i, now(), null, null from generate_series(2001, 3000) i",
    "update app.orders set total = total * 2, tags = '{}' where id % 3 = 0",
    "delete from app.orders where id % 7 = 0",
    "update app.orders set id = id + 100000 where id % 11 = 0",
    "alter table app.orders add column paid boolean default true",
    "insert into app.orders (id, customer, paid) values (-1, 'last', null)",
)


@pytest.mark.every_server
def test_copy_then_changes_arrive_in_mirror_and_lake(database: Database, tmp_path: Path) -> None:
    database.execute(*SETUP)
    pipeline = Pipeline(database, tmp_path)
    pipeline.catch_up()
    database.execute(*CHANGES)
    pipeline.catch_up()
    source = read_source(database, "app.orders", ["id"])
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
    assert differences(source, replay(read_lake(pipeline.lake, source), source)) == []


def test_version_names_the_decoders_that_were_asked_for(tmp_path: Path) -> None:
    result = run_cdc("version", cwd=tmp_path)
    assert result.returncode == 0
    wanted = os.environ.get("CDC_NATIVE", "")
    assert wanted in result.stdout.split("decoders", 1)[1].split()[0]
