"""`cdc replay SINK --from PLACE`."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, open_configuration
from cdc.control.composition import pick_sink
from cdc.control.places import HELP
from cdc.control.replay import Replay, plan_replay, send_back, source_of, wait_until_applied
from cdc.control.status import daemon_of
from cdc.errors import StateError


def replay(
    sink: Annotated[str, typer.Argument(help="The sink to rewind.")],
    start: Annotated[str, typer.Option("--from", help=f"Where to: {HELP}.")],
    config: ConfigOption = DEFAULT_CONFIG,
    source: Annotated[
        str | None, typer.Option(help="Of which source; may be left out when the sink has one.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the sink has everything again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send a sink back to an earlier place.

    It then applies again all that follows, and ends as if it had never been sent back.
    """
    configuration = open_configuration(config)
    chosen = pick_sink(configuration, sink, "replay SINK")
    task = plan_replay(configuration, chosen, source_of(chosen, source, "--source"), start, "--from")
    running = daemon_of(configuration).running
    if wait and not running:
        remedy = "Leave --wait out; the sink catches up when `cdc run` starts."
        raise StateError(
            "no daemon is running that would apply the changes again", where="--wait", remedy=remedy
        )
    taken = send_back(task, running=running)
    if wait and taken:
        wait_until_applied(task, "--wait")
    _show(task, running=running, taken=taken, as_json=as_json)


def _show(task: Replay, *, running: bool, taken: bool, as_json: bool) -> None:
    if as_json:
        result = {
            "sink": task.sink.name,
            "source": task.source,
            "offset": task.offset,
            "log_end": task.end,
            "taken": taken,
        }
        print_json(result | {"daemon": running})
        return
    count = task.end - task.offset
    place = f"offset {task.offset:,} of {task.source}"
    say(f"{task.sink.name} goes back to {place}: {count:,} changes to apply again.")
    if not running:
        say("`cdc run` applies them when it starts.")
    elif not taken:
        say("The daemon has not taken it up yet; it will as soon as this sink works (see `cdc status`).")
