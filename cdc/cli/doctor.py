"""`cdc doctor`: everything that a problem report needs, in one text to paste, without rows and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer

from cdc.cli.check import finding_lines, has_errors
from cdc.cli.configured import in_force, open_configuration
from cdc.cli.output import print_error, print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, exit_code
from cdc.cli.status_text import lines_of
from cdc.cli.version import versions
from cdc.control.checks import Result, find_all
from cdc.control.facts import configured_facts, folder_facts, machine_facts
from cdc.control.status import Status, status_of
from cdc.errors import ConfigError, PluginError
from cdc.readable import show_time
from cdc_config import Configuration


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Print everything that a problem report needs.

    Versions, machine, configured keys, state of the daemon, and the findings of `cdc check`. Row values,
    secrets and values of the configuration are left out. The exit code is 1 when a finding is an error.
    """
    now = datetime.now(UTC)
    common = {"versions": versions(), "machine": machine_facts()}
    if not as_json:
        say(f"cdc doctor, {show_time(now)}")
        for title, facts in common.items():
            _show(title, facts)
    try:
        configuration = open_configuration(config)
    except (ConfigError, PluginError) as error:
        # A file that cannot be loaded is a reason to ask for help.
        found = in_force(config, error) if isinstance(error, ConfigError) else None
        if as_json:
            print_json({"at": now, **common, **(_state_document(found) if found else {})})
        elif found:
            _show("state_dir", folder_facts(found.state_dir))
            _show_status(status_of(found))
        print_error(error, as_json=as_json)
        raise typer.Exit(exit_code(error)) from error
    status, results = status_of(configuration), list(find_all(configuration))
    keys, folder = configured_facts(configuration), folder_facts(configuration.state_dir)
    if as_json:
        print_json(
            {"at": now, **common, "configured": keys, "state_dir": folder, **_documents(status, results)}
        )
    else:
        _show("configured", keys)
        _show("state_dir", folder)
        _show_state(status, results)
    if has_errors(results):
        raise typer.Exit(1)


def _state_document(configuration: Configuration) -> dict[str, Any]:
    return {
        "state_dir": folder_facts(configuration.state_dir),
        "status": status_of(configuration).document(),
    }


def _documents(status: Status, results: list[Result]) -> dict[str, Any]:
    findings = [{"subject": subject, **asdict(finding)} for subject, finding in results]
    return {"status": status.document(), "findings": findings}


def _show_status(status: Status) -> None:
    say("\nSTATUS")
    for line in lines_of(status):
        say(line)


def _show_state(status: Status, results: list[Result]) -> None:
    _show_status(status)
    say("\nCHECK")
    for line in finding_lines(results):
        say(line)


def _show(title: str, facts: Mapping[str, str]) -> None:
    say(f"\n{title.upper()}")
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"{name:<{width}}  {value}")
