"""What check tells of that lies beside the selected tables: children, waits, money."""

from __future__ import annotations

from psycopg import sql

from cdc.spi.finding import Severity
from cdc_source_postgres.limits import Limits
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.findings import Check
from tests.support.postgres.server import Database

CHUNKS = (
    "create schema chunks",
    "create table public.metrics (id int primary key, n int)",
    *(f"create table chunks._hyper_1_{i}_chunk (primary key (id)) inherits (metrics)" for i in range(5)),
    "create table chunks.other (id int primary key)",
    "create table public.people (id int primary key)",
    'create table public."staff members" (primary key (id)) inherits (people)',
)


def test_check_and_run_name_children_that_are_not_selected_and_how_to_select_them(
    check: Check, database: Database, follow: FollowerFactory
) -> None:
    database.execute(*CHUNKS)
    found = check(database.url, tables=["public.metrics", "public.people"]).all_of("inheritance")
    assert [finding.severity for finding in found] == [Severity.WARNING] * 2
    assert "public.metrics is followed without the rows of chunks._hyper_1_0_chunk" in found[0].message
    assert found[0].fix == 'Add to tables: "chunks._hyper_1_*"'
    assert found[1].fix == 'Add to tables: "public.staff members"'
    assert check(database.url, tables=["public.*", "chunks._hyper_1_*"]).all_of("inheritance") == []
    follower = follow(database, tables=["public.metrics", "public.people"])
    follower.source.discover()
    said = [fields for event, fields in follower.events if "inherit from it" in event]
    assert [fields["table"] for fields in said] == ["public.metrics", "public.people"]
    assert said[0]["remedy"] == "Add to tables: chunks._hyper_1_*"


def test_check_names_the_statement_that_ends_a_prepared_transaction(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key)")
    gid = f"it's {database.name}"
    with database.connect() as connection:
        connection.execute("begin")
        connection.execute("insert into t values (1)")
        connection.execute(sql.SQL("prepare transaction {}").format(gid))
        try:
            findings = check(database.url, limits=Limits(prepared_seconds=0.0)).all_of("prepared-transaction")
        finally:
            connection.execute(sql.SQL("rollback prepared {}").format(gid))
    quoted = gid.replace("'", "''")
    (finding,) = [finding for finding in findings if quoted in finding.message]
    assert finding.severity is Severity.WARNING
    assert finding.fix == f"In the database {database.name}, run: rollback prepared '{quoted}';"


def test_check_says_how_money_is_read(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key, price money)")
    found = check(database.url).of("money")
    assert (found.severity, "2 fraction digits" in found.message) == (Severity.OK, True)
    role = f"app_{database.name}"
    database.execute(f"create role {role}", f"alter role {role} set lc_monetary = 'C.UTF-8'")
    try:
        found = check(database.url).of("money")
    finally:
        database.execute(f"drop role {role}")
    assert found.severity is Severity.WARNING
    assert role in found.message
