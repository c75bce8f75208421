"""`cdc snapshot [SOURCE] [TABLE…]`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, open_configuration
from cdc.control.snapshot import Asked, Wish, ask_for_copy, wish_of


def snapshot(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE] [TABLE]...",
            help="The source, which may be left out when there is one, and its tables; none: all of them.",
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    sink: Annotated[str | None, typer.Option(help="Copy into this sink only.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy tables again, while the stream flows.

    Mirrors keep their rows until the new ones are complete.
    """
    configuration = open_configuration(config)
    wish = wish_of(configuration, names or [], sink)
    _show(wish, ask_for_copy(configuration, wish), as_json=as_json)


def _show(wish: Wish, asked: Asked, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {
            "request": asked.number,
            "source": wish.source,
            "tables": None if wish.tables is None else [str(table) for table in wish.tables],
            "sink": wish.sink,
            "daemon": asked.running,
            "taken": asked.taken,
        }
        print_json(document)
        return
    tables = "all tables" if wish.tables is None else ", ".join(map(str, wish.tables))
    target = "all sinks" if wish.sink is None else wish.sink
    say(f"Request {asked.number}: copy {tables} of {wish.source} into {target}.")
    if not asked.running:
        say("No daemon is running: `cdc run` makes the copy when it starts.")
    elif asked.taken:
        say("The daemon has begun; `cdc status` shows how far it is.")
    else:
        say("The daemon begins when the copies under way are finished; `cdc status` lists the request.")
