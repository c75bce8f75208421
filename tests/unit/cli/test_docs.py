"""The documents say what the code has: options, error kinds, and the pages that messages refer to."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from cdc import errors
from cdc.cli.docs import anchor_of, command_for, section_of, topics
from cdc.errors import ConfigError
from cdc_source_mysql.options import MysqlOptions
from cdc_source_postgres.options import PostgresOptions
from tests.architecture.tree import product_files

OPTION = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)


def page(topic: str) -> str:
    return topics()[topic].read_text("utf-8")


@pytest.mark.parametrize(
    ("topic", "model"), [("sources/postgres", PostgresOptions), ("sources/mysql", MysqlOptions)]
)
def test_every_option_of_a_source_has_a_row_with_its_default(topic: str, model: type[BaseModel]) -> None:
    options = dict(OPTION.findall(section_of(page(topic), "options")))
    assert list(options) == list(model.model_fields)
    for name, field in model.model_fields.items():
        if isinstance(field.default, (bool, int)) or (isinstance(field.default, str) and field.default):
            assert options[name] == f"`{str(field.default).lower()}`", name


def test_every_kind_of_error_is_in_the_runbook() -> None:
    runbook = section_of(page("operations"), "errors")
    kinds = [name for name, value in vars(errors).items() if isinstance(value, type) and name != "CdcError"]
    for kind in [*kinds, "InternalError"]:
        text = section_of(runbook, kind.lower())
        assert text.startswith(f"### {kind}\n")
        assert "**Cause:**" in text
        assert "**What to do:**" in text


def references() -> list[str]:
    """What product code refers to, as `docs/sinks/duckdb.md#names`."""
    found: set[str] = set()
    for file in product_files("*.py"):
        found |= set(re.findall(r'"(docs/[\w/-]+\.md(?:#[\w-]+)?)', file.read_text("utf-8")))
    return sorted(found)


def test_pages_that_messages_refer_to_are_printed_by_cdc_docs() -> None:
    assert references()
    for reference in references():
        topic, _, section = command_for(reference).removeprefix("cdc docs ").partition("#")
        assert topic in topics(), reference
        if section:
            assert section_of(page(topic), section)


def test_sections_end_where_the_next_of_their_level_begins() -> None:
    text = "# A\n\n## One, two\nx\n### Deep\ny\n## Three\nz\n"
    assert section_of(text, "one-two") == "## One, two\nx\n### Deep\ny\n"
    assert anchor_of("Postgres: the source's side") == "postgres-the-sources-side"
    with pytest.raises(ConfigError):
        section_of(text, "four")


def test_no_message_points_to_a_file_of_the_repository() -> None:
    """Who has only the installed package has no `docs/` folder: messages name `cdc docs`."""
    texts = (file.read_text("utf-8") for file in product_files("*.py"))
    assert [t for text in texts for t in re.findall(r"(?:remedy|message|fix)\b.*docs/\w.*", text)] == []
