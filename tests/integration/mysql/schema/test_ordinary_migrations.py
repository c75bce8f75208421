"""Migrations of every kind on servers whose events tell no column names, as they are by default: mirror and
lake end equal to the source, and no table stops another.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.support.equality.lake import Change, read_lake, replay
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.migrations.mysql.ordinary import recipes
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline

# Its lake's rows have one key before the migration and another one behind it.
ANOTHER_KEY = "m_new_key"
_TABLES = """
    select t.table_name, group_concat(c.column_name order by c.ordinal_position)
      from information_schema.tables t
      left join information_schema.columns c on c.table_schema = t.table_schema
           and c.table_name = t.table_name and c.column_key = 'PRI'
     where t.table_schema = %s group by t.table_name
"""


@pytest.fixture
def database(mysql_database: MysqlDatabase) -> Iterator[MysqlDatabase]:
    """On a server with default settings."""
    server = mysql_database.server
    server.execute(f"set global binlog_row_metadata = {'minimal' if server.flavour == 'mysql' else 'no_log'}")
    yield mysql_database
    server.execute("set global binlog_row_metadata = full")


def in_turn(database: MysqlDatabase) -> None:
    """The first step of every recipe, then the second of every recipe, …"""
    rounds = zip_longest(*(recipe.steps for recipe in recipes()))
    database.execute(*[statement for step in rounds for statement in step if statement is not None])


def require_equal(database: MysqlDatabase, pipeline: MysqlPipeline) -> None:
    for name, key in database.query(_TABLES, [database.name]):
        source = read_source(database.server, f"{database.name}.{name}", key.split(",") if key else ())
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        if name == ANOTHER_KEY:
            continue
        held = replay(since_last_copy(read_lake(pipeline.lake, source)), source, copies_run_ahead=True)
        assert differences(source, held) == []


def since_last_copy(changes: list[Change]) -> list[Change]:
    """Rows from before may have other columns in their key."""
    begins = [at for at, change in enumerate(changes) if change.op == "t"]
    return changes[begins[-1] :] if begins else changes


# Each server in one of the two ways; `make test-all` has the others too.
WAYS = [
    pytest.param("mysql9", True, id="mysql9-running"),
    pytest.param("mariadb10", False, id="mariadb10-stopped"),
    pytest.param("mysql9", False, id="mysql9-stopped", marks=pytest.mark.slow),
    pytest.param("mariadb10", True, id="mariadb10-running", marks=pytest.mark.slow),
]


@pytest.mark.halved
@pytest.mark.parametrize(("mysql", "is_running"), WAYS, indirect=["mysql"])
@pytest.mark.timeout(300)
def test_migrations_run_through_on_default_settings(
    database: MysqlDatabase, tmp_path: Path, is_running: bool
) -> None:
    database.execute(*[statement for recipe in recipes() for statement in recipe.before])
    options = {"snapshot_workers": 2}
    pipeline = MysqlPipeline(
        database.server, tmp_path, url=database.url, tables=[f"{database.name}.*"], source_options=options
    )
    if is_running:
        with pipeline.start() as process:
            pipeline.wait_until_streaming(process)
            in_turn(database)
            assert process.terminate() == 0
    else:
        pipeline.catch_up()
        in_turn(database)
    pipeline.catch_up()
    require_equal(database, pipeline)
