"""The event triggers never make a statement of an application fail or wait, whoever runs it, and however."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cdc_source_postgres.schema import ddl_objects
from cdc_source_postgres.schema.ddl_objects import MAX_TABLES, install_statements
from tests.integration.postgres.schema.conftest import Reporting, reporting_on
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database

# What an application's session, role or database may have set, and what its statements must not notice.
SESSIONS = {
    "plain": (),
    "no-path": ("set search_path = ''",),
    "replica": ("set session_replication_role = replica",),
    "read-only-default": ("set default_transaction_read_only = on",),
    "serializable": ("set default_transaction_isolation = serializable",),
    "repeatable": ("set default_transaction_isolation = 'repeatable read'",),
    "strict-plpgsql": (
        "do $$ begin end $$",
        "set plpgsql.extra_errors = 'all'",
    ),
    "old-strings": (
        "set standard_conforming_strings = off",
        "set backslash_quote = off",
        "set transform_null_equals = on",
        "set quote_all_identifiers = on",
        "set array_nulls = off",
    ),
    "printing": (
        "set datestyle = 'German'",
        "set intervalstyle = iso_8601",
        "set timezone = 'Asia/Kathmandu'",
        "set extra_float_digits = -5",
        "set bytea_output = escape",
        "set client_encoding = latin1",
        "set row_security = off",
    ),
    "scarce": (
        "do $$ begin end $$",
        "set plpgsql.variable_conflict = error",
        "set work_mem = '64kB'",
        "set temp_file_limit = 0",
        "set lock_timeout = '1ms'",
    ),
    "parallel": ("set max_parallel_workers_per_gather = 8", "set parallel_setup_cost = 0", "set jit = on"),
}
# Names that need quotes, and everything in one transaction, in savepoints, functions and blocks.
BATTERY = (
    'create schema if not exists "o\'d""d"',
    'create table "o\'d""d"."t b" (id int primary key, "a""\'\\n" text, at timestamptz, f float8)',
    """alter table "o'd""d"."t b" add d timestamptz default '2020-01-01 00:00+00',
         add x bytea default 'a'""",
    "savepoint one",
    'alter table "o\'d""d"."t b" drop at',
    "rollback to one",
    """do $$ begin
         begin
           alter table "o'd""d"."t b" add inner_one float8 default 0.1::float8 + 0.2;
         exception when others then raise;
         end;
         execute 'alter table "o''d""d"."t b" add two interval default ''1 mon 2 days''';
       end $$""",
    """create function "o'd""d".f() returns void language plpgsql security definer set search_path = '' as
       $$ begin alter table "o'd""d"."t b" add three int; end $$""",
    'select "o\'d""d".f()',
    'alter table "o\'d""d"."t b" alter f type numeric',
    'create table "o\'d""d".copied as select * from "o\'d""d"."t b"',
    "create temp table short (id int) on commit drop",
    'drop schema "o\'d""d" cascade',
)


@pytest.fixture
def owner(reporting: Reporting) -> Iterator[str]:
    """A role that may create schemas in the database, and nothing else."""
    role = f"app_{reporting.database.name}"
    reporting.database.execute(
        f"create role {role} login", f"grant create, temp on database {reporting.database.name} to {role}"
    )
    yield role
    reporting.database.execute(f"drop owned by {role}", f"drop role {role}")


@pytest.mark.parametrize("superuser", [True, False], ids=["superuser", "owner"])
def test_ddl_works_whatever_the_session_has_set(reporting: Reporting, owner: str, superuser: bool) -> None:
    database = reporting.database
    told = {}
    for name, settings in SESSIONS.items():
        if not superuser and name in ("replica", "scarce"):
            continue
        with database.connect(user="postgres" if superuser else owner) as connection:
            for setting in settings:
                connection.execute(setting.encode())
            connection.execute("begin")
            connection.execute("set transaction read write")
            for statement in BATTERY:
                connection.execute(statement.encode())
            connection.execute("commit")
        reports = reporting.reports()
        told[name] = [
            [c[9] for c in table["columns"]] for report in reports for table in report.get("tables", ())
        ]
        tags = [report["tag"] for report in reports]
        assert tags.count("ALTER TABLE") == 6, (name, tags)
        assert tags[-1] == "DROP SCHEMA"
    # A transaction that sees an old catalog describes nothing; all others say the same, in the same print.
    assert told.pop("serializable") == told.pop("repeatable") == []
    assert all(columns == told["plain"] for columns in told.values())
    assert '{"2020-01-01 00:00:00+00"}' in told["plain"][1]


def test_ddl_waits_for_no_lock_of_another_session(reporting: Reporting) -> None:
    database = reporting.database
    database.execute(
        "create table p (id int primary key, v text) partition by range (id)",
        "create table p1 partition of p for values from (0) to (10)",
        "create table p2 partition of p for values from (10) to (20)",
        "create table inh (a int)",
        "create table child () inherits (inh)",
        "create type c as (v int)",
        "create table uses (id int primary key, c c, d int default 7)",
        "create publication pub for table uses, p",
    )
    with database.connect(autocommit=False) as other, database.connect() as app:
        other.execute("lock table p1, child, uses in access exclusive mode")
        app.execute("set lock_timeout = '30s'")
        for statement in (
            "alter table p2 alter v set statistics 10",
            "alter table only inh alter a set statistics 10",
            "alter type c rename to c2",
            "alter publication pub set (publish = 'insert')",
            "create table p3 (id int primary key, v text)",
            "create table uses_too (id int primary key, c c2)",
            "drop table p3",
        ):
            app.execute(statement.encode())


def test_only_catalogs_are_locked_beside_what_the_statement_locks(database: Database) -> None:
    def locks() -> set[tuple[str, str]]:
        with database.connect(autocommit=False) as connection:
            for statement in (
                "alter table t add c int default 7",
                "drop table other",
                "alter table p add c int",
            ):
                connection.execute(statement.encode())
            rows = connection.execute(
                "select coalesce(relation::regclass::text, locktype), mode from pg_locks"
                " where pid = pg_backend_pid() and locktype in ('relation', 'advisory', 'tuple')"
            ).fetchall()
            connection.rollback()
        return set(rows)

    database.execute(
        "create table t (id int primary key)",
        "create table other (id int primary key)",
        "create table p (id int) partition by list (id)",
        "create table p1 partition of p for values in (1)",
    )
    before = locks()
    Reporting(database)
    more = locks() - before
    assert {mode for _, mode in more} == {"AccessShareLock"}
    assert all(name.startswith("pg_") for name, _ in more)


def test_odd_and_huge_objects_make_no_statement_fail(reporting: Reporting) -> None:
    database = reporting.database
    database.execute(
        "create table wide (" + ", ".join(f"c{i} int default {i}" for i in range(1590)) + ")",
        "alter table wide add last text default repeat('x', 500000)",
        "create type mood as enum ('a', 'b')",
        "create table fed (id int primary key)",
        "alter table fed add m mood default 'a'",
        "create table own (id int primary key)",
        "create table orphan (id int primary key, v text)",
    )
    # What people do by hand: a label that rows still use, and a type that a column still has.
    database.execute(
        "delete from pg_enum where enumlabel = 'a'",
        "update pg_attribute set atttypid = 4 where attrelid = 'orphan'::regclass and attname = 'v'",
    )
    reporting.lines()
    database.execute(
        "alter table wide alter c0 set default 7",
        "alter table fed add n int",
        "alter table orphan rename to orphaned",
    )
    wide, fed, orphan = reporting.tables()
    assert len(wide["columns"]) == 1591
    # Not told: too long, or printed by a function that can fail.
    assert (wide["columns"][-1][9], fed["columns"][1][9]) == (False, False)
    assert orphan["columns"][1][2] == 4


def test_a_drop_of_very_many_tables_asks_for_a_look_at_all(reporting15: Reporting) -> None:
    tables = " ".join(f"create table many{i} ()" for i in range(MAX_TABLES + 1))
    reporting15.database.execute(f"create schema s {tables}")
    reporting15.lines()
    reporting15.database.execute("drop schema s cascade")
    (report,) = reporting15.reports()
    assert report["many"] is True


def test_a_command_over_many_tables_names_them_without_description(reporting15: Reporting) -> None:
    database = reporting15.database
    columns = ", ".join(f"c{i} int" for i in range(1000))
    tables = " ".join(f"create table t{i} ({columns})" for i in range(6))
    database.execute(f"create schema s {tables}")
    (report,) = reporting15.reports()
    assert (len(report["unknown"]), "tables" in report) == (6, False)


def test_another_major_version_than_the_installed_one_reports_nothing(reporting15: Reporting) -> None:
    database = reporting15.database
    with database.connect() as connection:
        for statement in install_statements(140000):
            connection.execute(statement.encode())
    reporting15.lines()
    database.execute("create table t (id int primary key)", "drop table t")
    assert reporting15.lines() == []


@pytest.mark.parametrize(
    "settings", [{"wal_level": "replica"}, {"wal_level": "minimal", "max_wal_senders": "0"}]
)
def test_ddl_works_when_the_server_no_longer_decodes(
    postgres_factory: PostgresFactory, settings: dict[str, str]
) -> None:
    server = postgres_factory({}, version=18)
    for reporting in reporting_on(server):
        database = reporting.database
        database.query("select pg_drop_replication_slot(%s)", [database.name])
        server.stop()
        server.configure(settings)
        server.start()
        database.execute(
            "create table t (id int primary key)",
            "alter table t add v text default 'x'",
            "alter table t alter v type varchar(3)",
            "drop table t",
        )


def test_public_may_not_run_the_function(reporting: Reporting, owner: str) -> None:
    with reporting.database.connect(user=owner) as connection:
        for statement in (
            "select cdc_ddl.emit()",
            "create table cdc_ddl.t ()",
            "drop schema cdc_ddl cascade",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_one_statement_removes_everything(reporting: Reporting) -> None:
    database = reporting.database
    database.execute(ddl_objects.REMOVE)
    assert database.value("select count(*) from pg_event_trigger") == 0
    assert database.value("select count(*) from pg_proc where proname = 'emit'") == 0
    database.execute("create table t (id int primary key)", "drop table t")
    assert not any(isinstance(line, dict) for line in reporting.lines())


def read(database: Database) -> Any:
    with database.connect() as connection:
        return ddl_objects.read_objects(connection)


@pytest.mark.every_server
def test_what_was_altered_is_seen(reporting: Reporting) -> None:
    database = reporting.database
    first = read(database)
    assert (first.intact, first.newer) == (True, False)
    for statement, problem in (
        ("alter event trigger cdc_ddl_end disable", "disabled"),
        ("alter event trigger cdc_ddl_end enable", "outdated (cdc_ddl_end)"),
        ("alter event trigger cdc_ddl_end enable always", ""),
        ("alter function cdc_ddl.emit() reset search_path", "outdated"),
        ("alter function cdc_ddl.emit() set search_path = pg_catalog", ""),
        ("grant execute on function cdc_ddl.emit() to public", "outdated"),
        ("revoke execute on function cdc_ddl.emit() from public", ""),
        ("drop event trigger cdc_ddl_rewrite", "incomplete (cdc_ddl_rewrite is missing)"),
    ):
        database.execute(statement)
        assert read(database).problem == problem, statement
    # Altered and altered back shows too.
    assert read(database).version != first.version
    database.execute(ddl_objects.REMOVE)
    assert not read(database).exist
