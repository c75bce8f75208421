"""`cdc checkpoints`: the places in the logs that a replay can name."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from cdc.cli.composition import pick_source
from cdc.cli.output import print_json, print_table, show_count, show_time
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, open_configuration
from cdc.cli.stored import log_folder, log_view
from cdc.state import StateReader
from cdc_config import Configuration

# A screenful; --limit gives more.
DEFAULT_LIMIT = 20


def checkpoints(
    source: Annotated[str | None, typer.Argument(help="The source; all when left out.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = DEFAULT_LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List the places to replay from, newest first."""
    configuration = open_configuration(config)
    name = None if source is None else pick_source(configuration, source, "checkpoints SOURCE").name
    with closing(StateReader(configuration.state_dir)) as state:
        found = state.checkpoints(name, limit)
    starts = {source: _start(configuration, source) for source in {point.source for point in found}}
    if as_json:
        print_json(
            [
                {
                    "id": f"c{point.id}",
                    "source": point.source,
                    "offset": point.offset,
                    "position": str(point.position),
                    "at": point.at,
                    "in_log": point.offset >= starts[point.source],
                }
                for point in found
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
            "yes" if point.offset >= starts[point.source] else "no longer",
        )
        for point in found
    ]
    print_table(("id", "source", "at", "offset", "position", "in the log"), rows, right=("offset",))


def _start(configuration: Configuration, source: str) -> int:
    return log_view(configuration, source).start if log_folder(configuration, source).is_dir() else 0
