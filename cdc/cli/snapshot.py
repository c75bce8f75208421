"""`cdc snapshot [SOURCE] [TABLE…]`."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc.cli.daemon import DaemonOption, TokenFileOption, daemon_at
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.snapshot import CopyResult


def snapshot(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE] [TABLE]...",
            help="The source (optional if there is only one) and its tables. Without tables: all of them.",
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    sink: Annotated[str | None, typer.Option(metavar="NAME", help="Copy into this sink only.")] = None,
    daemon: DaemonOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy tables again while the source is followed.

    A mirror keeps its rows until the new copy is complete.
    """
    found = daemon_at(daemon, token_file, config, as_json=as_json)
    _show(found.snapshot(names or [], sink), as_json=as_json)


def _show(result: CopyResult, *, as_json: bool) -> None:
    if as_json:
        document = result.document()
        running, taken = document.pop("running"), document.pop("taken")
        print_json(document | {"daemon": running, "taken": taken})
        return
    tables = "all tables" if result.tables is None else ", ".join(result.tables)
    target = "all sinks" if result.sink is None else result.sink
    say(f"Request {result.request}: copy {tables} of {result.source} into {target}.")
    if not result.running:
        say("No daemon is running: `cdc run` makes the copy when it starts.")
    elif result.taken:
        say("The daemon has started the copy. `cdc status` shows its progress.")
    else:
        say(
            "The daemon starts the copy when the current copies are finished, or, if the source has an error,"
            " at its next attempt. `cdc status` lists the request."
        )
