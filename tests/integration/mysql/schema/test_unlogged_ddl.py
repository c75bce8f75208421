"""Tables that are altered without a statement in the binlog (`sql_log_bin = 0`, as Galera's RSU does), on
servers whose events tell no column names, as they are by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import SOURCE, MysqlPipeline
from tests.support.processes import run_cdc
from tests.support.waiting import wait_until

SAID = "a table was altered without a statement in the binary log"
TOLD = "its shape changed without a statement in the binary log"
LAX, OFF, ON = "set session sql_mode = ''", "set session sql_log_bin = 0", "set session sql_log_bin = 1"
PAIR = "(id int primary key, a int, b int)"
# Of each table: its columns, its first row, what is altered without a statement, and a row behind that.
UNLOGGED = {
    "reordered": (PAIR, "(1, 10, 20)", "modify a int after b", "(id, a, b) values (2, 100, 200)"),
    "renamed": (PAIR, "(1, 10, 20)", "change a c int", "(id, c, b) values (2, 100, 200)"),
    "replaced": (PAIR, "(1, 10, 20)", "drop a, add c int default 7 after id", "(id, c) values (2, 100)"),
    "widened": (PAIR, "(1, 10, 20)", "add c varchar(5) default 'x'", "(id, c) values (2, 'y')"),
    "rekeyed": (PAIR, "(1, 10, 20)", "drop primary key, add primary key (id, a)", "values (2, 100, 200)"),
    "relabelled": (
        "(id int primary key, e enum('a', 'b'))",
        "(1, 'a')",
        "modify e enum('b', 'a')",
        "values (2, 'a')",
    ),
    # No change follows.
    "shortened": ("(id int primary key, v varchar(9))", "(1, 'long')", "modify v varchar(2)", ""),
    "required": ("(id int primary key, v int)", "(1, null)", "modify v int not null", ""),
}
# No row is read otherwise: nothing is copied.
HARMLESS = {
    "defaulted": (PAIR, "(1, 10, 20)", "alter a set default 5, comment 'x'", "(id) values (2)"),
    "indexed": (PAIR, "(1, 10, 20)", "add index (a), modify a int comment 'y'", "values (2, 100, 200)"),
    "calm": (PAIR, "(1, 10, 20)", "", "values (2, 100, 200)"),
}
TABLES = UNLOGGED | HARMLESS
# The row behind the statement has another shape: it may come before the look at the catalog.
TOLD_BY_ROWS = {"widened", "rekeyed"}
KEYS = {"rekeyed": ("id", "a")}


@pytest.fixture
def database(mysql_database: MysqlDatabase) -> Iterator[MysqlDatabase]:
    """On a server with default settings."""
    server = mysql_database.server
    server.execute(f"set global binlog_row_metadata = {'minimal' if server.flavour == 'mysql' else 'no_log'}")
    for name, (columns, row, _, _) in TABLES.items():
        mysql_database.execute(f"create table {name} {columns}", f"insert into {name} values {row}")
    # Its statement is in the binlog.
    mysql_database.execute(f"create table logged {PAIR}", "insert into logged values (1, 10, 20)")
    yield mysql_database
    server.execute("set global binlog_row_metadata = full")


def piped(database: MysqlDatabase, folder: Path) -> MysqlPipeline:
    return MysqlPipeline(database.server, folder, url=database.url, tables=[f"{database.name}.*"])


def alter_all(database: MysqlDatabase) -> None:
    for name, (_, _, edit, row) in TABLES.items():
        if edit:
            database.execute(LAX, OFF, f"alter table {name} {edit}", ON)
        if row:
            database.execute(f"insert into {name} {row}")
    database.execute("alter table logged add c int first, drop b", "insert into logged values (1, 2, 100)")


def require_equal(database: MysqlDatabase, pipeline: MysqlPipeline) -> None:
    for name in (*TABLES, "logged"):
        source = read_source(database.server, f"{database.name}.{name}", KEYS.get(name, ("id",)))
        assert differences(source, read_mirror(pipeline.mirror, source)) == [], name
        changes = read_lake(pipeline.lake, source)
        begins = [at for at, change in enumerate(changes) if change.op == "t"]
        held = replay(changes[begins[-1] if begins else 0 :], source, copies_run_ahead=True)
        assert differences(source, held) == [], name


def require_said(database: MysqlDatabase, text: str) -> None:
    """Every table that is altered unlogged is named, once by the look; no other one is."""
    looked = [line for line in text.splitlines() if SAID in line]
    assert is_said(database, text)
    assert len(looked) == len(named(database, looked))


def is_said(database: MysqlDatabase, text: str) -> bool:
    """Whether the altered tables are named, each by the look that has to name it, and no other one."""
    looked = [line for line in text.splitlines() if SAID in line]
    lines = [line for line in text.splitlines() if SAID in line or TOLD in line]
    by_look = UNLOGGED.keys() - TOLD_BY_ROWS
    return named(database, lines) == {*UNLOGGED} and named(database, looked) >= by_look


def named(database: MysqlDatabase, lines: list[str]) -> set[str]:
    return {name for name in (*TABLES, "logged") if any(f'{database.name}.{name}"' in line for line in lines)}


@pytest.mark.halved
@pytest.mark.timeout(300)
def test_a_stopped_daemon_takes_unlogged_ddl_at_its_start(database: MysqlDatabase, tmp_path: Path) -> None:
    pipeline = piped(database, tmp_path)
    pipeline.catch_up()
    alter_all(database)
    first = pipeline.run_once()
    assert first.returncode == 0, first.stderr[-4000:]
    require_equal(database, pipeline)
    again = pipeline.run_once()
    assert SAID not in again.stderr
    require_said(database, first.stderr)


@pytest.mark.halved(other=True)
@pytest.mark.timeout(300)
def test_a_running_daemon_takes_unlogged_ddl(database: MysqlDatabase, tmp_path: Path) -> None:
    pipeline = piped(database, tmp_path)
    with pipeline.start() as process:
        pipeline.wait_until_streaming(process)
        alter_all(database)
        wait_until(lambda: is_said(database, process.log_text), "the look at the catalog")
        assert process.terminate() == 0
    pipeline.catch_up()
    require_equal(database, pipeline)
    require_said(database, process.log_text)


@pytest.mark.halved
@pytest.mark.timeout(300)
def test_a_requested_copy_takes_the_columns_of_unlogged_ddl(database: MysqlDatabase, tmp_path: Path) -> None:
    pipeline = piped(database, tmp_path)
    pipeline.catch_up()
    table = f"{database.name}.reordered"
    database.execute(OFF, "alter table reordered modify a int after b", ON)
    database.execute("insert into reordered (id, a, b) values (2, 100, 200)")
    asked = run_cdc("snapshot", SOURCE, table, cwd=pipeline.folder)
    assert asked.returncode == 0, asked.stderr
    pipeline.catch_up()
    require_equal(database, pipeline)


@pytest.mark.halved(other=True)
@pytest.mark.timeout(300)
def test_the_same_table_altered_again_waits_for_its_copy(database: MysqlDatabase, tmp_path: Path) -> None:
    pipeline = piped(database, tmp_path)
    pipeline.catch_up()
    for edit in ("modify a int after b", "modify b int after a", "change a z int"):
        database.execute(OFF, f"alter table reordered {edit}", ON)
        first = pipeline.run_once()
        assert first.stderr.count(SAID) == 1
    require_equal(database, pipeline)
