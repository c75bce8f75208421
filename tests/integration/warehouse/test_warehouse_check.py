"""`cdc check` tries what the sink will do, and prints the statement that fixes what it cannot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdc.errors import SinkRefused
from cdc.spi import Severity
from cdc.testing.events import sink_context
from cdc_sink_postgres import PostgresSink
from cdc_sink_postgres.database import PostgresConnection
from cdc_sink_postgres.options import PostgresSinkOptions
from tests.support.findings import Findings
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until
from tests.support.warehouses import Warehouse


def sink_at(url: str) -> PostgresSink:
    return PostgresSink(PostgresSinkOptions(url=url), sink_context("warehouse"))


def check(url: str) -> Findings:
    return Findings(sink_at(url).check())


@pytest.fixture
def plain_role(database15: Database) -> Iterator[str]:
    """A role with no privilege but to connect."""
    role = f"plain_{database15.name}"
    database15.execute(
        f"create role {role} login",
        f'revoke temporary on database "{database15.name}" from public',
        "revoke create on schema public from public",
    )
    yield role
    database15.execute(f"drop owned by {role} cascade", f"drop role {role}")


def test_database_that_is_ready_has_only_good_findings_and_nothing_new(database15: Database) -> None:
    found = check(database15.url)
    assert [finding.severity for finding in found] == [Severity.OK] * len(found)
    assert {finding.code for finding in found} == {
        "postgres-connection",
        "postgres-version",
        "postgres-encoding",
        "postgres-create",
        "postgres-table",
        "postgres-temp",
    }
    assert database15.value("select count(*) from pg_namespace where nspname like '%cdc%'") == 0


def test_missing_privileges_are_named_with_their_grants_which_suffice(
    database15: Database, plain_role: str
) -> None:
    url = database15.dsn(plain_role)
    found = check(url)
    assert found.errors == ["postgres-create", "postgres-temp"]
    fixes = [found.of(code).fix for code in found.errors]
    name = database15.name
    assert fixes == [
        f"grant create on database {name} to {plain_role};",
        f"grant temp on database {name} to {plain_role};",
    ]
    sink = sink_at(url)
    with pytest.raises(SinkRefused, match="42501"):
        sink.prepare("shop")
    database15.execute(*fixes)
    assert check(url).errors == []
    sink.prepare("shop")
    sink.close()


def test_tables_of_another_role_are_named_with_the_grant(database15: Database, plain_role: str) -> None:
    Warehouse(database15).sink.close()
    name = database15.name
    database15.execute(f"grant create, temp on database {name} to {plain_role}")
    severity, message, fix = check(database15.dsn(plain_role)).said("postgres-owner")
    assert severity is Severity.ERROR
    assert "belong to the role" in message
    assert fix.endswith(f" to {plain_role};")


def test_publication_of_all_tables_is_warned_of_by_name(database15: Database) -> None:
    database15.execute("create publication everything for all tables")
    severity, message, fix = check(database15.url).said("postgres-loop")
    assert severity is Severity.WARNING
    assert "the publication everything of this database publishes all tables" in message
    assert "`publication` is not set" in fix


def test_another_encoding_is_an_error_with_a_statement(database15: Database) -> None:
    name = f"{database15.name}_latin"
    database15.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    try:
        other = Database(database15.server, name)
        severity, message, fix = check(other.url).said("postgres-encoding")
        assert severity is Severity.ERROR
        assert message.startswith("the database's encoding is LATIN1")
        assert fix.startswith(f"create database \"{name}_utf8\" encoding 'UTF8'")
    finally:
        database15.execute(f"drop database {name} with (force)")


def test_wrong_database_and_dead_server_are_told_apart(database15: Database) -> None:
    (finding,) = check(database15.url.replace(database15.name, "nowhere"))
    assert finding.code == "postgres-login"
    assert "3D000" in finding.message or "does not exist" in finding.message
    assert finding.fix == "Correct the database name in url, or create the database."
    (finding,) = check("postgresql://127.0.0.1:1/nowhere")
    assert (finding.severity, finding.code) == (Severity.ERROR, "postgres-connection")


def test_pooler_is_detected_by_its_process_number(
    database15: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = PostgresConnection.query

    def pooled(self: PostgresConnection, statement: str, values: object = ()) -> object:
        if statement == "select pg_backend_pid()":
            return [(self.handle.info.backend_pid + 1,)]
        return query(self, statement, values)  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresConnection, "query", pooled)
    severity, message, fix = check(database15.url).said("postgres-pooler")
    assert severity is Severity.WARNING
    assert "pool_mode=transaction" in message
    assert fix == "Give the address of the server itself, or set pool_mode=session for this database."


def test_table_that_is_set_aside_is_a_finding(database15: Database) -> None:
    import pyarrow as pa

    from cdc.testing.events import table

    warehouse = Warehouse(database15)
    warehouse.change(table("public.t", {"id": pa.int32(), "v": pa.time64("ns")}), ("c", {"id": 1}))
    warehouse.sink.close()
    severity, message, _ = check(database15.url).said("table-set-aside")
    assert severity is Severity.ERROR
    assert "the Arrow type time64[ns] has no exact counterpart in PostgreSQL" in message


def test_cursor_is_read_without_creating_anything(database15: Database) -> None:
    assert sink_at(database15.url).peek("shop") is None
    warehouse = Warehouse(database15)
    import pyarrow as pa

    from cdc.testing.events import table

    warehouse.change(table("public.t", {"id": pa.int32()}), ("c", {"id": 1}))
    cursor = sink_at(database15.url).peek("shop")
    assert cursor is not None
    assert cursor.next == 1
    warehouse.sink.close()
    gone = "select count(*) from pg_stat_activity where application_name = 'cdc_warehouse'"
    wait_until(lambda: database15.value(gone) == 0, "the sessions to end")
