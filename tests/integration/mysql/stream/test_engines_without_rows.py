"""BLACKHOLE tables: the binlog has the rows that are written, and the table has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_source_mysql.schema.ddl.changes import RowsChanged
from cdc_source_mysql.schema.ddl.classify import classify
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline

ANY_ENGINE = "set session sql_mode = ''"


def ops(follower: MysqlFollower, table: str) -> list[tuple[str, int | None]]:
    return [(row["_cdc_op"], row["id"]) for row in follower.rows() if row["table"].endswith(f".{table}")]


@pytest.mark.parametrize("mode", ["set session sql_mode = 'NO_ENGINE_SUBSTITUTION'", ANY_ENGINE])
@pytest.mark.parametrize("metadata", ["full", "minimal"])
def test_a_truncate_follows_the_rows_of_a_table_that_keeps_none(
    mysql9_database: MysqlDatabase, follow: FollowerFactory, mode: str, metadata: str
) -> None:
    database = mysql9_database
    database.server.execute(f"set global binlog_row_metadata = {metadata}")
    database.execute("create table early (id int primary key) engine = blackhole")
    follower = follow(database)
    database.execute(mode, "create table late (id int primary key) engine = blackhole")
    for table in ("early", "late"):
        database.execute(f"insert into {table} values (1), (2)", f"insert into {table} values (3)")
        found = ops(follower, table)
        assert [op for op in found if op[0] == "c"] == [("c", 1), ("c", 2), ("c", 3)]
        assert found[-1] == ("t", None)
    database.execute("alter table late engine = innodb", "insert into late values (4)")
    assert ops(follower, "late") == [("c", 4)]


@pytest.mark.parametrize("metadata", ["full", "minimal"])
def test_the_engine_of_a_table_that_names_none_is_known(
    mysql9_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    database = mysql9_database
    database.server.execute(f"set global binlog_row_metadata = {metadata}")
    follower = follow(database)
    for engine in ("blackhole", "innodb"):
        name = f"made_{engine}"
        database.execute(
            f"set session default_storage_engine = {engine}",
            f"create table {name} (id int primary key)",
            f"insert into {name} values (1)",
        )
        assert ("t", None) in ops(follower, name) or engine == "innodb"
        follower.restart()
        database.execute(f"insert into {name} values (2)")
        assert ops(follower, name) == [("c", 2), ("t", None)][: 2 if engine == "blackhole" else 1]


@pytest.mark.parametrize("mode", ["set session sql_mode = 'NO_ENGINE_SUBSTITUTION'", ANY_ENGINE])
@pytest.mark.parametrize("engines", [("innodb", "blackhole"), ("blackhole", "innodb"), ("innodb", "innodb")])
def test_a_table_is_copied_again_when_its_engine_keeps_other_rows(
    mysql9_database: MysqlDatabase, follow: FollowerFactory, engines: tuple[str, str], mode: str
) -> None:
    before, after = engines
    mysql9_database.execute(f"create table t (id int primary key) engine = {before}")
    follower = follow(mysql9_database)
    mysql9_database.execute(mode, f"alter table t engine = {after}")
    follower.catch_up()
    assert [request.table.name for request in follower.stale] == (["t"] if before != after else [])


@pytest.mark.parametrize("engine", ["federated", "connect", "spider", "merge", "mrg_myisam"])
def test_engines_whose_rows_are_elsewhere_change_what_a_table_shows(engine: str) -> None:
    kinds = {type(change) for change in classify(f"alter table t engine = {engine}", "db")}
    assert RowsChanged in kinds


@pytest.mark.timeout(300)
def test_a_mirror_is_empty_as_the_table_is(mysql9_database: MysqlDatabase, tmp_path: Path) -> None:
    database = mysql9_database
    database.execute(
        "create table hole (id int primary key) engine = blackhole",
        "create table turned (id int primary key)",
        "insert into turned values (1)",
    )
    pipeline = MysqlPipeline(database.server, tmp_path, url=database.url, tables=[f"{database.name}.*"])
    pipeline.catch_up()
    database.execute(
        "insert into hole values (1)",
        "alter table turned engine = blackhole",
        "insert into turned values (2)",
    )
    pipeline.catch_up()
    for name in ("hole", "turned"):
        source = read_source(database.server, f"{database.name}.{name}", ("id",))
        assert sum(source.rows.values()) == 0
        assert differences(source, read_mirror(pipeline.mirror, source)) == [], name


@pytest.mark.parametrize(("engine", "is_copied"), [("myisam", True), ("innodb", False)])
def test_a_table_that_may_lose_rows_by_a_repair_is_copied_again(
    mysql_database: MysqlDatabase, follow: FollowerFactory, engine: str, is_copied: bool
) -> None:
    mysql_database.execute(f"create table t (id int primary key) engine = {engine}")
    follower = follow(mysql_database)
    mysql_database.execute("repair table t")
    follower.catch_up()
    assert [request.table.name for request in follower.stale] == (["t"] if is_copied else [])
