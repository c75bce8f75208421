"""Tables and columns whose names change hands end right in the sinks, though no row of theirs follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline

CIRCLE = (
    "alter table circled change a c int",
    "alter table circled change b a int",
    "alter table circled change c b int",
)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_names_that_change_hands_reach_the_sinks_without_a_row(
    mysql_database: MysqlDatabase, tmp_path: Path, running: bool
) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute(
        "create table a (id int primary key, v text)",
        "create table b (id int primary key, v text)",
        "create table circled (id int primary key, a int, b int)",
        "create table live (id int primary key)",
        "insert into a values (1, 'a1'), (2, 'a2')",
        "insert into b values (2, 'b2'), (3, 'b3')",
        "insert into circled values (1, 10, 20), (2, 30, 40)",
    )
    pipeline = MysqlPipeline(server, tmp_path, url=mysql_database.url, tables=[f"{name}.*"])
    pipeline.catch_up()
    process = pipeline.start() if running else None
    if process is not None:
        pipeline.wait_until_streaming(process)
    mysql_database.execute("rename table a to x, b to a, x to b", *CIRCLE, "insert into live values (1)")
    if process is not None:
        process.terminate()
    pipeline.catch_up()
    for table in ("a", "b", "circled"):
        source = read_source(server, f"{name}.{table}", ("id",))
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
        assert differences(source, held) == []
