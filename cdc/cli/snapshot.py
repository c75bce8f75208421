"""`cdc snapshot [SOURCE] [TABLE…]`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cdc.cli.configured import open_for_state
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.snapshot import CopyParameters, LeftRequest, RequestedCopy, ask_for_copy, requested_copy

_PARAMETERS = CopyParameters("snapshot SOURCE", "snapshot TABLE", "--sink")


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
    as_json: JsonOption = False,
) -> None:
    """Copy tables again while the source is followed.

    A mirror keeps its rows until the new copy is complete.
    """
    configuration = open_for_state(config, as_json=as_json)
    requested = requested_copy(configuration, names or [], sink, _PARAMETERS)
    _show(requested, ask_for_copy(configuration, requested), as_json=as_json)


def _show(requested: RequestedCopy, asked: LeftRequest, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {
            "request": asked.number,
            "source": requested.source,
            "tables": None if requested.tables is None else [str(table) for table in requested.tables],
            "sink": requested.sink,
            "daemon": asked.running,
            "taken": asked.taken,
        }
        print_json(document)
        return
    tables = "all tables" if requested.tables is None else ", ".join(map(str, requested.tables))
    target = "all sinks" if requested.sink is None else requested.sink
    say(f"Request {asked.number}: copy {tables} of {requested.source} into {target}.")
    if not asked.running:
        say("No daemon is running: `cdc run` makes the copy when it starts.")
    elif asked.taken:
        say("The daemon has started the copy. `cdc status` shows its progress.")
    else:
        say(
            "The daemon starts the copy when the current copies are finished, or, if the source has an error,"
            " at its next attempt. `cdc status` lists the request."
        )
