"""Rows whose key changes keep the values that the source did not send, in every mode and in the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.ducks import read_file
from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source as read_mysql
from tests.support.equality.postgres import read_source as read_postgres
from tests.support.equality.tables import SourceTable, differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database

ROWS = """insert into {t} values
    (1, 10, 'a', {big}), (2, 20, 'b', {big}), (3, 30, null, {big}), (4, 40, 'd', {big})"""
ONE_BY_ONE = ("update {t} set id = 100 where id = 1", "update {t} set id = 200, v = 21 where id = 2")
# All in one delivery.
CHAINS = (
    "update {t} set id = 11 where id = 100",
    "update {t} set id = 12 where id = 11",
    "update {t} set v = 13 where id = 12",
    "begin",
    "update {t} set id = 999 where id = 3",
    "update {t} set id = 3 where id = 4",
    "update {t} set id = 4 where id = 999",
    "commit",
    "update {t} set id = 201 where id = 200",
    "insert into {t} values (200, 1, 'new', 'short')",
    "update {t} set id = 202 where id = 200",
    "delete from {t} where id = 12",
    "insert into {t} values (12, 5, 'again', null)",
    "update {t} set id = 13 where id = 12",
)
# MySQL's row images, and Postgres' replica identities by table.
IMAGES = ("minimal", "noblob")
TABLES = {"app.t_key": "default", "app.t_full": "full"}
BIG = "repeat('wide', 5000)"


def _check(pipeline: Pipeline, files: dict[str, Path], source: SourceTable) -> None:
    """Mirror, lake, and what is alive with soft deletes and in the history equal the source."""
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
    assert differences(source, replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)) == []
    columns = ", ".join(column.name for column in source.columns)
    wanted = read_file(pipeline.mirror, f"select {columns} from {source.name} order by all")
    for alive, path in zip(("not _cdc_deleted", "valid_to is null"), files.values(), strict=True):
        query = f"select {columns} from {source.name} where {alive} order by all"
        assert read_file(path, query) == wanted


def _files(pipeline: Pipeline) -> dict[str, Path]:
    return {
        "soft": pipeline.add_duckdb("soft", deletes="soft"),
        "history": pipeline.add_duckdb("history", mode="history"),
    }


def _left(path: Path, table: str, key: Any) -> list[tuple[Any, ...]]:
    """What is kept under a key that its row has left."""
    return read_file(path, f"select v, txt, length(big) from {table} where id = {key} and _cdc_deleted")


@pytest.mark.halved
def test_a_key_change_of_mysql_keeps_what_the_row_image_lacks(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute(
        "create table words (word varchar(20) primary key, v int, txt text)",
        "insert into words values ('anna', 1, 'a'), ('bob', 2, 'b')",
    )
    for image in IMAGES:
        mysql_database.execute(
            f"create table {image} (id int primary key, v int, txt text, big longtext)",
            ROWS.format(t=image, big=BIG),
        )
    pipeline = MysqlPipeline(server, tmp_path, url=mysql_database.url, tables=[f"{name}.*"])
    files = _files(pipeline)
    pipeline.catch_up()
    for statements in (ONE_BY_ONE, CHAINS):
        for image in IMAGES:
            mysql_database.execute(
                f"set binlog_row_image = {image}", *(statement.format(t=image) for statement in statements)
            )
        mysql_database.execute(
            "set binlog_row_image = minimal",
            "update words set word = 'ANNA' where binary word = 'anna'",
            "update words set word = upper(word), v = v + 1 where word = 'bob'",
        )
        pipeline.catch_up()
        for table, key in (*((image, ("id",)) for image in IMAGES), ("words", ("word",))):
            _check(pipeline, files, read_mysql(server, f"{name}.{table}", key))
    assert [_left(files["soft"], f"{name}.{image}", 1) for image in IMAGES] == [[(10, "a", 20_000)]] * 2


@pytest.mark.halved(other=True)
def test_a_key_change_of_postgres_keeps_what_is_stored_out_of_line(
    database: Database, tmp_path: Path
) -> None:
    database.execute("create schema app")
    for table, identity in TABLES.items():
        database.execute(
            f"create table {table} (id int primary key, v int, txt text, big text)",
            f"alter table {table} alter big set storage external",
            f"alter table {table} replica identity {identity}",
            ROWS.format(t=table, big=BIG),
        )
    pipeline = Pipeline(database, tmp_path)
    files = _files(pipeline)
    pipeline.catch_up()
    for statements in (ONE_BY_ONE, CHAINS):
        for table in TABLES:
            database.execute(*(statement.format(t=table) for statement in statements))
        pipeline.catch_up()
        for table in TABLES:
            _check(pipeline, files, read_postgres(database, table, ("id",)))
    assert [_left(files["soft"], table, 1) for table in TABLES] == [[(10, "a", 20_000)]] * 2
