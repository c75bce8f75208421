"""Options as a configuration file spells them: what YAML makes of a word is not always the word."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from cdc.errors import ConfigError
from cdc.spi import registry
from cdc_config import json_schema, load
from cdc_source_postgres.options import PostgresOptions

FILE = "sources: {{shop: {{type: postgres, url: 'postgresql://h/d', unrepresentable: {}}}}}\n"


def policy_of(folder: Path, text: str) -> object:
    file = folder / "cdc.yaml"
    file.write_text(FILE.format(text), "utf-8")
    options = load(file, registry.load, {"POLICY": "string"}).sources["shop"].options
    assert isinstance(options, PostgresOptions)
    return options.unrepresentable


def fits_the_schema(text: str) -> bool:
    schema = json_schema({"postgres": PostgresOptions}, {}, {})
    return jsonschema.Draft202012Validator(schema).is_valid(yaml.safe_load(FILE.format(text)))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("null", "null"),
        ("'null'", "null"),
        ("error", "error"),
        ("string", "string"),
        ("'${POLICY}'", "string"),
    ],
)
def test_unrepresentable_may_be_written_bare(tmp_path: Path, text: str, policy: str) -> None:
    assert policy_of(tmp_path, text) == policy
    assert fits_the_schema(text)


@pytest.mark.parametrize("text", ["nul", "false", "[]"])
def test_unrepresentable_refuses_other_words(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="must be error, null or string"):
        policy_of(tmp_path, text)
    assert not fits_the_schema(text)
