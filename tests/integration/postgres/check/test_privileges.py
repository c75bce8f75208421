from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdc.spi.finding import Finding, Severity
from tests.support.findings import Check
from tests.support.postgres.server import Database

OK, ERROR = Severity.OK, Severity.ERROR


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role with the right to log in and nothing else."""
    name = f"app_{database.name}"
    database.execute(f"create role {name} login")
    yield name
    database.execute(
        f"reassign owned by {name} to postgres",
        f"drop owned by {name}",
        f"drop role {name}",
    )


@pytest.fixture
def shop(database: Database) -> Database:
    database.execute(
        'create schema "Sales"',
        "create table public.customers (id int primary key)",
        'create table "Sales"."Orders" (id int primary key)',
    )
    return database


TABLES = ["public.*", "Sales.*"]


def test_check_gives_each_missing_privilege_its_statement(check: Check, shop: Database, role: str) -> None:
    findings = check(shop.dsn(user=role), tables=TABLES)
    assert [(f.code, f.message, f.fix) for f in findings if f.severity is ERROR] == [
        (
            "replication-privilege",
            f"the role '{role}' may not replicate",
            f"alter role {role} replication;",
        ),
        (
            "usage-privilege",
            f"the role '{role}' may not use the schema Sales",
            f'grant usage on schema "Sales" to {role};',
        ),
        (
            "select-privilege",
            f"the role '{role}' may not read 2 tables, which the first copy needs: Sales.Orders,"
            " public.customers",
            f'grant select on "Sales"."Orders", public.customers to {role};',
        ),
        (
            "publication-owner",
            "the publication 'cdc_shop' does not exist, and only the owner of a table can publish it:"
            f" '{role}' does not own Sales.Orders, public.customers",
            'As their owner or a superuser: create publication cdc_shop for table "Sales"."Orders",'
            " public.customers with (publish_via_partition_root = true);",
        ),
    ]
    assert findings.all_of("replication-connection") == []


def test_check_is_content_after_its_own_statements(check: Check, shop: Database, role: str) -> None:
    url = shop.dsn(user=role)
    for finding in [f for f in check(url, tables=TABLES) if f.severity is ERROR]:
        shop.execute(finding.fix.removeprefix("As their owner or a superuser: "))
    findings = check(url, tables=TABLES)
    assert findings.errors == []
    assert findings.of("replication-connection").message == "a replication connection works"


def test_check_accepts_tables_owned_through_a_group(check: Check, database: Database, role: str) -> None:
    owner = f"owner_{database.name}"
    database.execute(
        "create table public.t (id int primary key)",
        f"create role {owner}",
        f"alter table public.t owner to {owner}",
        f"alter role {role} replication",
        f"grant {owner} to {role}",
        f"grant create on database {database.name} to {role}",
    )
    findings = check(database.dsn(user=role))
    database.execute(f"reassign owned by {owner} to postgres", f"drop role {owner}")
    assert findings.errors == []
    assert (
        findings.of("publication").message == "the publication 'cdc_shop' does not exist and will be created"
    )


def test_check_asks_for_create_where_the_tables_are_ours(check: Check, database: Database, role: str) -> None:
    database.execute("create table public.t (id int primary key)", f"alter table public.t owner to {role}")
    assert check(database.dsn(user=role)).of("publication-privilege") == Finding(
        ERROR,
        "publication-privilege",
        f"the publication 'cdc_shop' does not exist, and the role '{role}' may not create it in the"
        f" database '{database.name}'",
        f"grant create on database {database.name} to {role};",
    )


def test_check_counts_the_connections_that_role_and_database_allow(
    check: Check, database: Database, role: str
) -> None:
    database.execute(
        "create table public.t (id int primary key)",
        f"alter role {role} connection limit 5",
        f"alter database {database.name} connection limit 3",
    )
    findings = check(database.dsn(user=role))
    assert findings.said("role-connections") == (
        Severity.WARNING,
        f"the role '{role}' is limited to 5 connections, 0 of them in use by others, and the daemon"
        " opens up to 6",
        f"alter role {role} connection limit 6;",
    )
    assert findings.said("database-connections") == (
        ERROR,
        f"the database '{database.name}' is limited to 3 connections, 0 of them in use by others, and"
        " the daemon opens up to 6",
        f"alter database {database.name} connection limit 6;",
    )
    database.execute(*(findings.of(code).fix for code in ("role-connections", "database-connections")))
    again = check(database.dsn(user=role))
    assert again.all_of("role-connections") == again.all_of("database-connections") == []


def test_check_asks_only_for_listed_columns(check: Check, database: Database, role: str) -> None:
    database.execute(
        "create table public.t (id int primary key, secret text)",
        f"grant select (id) on public.t to {role}",
    )
    url = database.dsn(user=role)
    assert "select-privilege" in check(url).errors
    assert check(url, columns={"public.t": ["id"]}).of("select-privilege").severity is OK


def test_check_finds_row_level_security(check: Check, database: Database, role: str) -> None:
    database.execute(
        "create table public.t (id int primary key)",
        "alter table public.t enable row level security",
        f"grant select on public.t to {role}",
    )
    url = database.dsn(user=role)
    finding = check(url).of("row-security")
    assert finding == Finding(
        ERROR,
        "row-security",
        f"row-level security hides rows of public.t from the role '{role}', but the stream contains them all",
        f"alter role {role} bypassrls;",
    )
    database.execute(finding.fix)
    assert "row-security" not in check(url).errors
    assert check(database.url).all_of("row-security") == []


def test_check_reads_partitions_privileges_too(check: Check, database: Database, role: str) -> None:
    database.execute(
        "create table public.root (id int primary key) partition by range (id)",
        "create table public.leaf partition of public.root for values from (0) to (10)",
        f"grant select on public.root to {role}",
    )
    assert (
        check(database.dsn(user=role)).of("select-privilege").fix == f"grant select on public.leaf to {role};"
    )
