"""Tables that swap names, and tables that a sink can't take, end whole in mirror and lake."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source as read_mysql
from tests.support.equality.postgres import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc

SWAP = (
    "begin",
    "alter table app.a rename to x",
    "alter table app.b rename to a",
    "alter table app.x rename to b",
    "commit",
)


@pytest.mark.parametrize("running", [False, True])
def test_tables_that_swap_their_names_end_whole_in_mirror_and_lake(
    database15: Database, tmp_path: Path, running: bool
) -> None:
    database15.execute(
        "create schema app",
        "create table app.a (id int primary key, v text)",
        "create table app.b (id int primary key, v text)",
        "insert into app.a select i, 'a' || i from generate_series(1, 20) i",
        "insert into app.b select i, 'b' || i from generate_series(11, 30) i",
    )
    pipeline = Pipeline(database15, tmp_path)
    pipeline.catch_up()
    process = pipeline.start() if running else None
    if process is not None:
        pipeline.wait_until_streaming(process)
    database15.execute(*SWAP, "update app.a set v = 'new' where id = 11", "delete from app.b where id = 20")
    if process is not None:
        pipeline.wait_until_delivered(process)
        process.terminate()
    pipeline.catch_up()
    for table in ("app.a", "app.b"):
        source = read_source(database15, table, ("id",))
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        assert differences(source, replay(read_lake(pipeline.lake, source), source)) == []
    manifests = sorted((pipeline.lake / "_cdc" / "commits").rglob("*.json"))
    told = {one["table"] for path in manifests for one in orjson.loads(path.read_bytes())["set_aside"]}
    assert told == {"a", "b"}


@pytest.mark.halved(other=True)
def test_tables_that_swap_their_names_on_mysql_end_whole_in_mirror_and_lake(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute(
        "create table a (id int primary key, v text)",
        "create table b (id int primary key, v text)",
        "insert into a values (1, 'a1'), (2, 'a2'), (3, 'a3')",
        "insert into b values (2, 'b2'), (3, 'b3'), (4, 'b4')",
        # As gh-ost does: a copy beside the table takes its name.
        "create table orders (id int primary key, v text)",
        "insert into orders values (1, 'o1'), (2, 'o2')",
    )
    pipeline = MysqlPipeline(server, tmp_path, url=mysql_database.url, tables=[f"{name}.*", f"!{name}._*"])
    pipeline.catch_up()
    mysql_database.execute(
        "rename table a to x, b to a, x to b",
        "update a set v = 'new' where id = 2",
        "delete from b where id = 3",
        "create table _orders_gho (id int primary key, v text, w int default 5)",
        "insert into _orders_gho (id, v) select id, v from orders where id > 1",
        "rename table orders to _orders_del, _orders_gho to orders",
        "insert into orders values (9, 'o9', 9)",
    )
    pipeline.catch_up()
    for table in ("a", "b", "orders"):
        source = read_mysql(server, f"{name}.{table}", ("id",))
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
        assert differences(source, held) == []


def test_tables_that_sinks_can_not_take_do_not_stop_the_others_and_come_back(
    database15: Database, tmp_path: Path
) -> None:
    long = "app." + '"' + "é" * 31 + '"'
    database15.execute(
        "create schema app",
        "create table app.orders (id int primary key)",
        'create table app."Orders" (id int primary key)',
        f'create table app."{"/" * 62}" (id int primary key)',
        "insert into app.orders values (1)",
        'insert into app."Orders" values (2)',
    )
    del long
    pipeline = Pipeline(database15, tmp_path)
    strict = pipeline.add_duckdb("strict", identifiers="fail")
    result = run_cdc("run", "--once", cwd=tmp_path)
    assert result.returncode == 1
    (aside,) = pipeline.sink_status("strict")["set_aside"]
    assert aside["table"].lower() == "app.orders"
    assert aside["kind"] == "SinkRefused"
    assert "only in case" in aside["message"]
    assert aside["remedy"].startswith("Set `identifiers: suffix`")
    status = run_cdc("status", cwd=tmp_path)
    assert status.returncode == 1
    assert f"table {aside['table']} is skipped" in status.stdout
    # Renamed in the source, they are both there, without a new state_dir.
    database15.execute('alter table app."Orders" rename to members', "insert into app.members values (3)")
    run_cdc("run", "--once", cwd=tmp_path)
    pipeline.catch_up()
    for table in ("app.members", "app.orders"):
        source = read_source(database15, table, ("id",))
        for path in (strict, pipeline.mirror):
            assert differences(source, read_mirror(path, source)) == []
    assert run_cdc("status", cwd=tmp_path).returncode == 0
