"""What a command imports is what it waits for. Counts of modules, which no machine and no load changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT
from tests.support.processes import child_environment

# What each run imports now, and a twentieth more.
MOST_MODULES_OF_VERSION = 230
MOST_MODULES_OF_RUN = 850
# The daemon opens its configuration, and so its plug-ins, before it meets a server.
VERSION = "import sys; sys.argv = ['cdc', 'version']; from cdc.cli.main import main; main()"
RUN = """
from pathlib import Path
import cdc.cli.main
from cdc.cli.app import _imported
_imported("run")
from cdc.cli.configured import open_configuration
open_configuration(Path("cdc.yaml"))
"""
PREFACE = """
import atexit, sys
atexit.register(lambda: print("\\n" + " ".join(sys.modules)))
"""
POSTGRES_TO_PARQUET = """
sources: {shop: {type: postgres, url: "postgresql://cdc@localhost/shop"}}
sinks: {lake: {type: parquet, from: [shop], url: ./lake}}
"""


def imported_by(program: str, folder: Path) -> set[str]:
    """The modules that the program has imported in the end, however it ends."""
    listing = f"{PREFACE}\n{program}"
    run = subprocess.run(
        [sys.executable, "-c", listing],
        cwd=folder,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].split())


@pytest.fixture(scope="module")
def version() -> set[str]:
    return imported_by(VERSION, ROOT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("config")
    (folder / "cdc.yaml").write_text(POSTGRES_TO_PARQUET, "utf-8")
    return imported_by(RUN, folder)


def test_version_imports_few_modules(version: set[str]) -> None:
    assert len(version) <= MOST_MODULES_OF_VERSION


def test_version_imports_no_engine_and_no_arrow(version: set[str]) -> None:
    assert (
        version & {"numpy", "pyarrow", "rich", "pydantic", "yaml", "cdc_config", "cdc.model", "cdc.engine"}
        == set()
    )


def test_run_imports_few_modules(run: set[str]) -> None:
    assert len(run) <= MOST_MODULES_OF_RUN


def test_run_imports_only_what_its_plugins_and_its_rows_need(run: set[str]) -> None:
    others = {
        "duckdb",
        "pymysql",
        "sqlglot",
        "cryptography",
        "rich",
        "cdc_source_mysql",
        "cdc_sink_duckdb",
        "cdc.sql",
    }
    later = {
        # pyarrow imports it for its first array, where it is installed.
        "pandas",
        "pyarrow.compute",
        "pyarrow.parquet",
        "cdc.testing",
        "cdc.cli.demo",
        "cdc.cli.check",
        "cdc.control.checks",
    }
    assert run & (others | later) == set()


def test_code_of_others_can_pass_pandas_to_arrow(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    program = """
from cdc.cli.app import _imported
_imported("run")
from cdc.deferred import use_pandas
use_pandas()
import pandas, pyarrow
assert pyarrow.array(pandas.Series([1.5, float("nan")])).null_count == 1
"""
    assert "pandas" in imported_by(program, tmp_path)
