"""What `cdc init` writes of the sinks."""

from __future__ import annotations

import sys

import pytest
import yaml

from cdc.kit.starter import Starter


def sinks(*schemas: str) -> dict[str, dict[str, object]]:
    text = Starter("shop", "postgres", "database shop", "postgresql://…", ['      - "*.*"'], schemas).text()
    found: dict[str, dict[str, object]] = yaml.safe_load(text)["sinks"]
    return found


@pytest.mark.parametrize(
    ("schemas", "path"),
    [
        (("public",), "./warehouse.duckdb"),
        (("public", "Warehouse"), "./warehouse_mirror.duckdb"),
        (("warehouse", "warehouse_mirror"), "./warehouse_mirror_mirror.duckdb"),
    ],
)
def test_the_mirrors_file_is_called_like_no_schema(schemas: tuple[str, ...], path: str) -> None:
    assert sinks(*schemas)["warehouse"]["path"] == path


def test_a_lake_waits_longer_between_flushes() -> None:
    assert sinks("public")["lake"]["flush"] == {"interval": "30s"}


def test_a_sink_whose_package_is_missing_is_not_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cdc_sink_duckdb", None)
    assert list(sinks("public")) == ["lake"]
