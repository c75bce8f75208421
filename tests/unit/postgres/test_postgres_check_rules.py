from __future__ import annotations

import pytest

from cdc_source_postgres.checks.server import minor_is_flawed, standby_names
from cdc_source_postgres.schema.catalog import missing_element
from cdc_source_postgres.statements import grant_replication, identifier, literal, wal_level_fix


@pytest.mark.parametrize(
    ("version", "flawed"),
    [(130020, True), (130021, False), (140017, True), (150012, True), (150013, False), (160008, True),
     (170004, True), (170005, False), (180000, False), (190000, False)],
)  # fmt: skip
def test_minors_with_the_publication_race_are_known(version: int, flawed: bool) -> None:
    assert minor_is_flawed(version) is flawed


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("", []),
        ("*", ["*"]),
        ("a, B", ["a", "b"]),
        ('FIRST 2 (s1, "S 2")', ["s1", "s 2"]),
        ("ANY 1 (*)", ["*"]),
        ("2 (s1, s2)", ["s1", "s2"]),
    ],
)
def test_synchronous_standby_names_are_read_in_every_form(setting: str, names: list[str]) -> None:
    assert standby_names(setting) == names


@pytest.mark.parametrize(
    ("literal_text", "element"),
    [
        ("{7}", "7"),
        ("{NULL}", None),
        ('{"NULL"}', "NULL"),
        ('{"a \\"b\\", \\\\ {c}"}', 'a "b", \\ {c}'),
        ('{"{1,2}"}', "{1,2}"),
        ('{""}', ""),
    ],
)
def test_missing_value_is_the_one_element_of_its_array(literal_text: str, element: str | None) -> None:
    assert missing_element(literal_text) == element


@pytest.mark.parametrize(
    ("name", "sql"),
    [("orders", "orders"), ("Orders", '"Orders"'), ("user", '"user"'), ('a"b', '"a""b"'), ("1a", '"1a"')],
)
def test_identifier_is_quoted_where_sql_needs_it(name: str, sql: str) -> None:
    assert identifier(name) == sql


def test_literal_doubles_quotes() -> None:
    assert literal("it's") == "'it''s'"


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ("", "alter system set wal_level = 'logical'; then restart the server"),
        ("rds", "Set rds.logical_replication = 1 in the parameter group"),
        ("cloudsql", "Set the database flag cloudsql.logical_decoding = on"),
        ("azure", "Set the server parameter wal_level to logical"),
        ("supabase", "alter system set wal_level = 'logical'"),
    ],
)
def test_wal_level_is_set_in_the_providers_own_way(provider: str, words: str) -> None:
    assert words in wal_level_fix(provider)


def test_replication_is_granted_in_the_providers_own_way() -> None:
    assert grant_replication("app", "rds") == "grant rds_replication to app"
    assert grant_replication("app") == "alter role app replication"
