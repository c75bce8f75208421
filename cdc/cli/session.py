"""Global options of one invocation of `cdc`, and the options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cdc.errors import CdcError, ConfigError, PluginError

DEFAULT_CONFIG = Path("cdc.yaml")


EXIT_FAILED = 1
EXIT_USAGE = 2


def exit_code(error: CdcError) -> int:
    """The exit code of a command that ends with this error."""
    return EXIT_USAGE if isinstance(error, ConfigError | PluginError) else EXIT_FAILED


@dataclass(slots=True)
class CommandSession:
    """Lives from the start of a command to its exit code; says how an error is to be shown.

    `has_workers` is set by a command whose threads may outlive it.
    """

    as_json: bool = False
    debug: bool = False
    has_workers: bool = False


def session_of(context: typer.Context) -> CommandSession:
    """The session of the invocation that this context belongs to."""
    root = context.find_root()
    if not isinstance(root.obj, CommandSession):
        root.obj = CommandSession()
    return root.obj


def _remember_json(context: typer.Context, value: bool) -> bool:
    session_of(context).as_json = value
    return value


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, including errors.", callback=_remember_json, is_eager=True)
]
ConfigOption = Annotated[
    Path,
    # A file that may not be read is an error of the loader, which names the remedy.
    typer.Option("--config", "-c", envvar="CDC_CONFIG", help="The configuration file.", readable=False),
]
