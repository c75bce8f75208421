"""The documents say what the code has: options, error kinds, and the pages that messages refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from cdc import errors
from cdc.cli.docs import anchor_of, command_for, section_of, topics
from cdc.cli.schema import configuration_schema
from cdc.errors import ConfigError
from cdc_config.settings import SinkSettings, SourceSettings
from cdc_sink_duckdb.options import Options as DuckdbOptions
from cdc_sink_parquet.options import ParquetOptions
from cdc_source_mysql.options import MysqlOptions
from cdc_source_postgres.options import PostgresOptions
from tests.architecture.tree import product_files

OPTION = re.compile(r"^\| `([\w.<>]+)` \| ([^|]+) \|", re.MULTILINE)


def page(topic: str) -> str:
    return topics()[topic].read_text("utf-8")


def documented(topic: str, section: str) -> dict[str, str]:
    """Keys and defaults in the tables of a section."""
    return dict(OPTION.findall(section_of(page(topic), section)))


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The keys of a model as a file names them: those of its sections with a dot."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings(inner, f"{key}.")
        else:
            yield key


@pytest.mark.parametrize(
    ("topic", "model"),
    [
        ("sources/postgres", PostgresOptions),
        ("sources/mysql", MysqlOptions),
        ("sinks/duckdb", DuckdbOptions),
        ("sinks/parquet", ParquetOptions),
    ],
)
def test_every_option_has_a_row_with_its_default(topic: str, model: type[BaseModel]) -> None:
    options = documented(topic, "options")
    assert sorted(options) == sorted(model.model_fields)
    for name, field in model.model_fields.items():
        if field.is_required():
            assert options[name] == "required", name
        elif isinstance(field.default, str) and field.default:
            assert options[name] == f"`{field.default}`", name
        elif isinstance(field.default, (bool, int)):
            shown = options[name].strip("`")
            is_size = shown.endswith("MiB")
            assert shown == (f"{field.default >> 20}MiB" if is_size else str(field.default).lower()), name


@pytest.mark.parametrize(
    ("section", "model"), [("every-source", SourceSettings), ("every-sink", SinkSettings)]
)
def test_every_key_of_a_source_or_sink_has_a_row(section: str, model: type[BaseModel]) -> None:
    assert sorted(documented("configuration", section)) == sorted(settings(model))


def test_every_key_of_the_file_has_a_row() -> None:
    table = section_of(page("configuration"), "keys").split("###", 1)[0]
    documented = {key.removesuffix(".<name>") for key, _ in OPTION.findall(table)}
    assert documented == set(configuration_schema()["properties"])


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


def test_a_comment_in_an_example_does_not_end_its_section() -> None:
    text = "# Page\n## Run it\n```sh\n# a comment\n## another\n```\nafter\n## Next\n"
    assert section_of(text, "run-it") == text[len("# Page\n") : -len("## Next\n")]
    with pytest.raises(ConfigError, match="no section 'a-comment'"):
        section_of(text, "a-comment")
