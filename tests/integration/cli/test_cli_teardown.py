"""`cdc teardown SOURCE` against real servers."""

from __future__ import annotations

import pytest
from psycopg import sql

from tests.integration.cli.conftest import SOURCE, Project
from tests.support.postgres.fixtures import ONE_POSTGRES
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess, run_cdc
from tests.support.terminal import OnTerminal

OBJECTS = """
    select (select count(*) from pg_replication_slots where slot_name = %(slot)s),
           (select count(*) from pg_publication where pubname = %(slot)s),
           (select count(*) from pg_event_trigger where evtname like 'cdc_ddl%%'),
           (select count(*) from pg_namespace where nspname = 'cdc_ddl')
"""


def objects(database: Database, slot: str) -> tuple[int, ...]:
    """How many slots, publications, event triggers and schemas of ours there are."""
    with database.connect() as connection:
        row = connection.execute(OBJECTS, {"slot": slot}).fetchone()
    assert row is not None
    return row


def configured(database: Database, name: str, **options: object) -> dict[str, object]:
    source = {"type": "postgres", "url": database.url, "slot": f"{name}_{database.name}", **options}
    return {"state_dir": f"./state-{name}", "sources": {name: source}, "sinks": {}}


@pytest.fixture
def slot(database: Database) -> str:
    return f"shop_{database.name}"


@pytest.fixture
def ran(database: Database, project: Project, slot: str) -> Project:
    """A project that has copied a table."""
    database.execute("create table public.orders (id int primary key)")
    project.write(configured(database, "shop", publication=slot))
    result = run_cdc("run", "--once", cwd=project.folder)
    assert result.returncode == 0, result.stderr
    assert objects(database, slot)[:2] == (1, 1)
    return project


def test_teardown_removes_slot_publication_and_triggers(database: Database, ran: Project, slot: str) -> None:
    assert objects(database, slot) == (1, 1, 3, 1)
    answer = ran.cdc("teardown", "shop", "--yes")
    assert answer.code == 0, answer.err
    assert answer.out == (
        f"Removed the replication slot {slot}.\nRemoved the publication {slot}.\n"
        "Removed the event triggers that report DDL, and their schema cdc_ddl.\n"
        "Next: remove sources.shop from cdc.yaml.\n"
    )
    assert objects(database, slot) == (0, 0, 0, 0)
    again = ran.cdc("teardown", "shop", "--yes")
    assert (again.code, again.out) == (0, "The database of shop has no objects of the daemon.\n")


def test_a_dry_run_prints_statements_that_psql_takes(database: Database, ran: Project, slot: str) -> None:
    before = objects(database, slot)
    statements = ran.cdc("teardown", "shop", "--dry-run").out.splitlines()
    assert objects(database, slot) == before
    assert statements[0] == f"select pg_drop_replication_slot('{slot}');"
    for statement in statements:
        with database.connect() as connection:
            connection.execute(sql.SQL(statement))
    assert objects(database, slot) == (0, 0, 0, 0)


@ONE_POSTGRES
def test_without_a_terminal_teardown_needs_yes(database: Database, ran: Project, slot: str) -> None:
    before = objects(database, slot)
    answer = ran.cdc("teardown", "shop")
    assert (answer.code, answer.err) == (
        2,
        "error: teardown: removing needs a confirmation\n  Add --yes, or --dry-run to see the statements.\n",
    )
    assert objects(database, slot) == before


@ONE_POSTGRES
@pytest.mark.parametrize(("said", "code", "left"), [("n\n", 1, 1), ("y\n", 0, 0)])
def test_on_a_terminal_teardown_shows_statements_and_asks(
    database: Database, ran: Project, slot: str, said: str, code: int, left: int
) -> None:
    with OnTerminal("teardown", "shop", cwd=ran.folder, columns=200) as terminal:
        shown = terminal.wait_for("[y/N]")
        assert f"select pg_drop_replication_slot('{slot}');" in shown
        terminal.type(said)
        assert terminal.wait() == code, terminal.text
    assert objects(database, slot)[0] == left


@ONE_POSTGRES
def test_a_running_daemon_keeps_its_source(database: Database, ran: Project, slot: str) -> None:
    with CdcProcess("run", cwd=ran.folder) as daemon:
        daemon.wait_for_log("streaming")
        answer = ran.cdc("teardown", "shop", "--yes")
        assert answer.code == 1
        assert answer.err == (
            f"error: sources.shop: the daemon reads this source (process {daemon.pid})\n"
            f"  Stop the daemon first: kill {daemon.pid}\n"
        )
    assert objects(database, slot)[:2] == (1, 1)


@ONE_POSTGRES
def test_the_slot_of_another_state_dir_stays(database: Database, ran: Project, slot: str) -> None:
    ran.write({**ran.config, "state_dir": "./elsewhere"})
    answer = ran.cdc("teardown", "shop", "--yes")
    assert answer.code == 1
    assert "belongs to another log than that of this state_dir" in answer.err
    assert f"select pg_drop_replication_slot('{slot}');" in answer.err
    assert objects(database, slot) == (1, 1, 3, 1)


@ONE_POSTGRES
def test_what_another_source_uses_stays(database: Database, ran: Project, slot: str) -> None:
    own = ran.config
    ran.write(configured(database, "copy", publication=slot))
    assert run_cdc("run", "--once", cwd=ran.folder).returncode == 0
    ran.write(own)
    answer = ran.cdc("teardown", "shop", "--yes", "--json")
    assert answer.code == 0, answer.err
    assert [one["what"] for one in answer.json["objects"]] == [f"replication slot {slot}"]
    assert objects(database, slot) == (0, 1, 3, 1)
    ran.write(configured(database, "copy", publication=slot))
    assert ran.cdc("teardown", "copy", "--yes").code == 0
    assert objects(database, slot) == (0, 0, 0, 0)


@ONE_POSTGRES
def test_a_publication_of_an_administrator_stays(database: Database, ran: Project, slot: str) -> None:
    config = ran.config
    config["sources"]["shop"]["create_publication"] = False
    ran.write(config)
    assert ran.cdc("teardown", "shop", "--yes").code == 0
    assert objects(database, slot) == (0, 1, 0, 0)


@ONE_POSTGRES
def test_what_the_account_may_not_remove_is_named_with_its_statement(
    database: Database, ran: Project, slot: str
) -> None:
    role = f"reader_{database.name}"
    database.execute(f"create role {role} login replication")
    config = ran.config
    config["sources"]["shop"]["url"] = database.dsn(user=role)
    ran.write(config)
    answer = ran.cdc("teardown", "shop", "--yes")
    database.execute(f"drop role {role}")
    assert answer.code == 1
    assert answer.out.startswith(f"Removed the replication slot {slot}.\n")
    assert f"As its owner, or as a superuser, run: drop publication {slot};" in answer.err
    assert objects(database, slot)[:2] == (0, 1)


def test_a_source_that_leaves_nothing_says_so(project: Project) -> None:
    assert project.config["sources"]["shop"]["type"] == SOURCE
    answer = project.cdc("teardown", "shop")
    assert (answer.code, answer.out) == (0, "The database of shop has no objects of the daemon.\n")
