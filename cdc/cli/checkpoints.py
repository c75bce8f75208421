"""`cdc checkpoints`: the places in the logs that a replay can name."""

from __future__ import annotations

from typing import Annotated

import typer

from cdc.cli.configured import open_for_state
from cdc.cli.output import print_json, print_table
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.composition import pick_source
from cdc.control.stored import kept_checkpoints
from cdc.readable import show_count, show_time

# A screenful; --limit gives more.
DEFAULT_LIMIT = 20


def checkpoints(
    source: Annotated[str | None, typer.Argument(help="The source. Default: all sources.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="COUNT", min=1, help="Show at most this many.")
    ] = DEFAULT_LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List the places to replay from, newest first."""
    configuration = open_for_state(config, as_json=as_json)
    name = None if source is None else pick_source(configuration, source, "checkpoints SOURCE").name
    found = kept_checkpoints(configuration, name, limit)
    if as_json:
        print_json(
            [
                {
                    "id": f"c{point.id}",
                    "source": point.source,
                    "offset": point.offset,
                    "position": str(point.position),
                    "at": point.at,
                    "in_log": is_in_log,
                }
                for point, is_in_log in found
            ]
        )
        return
    rows = [
        (
            f"c{point.id}",
            point.source,
            show_time(point.at),
            show_count(point.offset),
            str(point.position),
            "yes" if is_in_log else "no longer",
        )
        for point, is_in_log in found
    ]
    print_table(("id", "source", "at", "offset", "position", "in the log"), rows, right=("offset",))
