from __future__ import annotations

import pytest
import yaml

from cdc.errors import ConfigError, SourceRefused
from connectors.postgres.starter import describe
from tests.support.findings import Check
from tests.support.postgres import Database


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
    }
    assert "no primary key: to follow it, run alter table public.log_lines replica identity full;" in text
    assert "# public.readings has no primary key: mirrors find its rows by all their values." in text
    assert "never-shown" not in text
    assert check(database.url, tables=source["tables"]).errors == []


def test_starter_of_an_empty_database_follows_public(database15: Database) -> None:
    text = describe(database15.url)
    assert yaml.safe_load(text)["sources"][database15.name]["tables"] == ["public.*"]
    assert "# there is no table yet" in text


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
