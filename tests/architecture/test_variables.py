"""Every option of every command has an environment variable, by one rule."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from cdc.cli.app import COMMANDS, app


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below this one, and itself, each with its path."""
    yield path, command
    context = typer.Context(command)
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from commands(command.get_command(context, name), *path, name)


ALL = [
    (path, parameter)
    for path, command in commands(typer.main.get_command(app))
    for parameter in command.params
    if parameter.param_type_name == "option" and not re.search(r"help|version|completion", parameter.name)
]


def test_the_walk_reaches_every_command() -> None:
    assert {path[0] for path, _ in ALL if path} == set(COMMANDS)
    assert ("log", "verify") in {path for path, _ in ALL}


@pytest.mark.parametrize(
    ("path", "parameter"), ALL, ids=lambda value: getattr(value, "name", None) or str(value)
)
def test_every_option_is_read_from_the_variable_that_the_rule_names(
    path: tuple[str, ...], parameter: Any
) -> None:
    option = next(name for name in parameter.opts if name.startswith("--"))
    rule = "CDC_" + "_".join([*path, option.removeprefix("--")]).replace("-", "_").upper()
    assert parameter.envvar[0] == rule


def test_no_variable_means_two_options() -> None:
    counts = Counter(parameter.envvar[0] for _, parameter in ALL)
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [(["version"], "CDC_VERSION_JSON"), (["connectors"], "CDC_CONNECTORS_JSON"), (["docs"], "CDC_DOCS_JSON")],
)
def test_a_variable_does_what_its_option_does(
    arguments: list[str], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    by_variable = CliRunner().invoke(app, arguments)
    monkeypatch.delenv(variable)
    by_option = CliRunner().invoke(app, [*arguments, "--json"])
    assert orjson.loads(by_variable.stdout) == orjson.loads(by_option.stdout)


def test_the_command_line_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDC_CHECK_CONFIG", "nowhere.yaml")
    monkeypatch.setenv("CDC_CONFIG", "elsewhere.yaml")
    assert "nowhere.yaml" in CliRunner().invoke(app, ["check"]).stderr
    assert "given.yaml" in CliRunner().invoke(app, ["check", "-c", "given.yaml"]).stderr


def test_the_help_names_the_rule() -> None:
    assert "CDC_RUN_LOG_LEVEL" in CliRunner().invoke(app, ["--help"]).stdout
