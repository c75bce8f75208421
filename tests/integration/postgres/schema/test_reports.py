"""What the event triggers say of a statement, and that it stands at its place among the rows."""

from __future__ import annotations

import pytest

from cdc_source_postgres.schema.definition import Definition
from cdc_source_postgres.schema.definition_sql import definition_query
from tests.integration.postgres.schema.conftest import Reporting

# Statements after which the table t looks different, each with what changes.
ALTERATIONS = (
    "alter table t add b numeric(8,2) default 1.5",
    "alter table t add at timestamptz default '2020-01-01 00:00+00'",
    'alter table t rename b to "b""\\ é\'"',
    "alter table t drop a",
    "alter table t add a text",
    "alter table t alter a type varchar(10)",
    "alter table t alter at drop default",
    "alter table t alter a set default 'x'",
    "alter table t replica identity full",
    "alter table t rename to u",
    "alter table u set schema other",
)


def test_a_statement_is_reported_before_the_rows_that_follow_it(reporting: Reporting) -> None:
    reporting.database.execute("create table r (id int primary key, email text)")
    reporting.lines()
    with reporting.database.connect(autocommit=False) as connection:
        for statement in (
            "insert into r values (1, 'A')",
            "alter table r add e2 text",
            "update r set e2 = lower(email)",
            "savepoint s",
            "alter table r drop email",
            "release s",
            "alter table r rename e2 to email",
            "insert into r values (2, 'b')",
        ):
            connection.execute(statement.encode())
    said = [
        [(c[0], c[1]) for c in line["tables"][0]["columns"]] if isinstance(line, dict) else line.split(":")[1]
        for line in reporting.lines()
        if isinstance(line, dict) or line.startswith("table")
    ]
    assert said == [
        " INSERT",
        [(1, "id"), (2, "email"), (3, "e2")],
        " UPDATE",
        [(1, "id"), (3, "e2")],
        [(1, "id"), (3, "email")],
        " INSERT",
    ]


@pytest.mark.every_server
def test_a_report_describes_a_table_as_a_look_at_the_catalog_does(reporting: Reporting) -> None:
    database = reporting.database
    database.execute("create schema other", "create table t (id int primary key, a int)")
    query = definition_query(database.server.version_num, "%s::oid").encode()
    for statement in ALTERATIONS:
        database.execute(statement)
        table = reporting.tables()[-1]
        # The settings of a Python connection are those that the function sets.
        with database.connect(options="-c timezone=UTC -c search_path=pg_catalog") as connection:
            row = connection.execute(query, [table["relid"]]).fetchone()
        assert row is not None
        look = Definition.parse(row[0])
        own = look.tree[0]
        tree = [[own.relid, 0, own.kind, own.persistence, table["file"], table["toast"], "", ""]]
        # A report has nothing of these, which looks judge.
        beside = {"tree": tree, "types": None, "named": look.named}
        assert Definition.parse({**table, **beside}) == look, statement


@pytest.mark.parametrize(
    ("statement", "relation", "reason"),
    [
        ("alter table t add c uuid default gen_random_uuid()", "t", 2),
        ("alter table t alter a type bigint", "t", 4),
        ("alter table t set unlogged", "t", 1),
        ("alter table p add c serial", "p1", 2),
    ],
)
def test_a_rewrite_is_reported_before_it_with_its_reason(
    reporting15: Reporting, statement: str, relation: str, reason: int
) -> None:
    database = reporting15.database
    database.execute(
        "create table t (id int primary key, a int)",
        "create table p (id int primary key) partition by range (id)",
        "create table p1 partition of p for values from (0) to (10)",
    )
    relid = database.value("select %s::regclass::oid::int8", [relation])
    reporting15.lines()
    database.execute(statement)
    first, second = reporting15.reports()
    assert (first["event"], first["rewritten"], first["reason"]) == ("table_rewrite", relid, reason)
    assert second["event"] == "ddl_command_end"


def test_what_is_dropped_is_reported_by_its_oid(reporting: Reporting) -> None:
    database = reporting.database
    database.execute(
        "create schema s",
        "create table s.gone (id int primary key)",
        "create type y as (v int)",
        "create table t (id int primary key, y y)",
        "create publication pub for table t",
    )
    gone = database.value("select 's.gone'::regclass::oid::int8")
    reporting.lines()
    database.execute("drop schema s cascade", "drop type y cascade", "alter publication pub drop table t")
    schema, column, publication = reporting.reports()
    assert (schema["dropped"], schema["many"]) == ([gone], False)
    assert [c[1] for c in column["tables"][0]["columns"]] == ["id"]
    assert (publication["dropped"], publication["look"]) == ([], True)


def test_types_schemas_publications_and_partitions_ask_for_a_look(reporting15: Reporting) -> None:
    database = reporting15.database
    database.execute(
        "create type e as enum ('a')",
        "create type c as (v int)",
        "create domain d as int",
        "create schema s",
        "create table t (id int primary key, e e, c c, d d) partition by list (id)",
        "create table t1 (id int primary key, e e, c c, d d)",
    )
    reporting15.lines()
    statements = (
        "alter type e rename value 'a' to 'b'",
        "alter type c add attribute w int",
        "alter domain d set default 1",
        "alter schema s rename to s2",
        "create publication pub for table t",
        "alter publication pub set (publish = 'insert')",
        "alter table t attach partition t1 for values in (1)",
        "alter table t detach partition t1",
        "create table t2 partition of t for values in (2)",
    )
    for statement in statements:
        database.execute(statement)
        assert [report["look"] for report in reporting15.reports()] == [True], statement


def test_what_concerns_no_rows_is_not_reported(reporting: Reporting) -> None:
    database = reporting.database
    database.execute("create table t (id int primary key, a int)")
    reporting.lines()
    with database.connect() as connection:
        for statement in (
            "create temp table tt (id int primary key)",
            "alter table tt add a int",
            "alter table tt alter a type bigint",
            "drop table tt",
            "comment on table t is 'x'",
            "grant select on t to public",
            "create index concurrently i on t (a)",
            "reindex table concurrently t",
            "drop index i",
            "create function f() returns int language sql as 'select 1'",
            "drop function f()",
            "create view v as select * from t",
            "alter view v rename to w",
            "drop view w",
            "create materialized view m as select * from t",
            "refresh materialized view m",
            "create sequence q",
            "create extension ltree",
        ):
            connection.execute(statement.encode())
    # ltree's script alters types.
    assert {report["tag"] for report in reporting.reports()} <= {"ALTER TYPE"}
