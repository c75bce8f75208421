"""Definitions of tables and of the publication, read from real catalogs."""

from __future__ import annotations

import pytest

from cdc_source_postgres.schema.definition import Definition, PublicationDefinition
from cdc_source_postgres.schema.definition_sql import PRINTING, definition_query, publication_query
from tests.support.postgres.server import Database

SETUP = """
    create type mood as enum ('sad', 'fine');
    create type place as (street text, feeling mood);
    create domain amount as numeric(10, 2) check (value > 0);
    create table plain (
        id int primary key, name text not null default 'x', feelings mood[], home place, price amount,
        twice int generated always as (id * 2) stored);
    alter table plain drop column name;
    alter table plain add column added timestamptz default '2020-01-01 00:00:00+00';
    create table root (id int, at date, primary key (id, at)) partition by range (at);
    create table leaf1 partition of root for values from ('2020-01-01') to ('2021-01-01');
    create table middle partition of root for values from ('2021-01-01') to ('2023-01-01')
        partition by list (id);
    create table leaf2 partition of middle for values in (1);
    alter table root add column extra int default 7;
    create publication shown for table plain, root with (publish = 'insert, update');
"""
# Each moves the definition, even where it is a change and its undoing.
MOVES = [
    "alter table plain rename column price to cost; alter table plain rename column cost to price",
    "alter table plain add column gone int; alter table plain drop column gone",
    "alter table plain alter column price set default 3; alter table plain alter column price drop default",
    "alter table plain replica identity full",
    "alter table plain set unlogged; alter table plain set logged",
    "alter type mood rename value 'sad' to 'blue'; alter type mood rename value 'blue' to 'sad'",
    "alter type mood add value 'great'",
    "alter type place add attribute zip text",
    "alter table plain rename to other; alter table other rename to plain; "
    "alter table plain rename column home to h; alter table plain rename column h to home",
    "vacuum full plain",
    "truncate plain",
    "alter table plain alter column twice drop expression",
]
TREE_MOVES = [
    "alter table root detach partition leaf1; alter table root attach partition leaf1"
    " for values from ('2020-01-01') to ('2021-01-01')",
    "create table leaf3 partition of root for values from ('2030-01-01') to ('2031-01-01')",
    "drop table leaf3",
    "alter table middle detach partition leaf2",
    "truncate leaf1",
]
STILL = [
    "grant select on plain to public",
    "analyze plain",
    "vacuum freeze plain",
    "insert into plain values (1)",
]
PUBLICATION_MOVES = [
    "alter publication shown set (publish = 'insert');"
    "alter publication shown set (publish = 'insert, update')",
    "alter publication shown drop table plain; alter publication shown add table plain",
    "alter publication shown set table plain (id, price), root",
    "alter publication shown set table plain (id, price) where (id > 3), root",
    "alter publication shown set (publish_via_partition_root = true)",
    "alter publication shown add tables in schema public",
]


def definition(database: Database, table: str) -> Definition:
    for name, value in PRINTING.items():
        database.execute(f"set {name} = '{value}'")
    query = definition_query(database.server.version_num, f"'public.{table}'::regclass")
    return Definition.parse(database.value(query))


def publication(database: Database) -> PublicationDefinition:
    return PublicationDefinition.parse(
        database.value(publication_query(database.server.version_num, "'shown'"))
    )


@pytest.mark.every_server
def test_a_definition_gives_the_table_its_tree_and_its_types(database: Database) -> None:
    database.execute(SETUP)
    plain, root = definition(database, "plain"), definition(database, "root")
    assert [(c.number, c.name) for c in plain.columns] == [
        (1, "id"),
        (3, "feelings"),
        (4, "home"),
        (5, "price"),
        (6, "twice"),
        (7, "added"),
    ]
    assert plain.attributes == 7
    assert plain.primary_key is not None
    assert plain.identity_columns == (1,)
    assert [c.missing for c in plain.columns][-1] == '{"2020-01-01 00:00:00+00"}'
    assert len(plain.types) == 3, "mood, in an array and inside of place, place, and amount"
    assert sorted(part.split(":")[-1] for part in plain.types[str(oid(database, "mood"))].values()) == [
        "fine",
        "sad",
    ]
    assert [node.kind for node in root.tree].count("r") == len(root.files) == 2
    assert root.columns[-1].missing == "{7}"
    assert definition(database, "leaf2").ancestors == (
        definition(database, "middle").relid,
        root.relid,
    )


def oid(database: Database, type_name: str) -> int:
    return int(database.value(f"select '{type_name}'::regtype::oid::int8"))


@pytest.mark.every_server
def test_a_definition_survives_its_text_and_a_function_in_the_database(database: Database) -> None:
    database.execute(SETUP)
    body = definition_query(database.server.version_num, "described")
    settings = " ".join(f"set {name} = '{value}'" for name, value in PRINTING.items())
    database.execute(
        f"create function describe(described oid) returns jsonb language sql stable"
        f" set search_path = pg_catalog {settings} as $cdc${body}$cdc$"
    )
    for table in ("plain", "root", "leaf2"):
        found = definition(database, table)
        assert Definition.from_text(found.text()) == found
        database.execute("set datestyle = 'German'")
        told = database.value(f"select public.describe('public.{table}'::regclass)")
        assert Definition.parse(told) == found


@pytest.mark.every_server
def test_whatever_ddl_changes_a_table_moves_its_definition_and_nothing_else_does(database: Database) -> None:
    database.execute(SETUP)
    # Its members may not become unlogged.
    database.execute("drop publication shown")
    moves = {"plain": MOVES, "root": TREE_MOVES}
    for table, statements in moves.items():
        for statement in statements:
            before = definition(database, table)
            for part in statement.split(";"):
                database.execute(part)
            assert definition(database, table) != before, statement
    for statement in STILL:
        before = definition(database, "plain")
        database.execute(statement)
        assert definition(database, "plain") == before, statement


@pytest.mark.every_server
def test_maintenance_of_the_catalog_moves_no_definition(database: Database) -> None:
    database.execute(SETUP)
    before, sent = definition(database, "plain"), publication(database)
    for catalog in ("pg_attribute", "pg_class", "pg_enum", "pg_attrdef", "pg_publication", "pg_inherits"):
        database.execute(f"vacuum (full, freeze) {catalog}")
        database.execute(f"vacuum freeze {catalog}")
    assert definition(database, "plain") == before
    assert publication(database) == sent


@pytest.mark.every_server
@pytest.mark.parametrize("statement", PUBLICATION_MOVES)
def test_whatever_alters_the_publication_moves_what_it_sends_of_a_table(
    database: Database, statement: str
) -> None:
    database.execute(SETUP)
    plain = definition(database, "plain")
    before = publication(database)
    for part in statement.split(";"):
        database.execute(part)
    assert publication(database).sent(plain) != before.sent(plain)


@pytest.mark.every_server
def test_another_table_in_the_publication_moves_nothing_of_the_first(database: Database) -> None:
    database.execute(SETUP)
    before = publication(database).sent(definition(database, "plain"))
    database.execute("create table late (id int primary key)")
    database.execute("alter publication shown add table late")
    assert publication(database).sent(definition(database, "plain")) == before
