from __future__ import annotations

import importlib.util
import shlex
import sys
import tomllib
from importlib import metadata
from typing import Any

import pytest

from cdc.installing import install_command
from tests.architecture.tree import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]


@pytest.fixture(params=["installed", "checkout"])
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the metadata of an installation, and without: the code runs from a checkout."""

    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    if request.param == "checkout":
        monkeypatch.setattr(metadata, "requires", missing)


@pytest.mark.parametrize("extra", ["postgres", "mysql", "duckdb"])
def test_command_names_what_the_extra_needs_in_this_environment(found: None, extra: str) -> None:
    python, dash_m, pip, install, *wanted = shlex.split(install_command(extra))
    assert (python, dash_m, pip, install) == (sys.executable, "-m", "pip", "install")
    assert sorted(wanted) == sorted(EXTRAS[extra])


def test_extras_of_extras_are_replaced_by_what_they_need(found: None) -> None:
    wanted = install_command("all")
    assert all(requirement in wanted for extra in ("postgres", "mysql") for requirement in EXTRAS[extra])
    assert "cdcd[" not in wanted


def test_package_is_named_where_there_is_no_extra(found: None) -> None:
    assert install_command("oracle", "oracledb").endswith(" -m pip install oracledb")


def test_environment_without_pip_gets_uvs_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert install_command("duckdb").startswith(f"uv pip install --python {sys.executable} ")
