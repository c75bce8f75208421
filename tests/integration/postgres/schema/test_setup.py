"""Installing the event triggers, or saying why not: the daemon's start and `cdc check`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cdc.errors import SourceRefused
from cdc.spi.finding import Severity
from cdc_source_postgres.checks.preflight import run_checks
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.options import PostgresOptions
from cdc_source_postgres.schema.ddl_objects import REMOVE, read_objects
from cdc_source_postgres.schema.ddl_setup import SHOW_SQL, use_trigger
from cdc_source_postgres.stream.publication import ensure_publication
from tests.support.findings import Findings
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database


@pytest.fixture
def app(database: Database) -> Iterator[str]:
    """The URL of an ordinary replication account."""
    role = f"app_{database.name}"
    database.execute(
        f"create role {role} login replication", f"grant create on database {database.name} to {role}"
    )
    yield database.dsn(user=role)
    database.execute(f"drop owned by {role}", f"drop role {role}")


def use(url: str, ddl: str = "auto") -> tuple[bool, list[tuple[str, dict[str, Any]]]]:
    """What the daemon's start decides, and its log."""
    options = PostgresOptions.model_validate({"url": url, "ddl": ddl})
    connector = Connector(options, "shop")
    events: list[tuple[str, dict[str, Any]]] = []
    with connector.connect("to test") as connection:
        used = use_trigger(
            connection, connector, options, lambda event, **fields: events.append((event, fields))
        )
    return used, events


def check(url: str, ddl: str = "auto") -> Findings:
    return Findings(run_checks(PostgresOptions.model_validate({"url": url, "ddl": ddl}), "shop"))


def intact(database: Database) -> bool:
    with database.connect() as connection:
        return read_objects(connection).intact


def test_an_account_that_may_installs_them_once(database: Database) -> None:
    finding = check(database.url).of("ddl-trigger")
    assert finding.severity is Severity.OK
    assert finding.message.endswith("not installed: the daemon will install them")
    used, events = use(database.url)
    assert (used, [event for event, _ in events]) == (True, ["installed the event triggers that report DDL"])
    assert use(database.url) == (True, [])
    assert check(database.url).of("ddl-trigger").message == "event triggers report DDL in the stream"


def test_watch_installs_and_uses_nothing(database: Database) -> None:
    assert use(database.url, "watch") == (False, [])
    assert not intact(database)
    assert check(database.url, "watch").all_of("ddl-trigger") == []


def test_an_account_that_may_not_is_told_the_sql_for_a_superuser(database: Database, app: str) -> None:
    used, ((event, fields),) = use(app)
    assert (used, event) == (False, "reading DDL from the catalog")
    assert fields["reason"] == "the event triggers that report DDL are not installed"
    with pytest.raises(
        SourceRefused, match=r"ddl is trigger, and the event triggers .* not installed"
    ) as refused:
        use(app, "trigger")
    assert refused.value.remedy == f"As a superuser, run the statements that this command prints: {SHOW_SQL}"
    assert check(app).of("ddl-trigger").severity is Severity.OK
    finding = check(app, "trigger").of("ddl-trigger")
    assert finding.severity is Severity.ERROR
    # As it is printed between other findings, indented.
    with database.connect() as connection:
        connection.execute("\n".join(f"      {line}" for line in finding.fix.splitlines()).encode())
    assert intact(database)
    assert use(app, "trigger") == (True, [])
    assert check(app, "trigger").of("ddl-trigger").severity is Severity.OK


def test_outdated_ones_are_renewed_and_newer_ones_left_alone(database: Database, app: str) -> None:
    use(database.url)
    database.execute("alter function cdc_ddl.emit() reset datestyle")
    assert use(app)[1][0][1]["reason"] == "the event triggers that report DDL are outdated"
    assert check(app).of("ddl-trigger").message.startswith("the event triggers that report DDL are outdated")
    assert use(database.url)[0]
    assert intact(database)
    newer = database.value(
        "select replace(pg_get_functiondef('cdc_ddl.emit'::regproc), 'cdc.ddl 1:', 'cdc.ddl 2:')"
    )
    database.execute(newer)
    used, ((_, fields),) = use(database.url)
    assert (used, fields["remedy"]) == (False, "Update the daemon, or set ddl: watch.")
    assert "cdc.ddl 2:" in database.value("select prosrc from pg_proc where proname = 'emit'")


def test_what_somebody_disabled_stays_disabled(database: Database) -> None:
    use(database.url)
    database.execute("alter event trigger cdc_ddl_drop disable")
    used, ((_, fields),) = use(database.url)
    assert (used, fields["reason"]) == (False, "the event triggers that report DDL are disabled")
    finding = check(database.url, "trigger").of("ddl-trigger")
    assert finding.fix == "alter event trigger cdc_ddl_drop enable always;"
    database.execute(finding.fix)
    assert use(database.url) == (True, [])
    database.execute(REMOVE)
    assert not intact(database)


def test_postgres_13_can_only_watch(postgres_factory: PostgresFactory) -> None:
    try:
        server = postgres_factory({}, version=13)
    except RuntimeError:
        pytest.skip("Postgres 13 is not installed")
    url = server.dsn()
    assert use(url)[1][0][1]["reason"].startswith("Postgres 13 does not send messages")
    with pytest.raises(SourceRefused, match="ddl is trigger, and Postgres 13"):
        use(url, "trigger")


@pytest.mark.parametrize("state", ["", " using errcode = '42501'"])
def test_an_event_trigger_of_the_application_that_refuses_is_quoted(database: Database, state: str) -> None:
    database.execute(
        f"""create function no_ddl() returns event_trigger language plpgsql as
            $$ begin raise 'schema changes are frozen until %', 'Monday'{state}; end $$""",
        "create event trigger frozen on ddl_command_start execute function no_ddl()",
    )
    try:
        used, ((_, fields),) = use(database.url)
        assert not used
        options = PostgresOptions.model_validate({"url": database.url})
        connector = Connector(options, "shop")
        with connector.connect("to test") as connection, pytest.raises(SourceRefused) as refused:
            ensure_publication(connection, connector, options, "cdc_shop")
    finally:
        database.execute("drop event trigger frozen")
    said = "the function public.no_ddl of the database refused it: schema changes are frozen until Monday"
    code = state[-6:-1] or "P0001"
    assert fields["reason"] == f"installing the event triggers that report DDL: {said} (SQLSTATE {code})"
    assert refused.value.message == f"creating the publication cdc_shop: {said} (SQLSTATE {code})"
    assert "select evtname" in refused.value.remedy
    assert database.query("select evtname from pg_event_trigger") == []
