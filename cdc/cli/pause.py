"""`cdc pause NAME [TABLE…]` and `cdc resume NAME [TABLE…]`."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc.cli.daemon import DaemonOption, TokenFileOption, daemon_at
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.pause import PauseResult

NameArgument = Annotated[str, typer.Argument(help="The source or sink.")]
TablesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables of the source, instead of all of it.")
]
KindOption = Annotated[
    str | None, typer.Option(metavar="source|sink", help="Which one, if a source and a sink have that name.")
]


def pause(
    name: NameArgument,
    tables: TablesArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    kind: KindOption = None,
    daemon: DaemonOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pause a source, a sink or tables until `cdc resume`, even after a restart.

    A paused source is not read: the database keeps its changes. The changes of a paused sink wait in the log.
    """
    found = daemon_at(daemon, token_file, config, as_json=as_json)
    _show(found.pause(name, tables or [], kind), "paused", as_json=as_json)


def resume(
    name: NameArgument,
    tables: TablesArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    kind: KindOption = None,
    daemon: DaemonOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resume what `cdc pause` has paused."""
    found = daemon_at(daemon, token_file, config, as_json=as_json)
    _show(found.resume(name, tables or [], kind), "resumed", as_json=as_json)


def _show(result: PauseResult, done: str, *, as_json: bool) -> None:
    if as_json:
        document = {
            result.kind: result.name,
            "tables": result.tables or None,
            done: True,
            "changed": result.changed,
            "daemon": result.running,
            "taken": result.taken,
        }
        print_json(document)
        return
    target = result.subject
    was = "" if result.changed else "already " if done == "paused" else "not paused, "
    if not result.changed and done == "resumed":
        say(f"{target} is not paused.")
        return
    say(f"{target} is {was}{done}." if result.taken or not result.running else f"{target} will be {done}.")
    if not result.running:
        say("No daemon is running: `cdc run` follows it when it starts.")
    elif not result.taken:
        say("The daemon has not finished its current work yet. `cdc status` shows when it has.")
