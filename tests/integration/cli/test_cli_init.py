"""`cdc init URL` against real servers."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from cdc.spi import registry
from cdc_config import load
from tests.integration.cli.conftest import Project
from tests.support.postgres.server import Database
from tests.support.processes import cdc_command, child_environment, run_cdc
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS


@pytest.fixture
def empty(project: Project) -> Project:
    (project.folder / "cdc.yaml").unlink()
    return project


def test_init_writes_a_file_that_loads_and_holds_no_secret(
    database: Database, empty: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect() as connection:
        connection.execute("create table public.orders (id int primary key)")
    url = (
        f"{database.url}&password=hunter2-secret"
        if "?" in database.url
        else f"{database.url}?password=hunter2-secret"
    )
    answer = empty.cdc("init", url, "--json")
    assert answer.code == 0, answer.err
    (variable,) = answer.json["variables"]
    text = Path("cdc.yaml").read_text("utf-8")
    assert "hunter2" not in text
    monkeypatch.setenv(variable, database.url)
    configuration = load(Path("cdc.yaml"), registry.load)
    assert len(configuration.sources) == 1
    assert configuration.sinks


def test_init_says_what_comes_next(database: Database, empty: Project) -> None:
    answer = empty.cdc("init", database.url, "-c", "new.yaml")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == "Wrote new.yaml. Next:"
    assert lines[1].startswith("  read -rs ")
    assert lines[2:] == ["  cdc check -c new.yaml", "  cdc run -c new.yaml"]


def test_init_writes_a_compose_file_that_mounts_the_configuration_and_keeps_the_state(
    database15: Database, empty: Project
) -> None:
    answer = empty.cdc("init", database15.dsn(password="hunter2"), "--compose")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("Wrote cdc.yaml and compose.yaml. Next:\n")
    # The container's account is not the one that runs this.
    assert Path("cdc.yaml").stat().st_mode & 0o777 == 0o644
    text = Path("compose.yaml").read_text("utf-8")
    assert "hunter2" not in text
    service = yaml.safe_load(text)["services"]["cdc"]
    assert service["volumes"] == ["./cdc.yaml:/var/lib/cdc/cdc.yaml:ro", "cdc:/var/lib/cdc"]
    assert service["environment"]["CDC_CONFIG"] == "/var/lib/cdc/cdc.yaml"
    variable = f"{database15.name.upper()}_URL"
    assert service["environment"][variable].startswith(f"${{{variable}:?")
    again = empty.cdc("init", database15.url, "--compose", "-c", "other.yaml")
    assert (again.code, again.err.splitlines()[0]) == (2, "error: compose.yaml: exists already")
    assert not Path("other.yaml").exists()


def test_init_overwrites_only_when_forced(database: Database, project: Project) -> None:
    before = Path("cdc.yaml").read_text("utf-8")
    answer = project.cdc("init", database.url)
    assert answer.code == 2
    assert answer.err == (
        "error: cdc.yaml: exists already\n"
        "  Add --force to overwrite it, or name another file with --config.\n"
    )
    assert Path("cdc.yaml").read_text("utf-8") == before
    assert project.cdc("init", database.url, "--force").code == 0
    assert Path("cdc.yaml").read_text("utf-8") != before


def test_init_takes_the_url_from_the_environment(
    database15: Database, empty: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDC_SOURCE_URL", database15.url)
    answer = empty.cdc("init")
    assert answer.code == 0, answer.err
    assert f'export {database15.name.upper()}_URL="$CDC_SOURCE_URL"' in answer.out


def test_init_asks_for_the_url_and_does_not_show_it(database15: Database, empty: Project) -> None:
    terminal, child = pty.openpty()
    process = subprocess.Popen(
        cdc_command("init"),
        cwd=empty.folder,
        env=child_environment(),
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    shown = b""
    while b"URL of the database" not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, f"{database15.dsn(password='hunter2')}\n".encode())
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 1024):
            shown += data
    assert process.wait(DEFAULT_TIMEOUT_SECONDS) == 0, shown
    assert b"Wrote cdc.yaml" in shown
    assert b"hunter2" not in shown


def test_init_without_a_url_or_a_terminal_names_the_variable(empty: Project) -> None:
    answer = empty.cdc("init")
    assert answer.code == 2
    assert answer.err == (
        "error: init URL: no URL was given, and there is no terminal to ask for it\n"
        "  Set CDC_SOURCE_URL to the URL of the database.\n"
    )


@pytest.mark.parametrize(
    ("blocked", "url", "code"),
    [("pymysql", "postgresql", 0), ("psycopg", "mysql", 1), ("psycopg", "postgresql", 2)],
)
def test_init_needs_the_extra_of_its_own_connector_only(
    database15: Database, empty: Project, blocked: str, url: str, code: int
) -> None:
    target = database15.url if code == 0 else f"{url}://cdc@127.0.0.1:1/shop"
    program = f"import sys; sys.modules[{blocked!r}] = None; from cdc.cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program, "init", target],
        cwd=empty.folder,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stderr
    if code == 2:
        assert "postgres needs the package 'psycopg', which is not installed" in result.stderr


def test_init_says_what_another_tools_url_should_be(empty: Project) -> None:
    answer = empty.cdc("init", "jdbc:postgresql://db/shop?user=cdc&password=hunter2")
    assert answer.code == 2
    assert answer.err == (
        "error: init URL: the URL begins with jdbc:postgresql://, which is another tool's form\n"
        "  Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE.\n"
    )
    raw = empty.cdc("init", "postgresql://cdc:hunter2@hunter2@db/shop").err
    assert "contains a raw @\n  Write @ as %40. To encode a password for a url, run: python3 -c " in raw
    assert "hunter2" not in raw


def test_init_refuses_a_url_that_nobody_understands(empty: Project) -> None:
    answer = empty.cdc("init", "oracle://u:hunter2@h/d")
    assert answer.code == 2
    assert answer.err == (
        "error: init URL: no installed connector accepts this URL\n"
        "  Start it with mysql:// or mariadb:// or postgresql:// or postgres://.\n"
    )


def test_init_without_a_server_writes_nothing(empty: Project) -> None:
    answer = empty.cdc("init", "postgresql://cdc:hunter2@127.0.0.1:1/shop")
    assert answer.code == 1
    assert "hunter2" not in answer.err
    assert answer.err.endswith(
        "\n  Start the server, or correct host and port in url"
        " (inside a container, localhost is the container).\n"
    )
    assert not Path("cdc.yaml").exists()


@pytest.mark.halved(other=True)
def test_first_steps_lead_from_a_url_to_a_mirror_and_a_lake(
    database: Database, empty: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute(
        "create table public.orders (id int primary key, note text)",
        "insert into public.orders select n, 'note ' || n from generate_series(1, 100) n",
    )
    (variable,) = empty.cdc("init", database.url, "--json").json["variables"]
    monkeypatch.setenv(variable, database.url)

    checked = run_cdc("check", cwd=empty.folder)
    assert checked.returncode == 0, checked.stdout
    ran = run_cdc("run", "--once", cwd=empty.folder)
    assert ran.returncode == 0, ran.stderr

    (source,) = empty.cdc("status", "--json").json["sources"].values()
    assert source["error"] is None
    assert source["rows"] == 100
    lines = empty.cdc("tail", "-n", "1000").rows
    assert {(line["_cdc_op"], line["_cdc_table"]) for line in lines} == {("r", "public.orders")}
    with duckdb.connect("warehouse.duckdb", read_only=True) as warehouse:
        mirror = warehouse.execute("select count(*), sum(id) from public.orders").fetchall()
        lake = warehouse.execute(
            "select count(distinct _cdc_seq), sum(id) from read_parquet('lake/public.orders/**/*.parquet')"
        ).fetchall()
    assert mirror == lake == [(100, 5050)]
