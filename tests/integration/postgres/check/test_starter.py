from __future__ import annotations

import re

import pytest
import yaml

from cdc.errors import ConfigError, SourceRefused
from cdc_source_postgres.starter import describe
from tests.support.findings import Check
from tests.support.postgres.server import Database


def test_starter_lists_what_is_in_the_database(check: Check, database: Database) -> None:
    database.execute(
        "create table orders (id int primary key)",
        "create table log_lines (line text)",
        "create table readings (at timestamptz)",
        "alter table readings replica identity full",
        'create schema "odd.one"',
        'create table "odd.one"."We ird" (id int primary key)',
    )
    text = describe(database.dsn(password="never-shown"))
    source = yaml.safe_load(text)["sources"][database.name]
    assert source == {
        "type": "postgres",
        "url": f"${{{database.name.upper()}_URL}}",
        "tables": ['"odd.one".*', "public.*", "!public.log_lines"],
        "ddl": "auto",
    }
    assert "no primary key: to follow it, run alter table public.log_lines replica identity full;" in text
    assert "# public.readings has no primary key: mirrors identify its rows by all their values." in text
    assert "never-shown" not in text
    assert check(database.url, tables=source["tables"]).errors == []


def test_starter_of_an_empty_database_follows_public(database15: Database) -> None:
    text = describe(database15.url)
    assert yaml.safe_load(text)["sources"][database15.name]["tables"] == ["public.*"]
    assert "# there is no table yet" in text


def test_starter_never_counts_rows_that_the_server_does_not_know(database: Database) -> None:
    database.execute(
        "create schema known",
        "create table known.t (id int primary key)",
        "insert into known.t select generate_series(1, 12000)",
        "analyze known.t",
        "create schema mixed",
        "create table mixed.analysed (id int primary key)",
        "insert into mixed.analysed select generate_series(1, 1000)",
        "analyze mixed.analysed",
        "create table mixed.parts (id int primary key) partition by range (id)",
        "create table mixed.p1 partition of mixed.parts for values from (1) to (100)",
        "insert into mixed.parts select generate_series(1, 50)",
        "create schema none",
        "create table none.t (id int primary key)",
        "alter table none.t set (autovacuum_enabled = off)",
        "create schema new",
        "create table new.t (id int primary key)",
        "insert into new.t select generate_series(1, 7)",
    )
    text = describe(database.url)
    comments = dict(re.findall(r'- "(\w+)\.\*" +# (.*)', text))
    assert comments == {
        "known": "1 table, about 12,000 rows",
        "mixed": "2 tables, about 1,000 rows in 1, unknown in 1 (no statistics)",
        "new": "1 table, row count unknown (no statistics)",
        "none": "1 table, no rows",
    }


def test_starter_writes_odd_names_in_one_line(database15: Database) -> None:
    database15.execute('create schema "s\n#"', 'create table "s\n#"."t""\n" (line text)')
    text = describe(database15.url)
    (source,) = yaml.safe_load(text)["sources"].values()
    assert source["tables"] == ["s\n#.*", '!s\n#."t""\n"']
    assert 'alter table U&"s\\+00000A#".U&"t""\\+00000A" replica identity full;' in text
    database15.execute('alter table U&"s\\+00000A#".U&"t""\\+00000A" replica identity full')


def test_starter_connects_its_sinks_to_the_source(database15: Database) -> None:
    config = yaml.safe_load(describe(database15.url))
    assert {name: sink["from"] for name, sink in config["sinks"].items()} == {
        "warehouse": [database15.name],
        "lake": [database15.name],
    }


def test_starter_refuses_a_broken_url() -> None:
    with pytest.raises(ConfigError) as caught:
        describe("postgresql//cdc:hidden@db/shop")
    assert "hidden" not in str(caught.value)


def test_starter_passes_on_why_it_can_not_connect(database15: Database) -> None:
    with pytest.raises(SourceRefused, match='database "nowhere" does not exist'):
        describe(database15.server.dsn("nowhere"))


def test_starter_says_how_schema_changes_are_learned(database: Database) -> None:
    role = f"app_{database.name}"
    database.execute(f"create role {role} login")
    try:
        text = describe(database.dsn(user=role))
    finally:
        database.execute(f"drop role {role}")
    assert "# read from the catalog; more exact with the SQL of cdc check --fix ddl-trigger" in text
    assert "# the daemon installs event triggers that report schema changes" in describe(database.url)
