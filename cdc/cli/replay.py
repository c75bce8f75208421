"""`cdc replay SINK --from PLACE`."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc.cli.daemon import DaemonOption, TokenFileOption, daemon_at
from cdc.cli.output import print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.places import HELP
from cdc.control.replay import ReplayResult


def replay(
    sink: Annotated[str, typer.Argument(help="The sink to rewind.")],
    start: Annotated[str, typer.Option("--from", metavar="PLACE", help=f"Where to start: {HELP}.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="The source. Optional if the sink has only one.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the sink has caught up again.")] = False,
    daemon: DaemonOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rewind a sink to an earlier place in the log.

    The sink applies all later changes again. At the end it equals a sink that was never rewound.
    """
    found = daemon_at(daemon, token_file, config, as_json=as_json)
    _show(found.replay(sink, start, source, wait=wait), as_json=as_json)


def _show(result: ReplayResult, *, as_json: bool) -> None:
    if as_json:
        document = result.document()
        print_json(document | {"daemon": document.pop("running")})
        return
    count = result.log_end - result.offset
    place = f"offset {result.offset:,} of {result.source}"
    say(f"{result.sink} is rewound to {place}: {count:,} changes to apply again.")
    if not result.running:
        say("`cdc run` applies them when it starts.")
    elif not result.taken:
        say(
            "The daemon has not started the replay yet. It starts when the sink works again (see `cdc "
            "status`)."
        )
