"""Rows that the server changes without logging them (foreign keys, MERGE tables): mirror and lake have them,
and log and status say why.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import SOURCE, MysqlPipeline
from tests.support.waiting import wait_until

MEMBER = "(id int not null, v int, key (id))"
TABLES = {
    "parent": ("(id int primary key, v int)", "(1, 1), (2, 2), (3, 3), (4, 4)"),
    "child": (
        "(id int primary key, p int, foreign key (p) references parent (id) on delete cascade"
        " on update cascade)",
        "(1, 1), (2, 2), (3, 3)",
    ),
    "grandchild": (
        "(id int primary key, c int, foreign key (c) references child (id) on delete set null)",
        "(1, 1), (2, 2), (3, 3)",
    ),
    "one": (f"{MEMBER} engine = myisam", "(1, 1)"),
    "two": (f"{MEMBER} engine = myisam", "(2, 2)"),
    "both_": (f"{MEMBER} engine = merge union = (one, two) insert_method = last", ""),
}
CHANGES = (
    "update parent set v = 7",
    "delete from parent where id = 1",
    "update parent set id = 20 where id = 2",
    "insert into child values (5, 3)",
    "insert into both_ values (3, 3)",
    "update both_ set v = 9 where id = 1",
)
# Tables with a row that more than one table shows have no key of their own.
KEYED = {"parent", "child", "grandchild"}


@pytest.fixture
def pipeline(mysql_database: MysqlDatabase, tmp_path: Path) -> MysqlPipeline:
    for name, (columns, rows) in TABLES.items():
        mysql_database.execute(f"create table {name} {columns}")
        if rows:
            mysql_database.execute(f"insert into {name} values {rows}")
    tables = [f"{mysql_database.name}.*"]
    return MysqlPipeline(mysql_database.server, tmp_path, url=mysql_database.url, tables=tables)


def require_equal(
    database: MysqlDatabase, pipeline: MysqlPipeline, tables: Collection[str] = TABLES.keys()
) -> None:
    for name in tables:
        source = read_source(database.server, f"{database.name}.{name}", ("id",) if name in KEYED else ())
        assert differences(source, read_mirror(pipeline.mirror, source)) == [], name
        changes = read_lake(pipeline.lake, source)
        begins = [at for at, change in enumerate(changes) if change.op == "t"]
        held = replay(changes[begins[-1] if begins else 0 :], source, copies_run_ahead=True)
        assert differences(source, held) == [], name


def expected_copies(database: MysqlDatabase) -> set[str]:
    """MySQL logs what foreign keys do."""
    by_key = set() if database.server.flavour == "mysql" else {"child", "grandchild"}
    return {"one", "two", *by_key}


@pytest.mark.halved
@pytest.mark.timeout(300)
def test_a_stopped_daemon_has_unlogged_changes_at_its_start(
    mysql_database: MysqlDatabase, pipeline: MysqlPipeline
) -> None:
    pipeline.catch_up()
    mysql_database.execute(*CHANGES)
    ended = pipeline.run_once()
    assert ended.returncode == 0, ended.stderr[-4000:]
    require_equal(mysql_database, pipeline)
    for name in expected_copies(mysql_database):
        assert f"{mysql_database.name}.{name}" in ended.stderr
    again = pipeline.run_once()
    assert "rows here with them" not in again.stderr


@pytest.mark.halved(other=True)
@pytest.mark.timeout(300)
def test_children_of_foreign_keys_are_right_under_partial_images(
    mysql_database: MysqlDatabase, pipeline: MysqlPipeline
) -> None:
    pipeline.catch_up()
    for image in ("minimal", "noblob"):
        mysql_database.execute(
            "replace into parent values (1, 1), (2, 2)",
            "replace into child values (1, 1), (2, 2)",
            f"set session binlog_row_image = {image}",
            *(statement for statement in CHANGES if "both_" not in statement),
            "delete from child where id = 3",
            "delete from child where id = 5",
            "delete from parent where id = 20",
        )
        pipeline.catch_up()
        require_equal(mysql_database, pipeline, KEYED)


@pytest.mark.timeout(300)
def test_a_running_daemon_has_unlogged_changes_in_the_end(
    mysql_database: MysqlDatabase, pipeline: MysqlPipeline
) -> None:
    with pipeline.start() as process:
        pipeline.wait_until_streaming(process)
        mysql_database.execute(*CHANGES)
        wait_until(lambda: "rows here with them" in process.log_text, "the copies")
        remedy = f'exclude it: "!{mysql_database.name}.both_"'

        def is_paused() -> bool:
            # While its copy is due, one more change makes no difference.
            mysql_database.execute("update both_ set v = v + 1 where id = 1")
            return remedy in str(status_of(pipeline))

        wait_until(is_paused, "the pause, with its remedy")
        assert process.terminate() == 0
    # A new process starts to count at zero.
    pipeline.catch_up()
    require_equal(mysql_database, pipeline)


@pytest.mark.halved
@pytest.mark.timeout(300)
def test_a_parent_and_a_merge_table_that_are_not_followed_still_count(
    mysql_database: MysqlDatabase, pipeline: MysqlPipeline
) -> None:
    name = mysql_database.name
    followed = ("child", "grandchild", "two")
    pipeline.configure(tables=[f"{name}.{table}" for table in followed])
    pipeline.catch_up()
    mysql_database.execute(*CHANGES, "insert into two values (8, 8)")
    ended = pipeline.run_once()
    assert ended.returncode == 0, ended.stderr[-4000:]
    require_equal(mysql_database, pipeline, followed)
    assert not pipeline.lake.joinpath(f"{name}.parent").exists()


def status_of(pipeline: MysqlPipeline) -> object:
    return pipeline.status().get("sources", {}).get(SOURCE, {})
