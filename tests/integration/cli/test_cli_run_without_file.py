"""`cdc run SOURCE_URL --to SINK_URL`: no file, the state in ./cdc-data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import orjson
import psutil
import pytest

from tests.integration.cli.conftest import Project
from tests.support.mysql.server import MysqlDatabase
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess, run_cdc

ROWS = (
    "create table {0} (id int primary key, note varchar(20))",
    "insert into {0} values (1, 'a'), (2, 'b')",
)


@pytest.fixture
def empty(project: Project) -> Project:
    (project.folder / "cdc.yaml").unlink()
    return project


@pytest.fixture
def orders(database15: Database) -> Database:
    """A database with two tables of two rows."""
    for table in ("public.orders", "public.audit"):
        database15.execute(*(statement.format(table) for statement in ROWS))
    return database15


def mirrored(file: Path) -> list[str]:
    with duckdb.connect(str(file), read_only=True) as mirror:
        found = mirror.execute("select schema_name || '.' || table_name from duckdb_tables() order by all")
        return [name for (name,) in found.fetchall() if not name.startswith("_cdc")]


def test_a_database_is_copied_into_sinks_that_urls_name(orders: Database, empty: Project) -> None:
    result = run_cdc(
        "run",
        orders.url,
        "--to",
        "duckdb:///shop.duckdb",
        "--to",
        "parquet:///lake",
        "--once",
        cwd=empty.folder,
    )
    assert result.returncode == 0, result.stderr
    assert mirrored(empty.folder / "shop.duckdb") == ["public.audit", "public.orders"]
    assert (empty.folder / "lake/public.orders").is_dir()
    assert sorted(path.name for path in empty.folder.iterdir() if path.is_dir()) == ["cdc-data", "lake"]
    assert not (empty.folder / "cdc.yaml").exists()


def test_the_next_run_continues_where_the_first_ended(orders: Database, empty: Project) -> None:
    command = ("run", orders.url, "--to", "duckdb:///shop.duckdb", "--tables", "public.orders", "--once")
    assert run_cdc(*command, cwd=empty.folder).returncode == 0
    orders.execute("insert into public.orders values (3, 'c')")
    again = run_cdc(*command, "--json", cwd=empty.folder)
    assert again.returncode == 0, again.stderr
    assert '"rows": 1,' in again.stdout
    assert mirrored(empty.folder / "shop.duckdb") == ["public.orders"]


@pytest.mark.parametrize("argument", [[], ["env:SHOP_URL"]])
def test_a_url_of_the_environment_is_in_no_process_list(
    orders: Database, empty: Project, argument: list[str]
) -> None:
    url = orders.dsn(password="hunter2-secret")
    environment = {"CDC_SOURCE_URL": url} if not argument else {"SHOP_URL": url}
    command = ("run", *argument, "--to", "duckdb:///shop.duckdb", "--http", "off")
    with CdcProcess(*command, cwd=empty.folder, environment=environment) as daemon:
        daemon.wait_for_log("copy finished")
        assert "hunter2" not in " ".join(psutil.Process(daemon.pid).cmdline())
    assert "hunter2" not in daemon.log_path.read_text("utf-8")


@pytest.mark.parametrize("secret_is_given", [True, False])
def test_other_commands_in_the_folder_need_neither_file_nor_url(
    orders: Database, empty: Project, secret_is_given: bool
) -> None:
    url = orders.dsn(password="hunter2-secret")
    given = (url,) if secret_is_given else ("env:SHOP_URL",)
    command = ("run", *given, "--to", "duckdb:///shop.duckdb", "--tables", "public.*")
    with CdcProcess(*command, cwd=empty.folder, environment={"SHOP_URL": url}) as daemon:
        daemon.wait_for_log("copy finished")
        shown = empty.cdc("status")
        assert (shown.code, orders.name in shown.out) == (0, True), shown
        assert empty.cdc("snapshot", orders.name, "public.orders").code == 0
        assert empty.cdc("pause", "duckdb").code == 0
        assert empty.cdc("resume", "duckdb").code == 0
        assert empty.cdc("reload").out == f"{empty.folder}/cdc-data/cdc.yaml has not changed.\n"
        daemon.terminate()
    assert "'r'" in empty.cdc("tail").out.replace('"', "'")
    files = [path for path in empty.folder.rglob("*") if path.is_file()]
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []


def test_the_next_command_continues_with_what_a_run_without_a_file_has_left(
    orders: Database, empty: Project, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SHOP_URL", orders.url)
    command = ("run", "env:SHOP_URL", "--to", "duckdb:///shop.duckdb", "--to", "parquet:///lake", "--once")
    assert run_cdc(*command, cwd=empty.folder).returncode == 0
    assert empty.cdc("replay", "duckdb", "--from", "earliest").code == 0
    orders.execute("insert into public.orders values (3, 'c')")
    again = run_cdc("run", "--once", "--json", cwd=empty.folder)
    assert (again.returncode, '"rows": 1,' in again.stdout) == (0, True), again.stderr
    assert sorted(path.name for path in empty.folder.iterdir()) == ["cdc-data", "lake", "shop.duckdb"]
    monkeypatch.delenv("SHOP_URL")
    refused = run_cdc("check", cwd=empty.folder)
    assert (refused.returncode, "needs the environment variable SHOP_URL" in refused.stderr) == (2, True)


def test_a_file_is_read_although_the_environment_has_a_url(project: Project, monkeypatch: Any) -> None:
    monkeypatch.setenv("CDC_SOURCE_URL", "postgresql://cdc@127.0.0.1:1/shop")
    result = run_cdc("run", "--once", cwd=project.folder)
    assert result.returncode == 0, result.stderr
    assert "of shop delivered" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["postgresql://h/d"], "--to: no sink was given\n  Such as: cdc run SOURCE_URL --to duckdb:///m"),
        (["--to", "duckdb:///x"], "run SOURCE_URL: no URL was given\n  Set CDC_SOURCE_URL to the URL"),
        (
            ["env:NOWHERE", "--to", "duckdb:///x"],
            "run SOURCE_URL: the variable NOWHERE is not set\n  Set NOWHERE",
        ),
        (["oracle://h/d", "--to", "duckdb:///x"], "run SOURCE_URL: no installed connector accepts this URL"),
        (
            ["jdbc:postgresql://h/d", "--to", "duckdb:///x"],
            "Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
        ),
        (
            ["postgresql://u:hunter2@h/d", "--to", "duckdb://x.duckdb"],
            "--to: the url must be duckdb:/// and a path\n"
            "  Write duckdb:///shop.duckdb, or with an absolute path duckdb:////PATH",
        ),
        (["postgresql://u:hunter2@hunter2@h/d", "--to", "duckdb:///x"], "contains a raw @\n  Write @ as %40"),
        (
            ["postgresql://u:hunter2@h/d", "--to", "duckdb:///x", "--tables", "orders"],
            "the command line: sources.d.tables",
        ),
    ],
)
def test_what_cannot_be_run_names_the_place_and_the_remedy(
    empty: Project, arguments: list[str], said: str
) -> None:
    result = run_cdc("run", *arguments, "--json", cwd=empty.folder)
    assert result.returncode == 2
    error = orjson.loads(result.stderr)["error"]
    assert said in f"{error['where']}: {error['message']}\n  {error['remedy']}"
    assert "hunter2" not in result.stdout + result.stderr
    assert list(empty.folder.iterdir()) == []


def test_a_mysql_database_is_copied_without_a_file(mysql9_database: MysqlDatabase, empty: Project) -> None:
    mysql9_database.execute(*(statement.format("orders") for statement in ROWS))
    command = ("run", mysql9_database.url, "--to", "duckdb:///mirror.duckdb", "--once")
    result = run_cdc(*command, cwd=empty.folder)
    assert result.returncode == 0, result.stderr
    assert mirrored(empty.folder / "mirror.duckdb") == [f"{mysql9_database.name}.orders"]
