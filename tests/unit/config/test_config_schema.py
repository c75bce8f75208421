"""The JSON Schema says what the loader accepts, and every example loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import yaml

from cdc.cli.schema import configuration_schema
from cdc.spi import registry
from cdc.transform.settings import TransformList
from cdc_config import json_schema, load
from cdc_config.settings import SinkSettings, SourceSettings
from tests.support.processes import ROOT
from tests.unit.config.conftest import Options

EXAMPLES = sorted((ROOT / "config/examples").glob("*.yaml"))


@pytest.fixture
def schema() -> dict[str, Any]:
    return json_schema({"postgres": Options}, {"parquet": Options}, {}, TransformList)


def errors(schema: dict[str, Any], text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema)
    return [error.json_path for error in validator.iter_errors(yaml.safe_load(text))]


def test_the_schema_in_the_repository_is_what_the_command_prints() -> None:
    """Otherwise: `cdc schema > config/schema.json`."""
    assert orjson.loads((ROOT / "config/schema.json").read_bytes()) == configuration_schema()


def test_schema_is_valid_itself(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_schema_accepts_what_the_loader_accepts(schema: dict[str, Any]) -> None:
    text = """
    state_dir: ./x
    sources:
      shop: {type: postgres, url: "${URL}", workers: "${N}", snapshot: never, log: {retain: {age: 7d}}}
      masked:
        type: postgres
        mask_key: "${KEY}"
        transforms:
          - {table: app.people, mask: {a: hash, b: {keep_last: 2}, c: {truncate: year}, d: {truncate: 3}}}
          - {table: ["app.*", "!app.x"], where: "a > 1", where_fixed: true, columns: {exclude: [a]}}
          - {table: app.x, python: "acme.hooks:clean", rename: {a: b}, route: "raw.{schema}_{table}"}
      other: {type: "acme_cdc.oracle:OracleSource", anything: 1}
    sinks:
      lake: {type: parquet, from: [shop], flush: {rows: 5}, publish: {path: a, interval: "${I:-1s}"}}
    """
    assert errors(schema, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "sources: {}",
        "sources: {Shop: {type: postgres}}",
        "sources: {shop: {}}",
        "sources: {shop: {type: postgrs}}",
        "sources: {shop: {type: postgres, tabels: []}}",
        "sources: {shop: {type: postgres, workers: many}}",
        "sources: {shop: {type: postgres, transforms: [{mask: {a: hash}}]}}",
        "sources: {shop: {type: postgres, transforms: [{table: a.b, mask: {a: md5}}]}}",
        "sources: {shop: {type: postgres, log: {retain: {age: 7}}}}",
        "sources: {shop: {type: postgres}}\nsinks: {lake: {type: parquet, publish: {path: a}}}",
        "sources: {shop: {type: postgres}}\nsink: {}",
    ],
)
def test_schema_refuses_what_the_loader_refuses(schema: dict[str, Any], text: str) -> None:
    assert errors(schema, text)


def test_every_engine_key_is_described() -> None:
    for model in (SourceSettings, SinkSettings):
        assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_loads(path: Path, tmp_path: Path) -> None:
    text = path.read_text("utf-8").replace("/run/secrets", str(tmp_path))
    for secret in re.findall(rf"{re.escape(str(tmp_path))}/(\w+)", text):
        (tmp_path / secret).write_text("secret of enough length", "utf-8")
    (tmp_path / "cdc.yaml").write_text(text, "utf-8")
    names = set(re.findall(r"\$\{([A-Z_]+)\}", text))
    scheme = "mysql" if "type: mysql" in text else "postgresql"
    url = f"{scheme}://cdc:secret@127.0.0.1/shop"
    for credential in re.findall(r"\$\{credential:(\w+)\}", text):
        (tmp_path / credential).write_text(url, "utf-8")
    environment = dict.fromkeys(names, url) | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    environment["CLICKHOUSE_URL"] = "clickhouse://cdc:secret@127.0.0.1"
    configuration = load(tmp_path / "cdc.yaml", registry.load, environment)
    assert configuration.sources
    assert configuration.sinks
