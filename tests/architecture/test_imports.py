"""Imports point one way, and what is imported is ours."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, product_files

PACKAGES = (
    "cdc",
    "cdc_config",
    "cdc_source_mysql",
    "cdc_source_postgres",
    "cdc_libpq",
    "cdc_sink_duckdb",
    "cdc_sink_iceberg",
    "cdc_sink_parquet",
    "cdc_sink_postgres",
)
# The engine must not learn about one database or warehouse: these words belong to connectors and sinks.
SYSTEM_NAMES = re.compile(
    r"^\s*(?:import|from)\s+(?:psycopg|pymysql|pymysqlreplication|duckdb|boto3|clickhouse\w*|pyiceberg|snowflake)\b",
    re.MULTILINE,
)
# The contracts that a log or a state on another machine keeps too, and their suites: none says where it is,
# nor which process of a machine has it.
WITHOUT_A_PLACE = (
    "cdc/spi/log.py",
    "cdc/spi/state.py",
    "cdc/testing/log_contract.py",
    "cdc/testing/state_contract.py",
)
PLACES = re.compile(r"\b(?:pathlib|Path|os|pid|tmp_path|segment\w*|folder|director(?:y|ies))\b")
# Plug-in authors' test tools, and the demo, start a real server.
MAY_NAME_SYSTEMS = (ROOT / "cdc/testing", ROOT / "cdc/cli/demo")


def test_import_contracts_hold() -> None:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def _module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    inside = parts if parts[0] == "cdc" else parts[1:]
    return ".".join(inside).removesuffix(".__init__")


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_no_modules_import_each_other() -> None:
    """Imports for annotations only, and within functions, count too."""
    modules = {_module_of(path): path for path in product_files("*.py")}
    graph = {
        module: {
            found
            for name in _imported(path)
            if (found := name if name in modules else name.rpartition(".")[0]) in modules and found != module
        }
        for module, path in modules.items()
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_this_checkout(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).is_relative_to(ROOT)


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in product_files("*.py", "*.pyx")}
    assert [str(f.relative_to(ROOT)) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_cdc_imports_no_database_library() -> None:
    files = [p for p in product_files("*.py", "*.pyx") if p.relative_to(ROOT).parts[:1] == ("cdc",)]
    inner = [p for p in files if not any(p.is_relative_to(folder) for folder in MAY_NAME_SYSTEMS)]
    assert [
        str(p.relative_to(ROOT)) for p in inner if SYSTEM_NAMES.search(p.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.parametrize("path", WITHOUT_A_PLACE)
def test_contracts_of_log_and_state_name_no_path_and_no_segment(path: str) -> None:
    assert PLACES.findall((ROOT / path).read_text(encoding="utf-8")) == []
