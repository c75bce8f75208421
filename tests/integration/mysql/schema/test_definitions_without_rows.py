"""Tables and columns that are altered or whose names change hands end right in the sinks, though no row of
theirs follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.binaries import servers_under_test
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline

CIRCLE = (
    "alter table circled change a c int",
    "alter table circled change b a int",
    "alter table circled change c b int",
)
ALTERED = (
    "alter table swapped rename column a to b, rename column b to a",
    "alter table grown add column c int, add column d varchar(5) first",
    "alter table filled add column c int default 7",
    "alter table filled alter column c drop default",
    "alter table narrowed drop column b",
    "alter table widened modify a bigint",
    "alter table parted drop column b, add column c int",
)
TABLES = ("a", "b", "circled", "swapped", "grown", "filled", "narrowed", "widened", "parted")


@pytest.fixture
def database(metadata: str, mysql_database: MysqlDatabase) -> Iterator[MysqlDatabase]:
    """On a server whose TABLE_MAP events tell names, or as little as by default."""
    default = "minimal" if mysql_database.server.flavour == "mysql" else "no_log"
    wanted = "full" if metadata == "full" else default
    mysql_database.server.execute(f"set global binlog_row_metadata = {wanted}")
    yield mysql_database
    mysql_database.server.execute("set global binlog_row_metadata = full")


# Each value in one of the ways; `make test-all` has the others too.
COMMON = {("mysql9", "default", "running"), ("mariadb10", "full", "stopped")}
WAYS = [
    pytest.param(*way, id="-".join(way), marks=() if way in COMMON else pytest.mark.slow)
    for way in product(servers_under_test(), ("full", "default"), ("running", "stopped"))
]


@pytest.mark.parametrize(("mysql", "metadata", "way"), WAYS, indirect=["mysql"])
def test_names_that_change_hands_reach_the_sinks_without_a_row(
    database: MysqlDatabase, tmp_path: Path, way: str
) -> None:
    server, name = database.server, database.name
    database.execute(
        "create table a (id int primary key, v text)",
        "create table b (id int primary key, v text)",
        *(f"create table {one} (id int primary key, a int, b int)" for one in TABLES[2:-1]),
        "create table parted (id int primary key, a int, b int) partition by hash (id) partitions 2",
        "create table live (id int primary key)",
        "insert into a values (1, 'a1'), (2, 'a2')",
        "insert into b values (2, 'b2'), (3, 'b3')",
        *(f"insert into {one} values (1, 10, 20), (2, 30, 40)" for one in TABLES[2:]),
    )
    pipeline = MysqlPipeline(server, tmp_path, url=database.url, tables=[f"{name}.*"])
    pipeline.catch_up()
    process = pipeline.start() if way == "running" else None
    if process is not None:
        pipeline.wait_until_streaming(process)
    database.execute("rename table a to x, b to a, x to b", *CIRCLE, *ALTERED, "insert into live values (1)")
    if process is not None:
        process.terminate()
    pipeline.catch_up()
    for table in TABLES:
        source = read_source(server, f"{name}.{table}", ("id",))
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
        assert differences(source, held) == []
