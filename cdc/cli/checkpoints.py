"""`cdc checkpoints`: the places in the logs that a replay can name."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc.cli.daemon import DaemonOption, TokenFileOption, daemon_at
from cdc.cli.output import print_json, print_table
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.readable import show_count, show_time

# A screenful; --limit gives more.
DEFAULT_LIMIT = 20


def checkpoints(
    source: Annotated[str | None, typer.Argument(help="The source. Default: all sources.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="COUNT", min=1, help="Show at most this many.")
    ] = DEFAULT_LIMIT,
    daemon: DaemonOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the places to replay from, newest first."""
    found = daemon_at(daemon, token_file, config, as_json=as_json).checkpoints(source, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            point["id"],
            point["source"],
            show_time(point["at"]),
            show_count(point["offset"]),
            point["position"],
            "yes" if point["in_log"] else "no longer",
        )
        for point in found
    ]
    print_table(("id", "source", "at", "offset", "position", "in the log"), rows, right=("offset",))
