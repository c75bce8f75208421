"""`cdc replay SINK --from PLACE`."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc.cli.configured import open_for_state
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.composition import pick_sink
from cdc.control.places import HELP
from cdc.control.replay import Replay, plan_replay, send_back, source_of, wait_until_applied
from cdc.control.status import daemon_of
from cdc.errors import StateError


def replay(
    sink: Annotated[str, typer.Argument(help="The sink to rewind.")],
    start: Annotated[str, typer.Option("--from", metavar="PLACE", help=f"Where to start: {HELP}.")],
    config: ConfigOption = DEFAULT_CONFIG,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="The source. Optional if the sink has only one.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the sink has caught up again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rewind a sink to an earlier place in the log.

    The sink applies all later changes again. At the end it equals a sink that was never rewound.
    """
    configuration = open_for_state(config, as_json=as_json)
    chosen = pick_sink(configuration, sink, "replay SINK")
    task = plan_replay(configuration, chosen, source_of(chosen, source, "--source"), start, "--from")
    running = daemon_of(configuration).running
    if wait and not running:
        remedy = "Omit --wait. The sink catches up when `cdc run` starts."
        raise StateError("no daemon is running to apply the changes again", where="--wait", remedy=remedy)
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
    say(f"{task.sink.name} is rewound to {place}: {count:,} changes to apply again.")
    if not running:
        say("`cdc run` applies them when it starts.")
    elif not taken:
        say(
            "The daemon has not started the replay yet. It starts when the sink works again (see `cdc "
            "status`)."
        )
