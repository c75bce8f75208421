"""`cdc log list` and `cdc log verify`: a look inside the durable log."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from cdc.cli.configured import open_for_state
from cdc.cli.output import print_error, print_json, print_table, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, session_of
from cdc.control import storage
from cdc.control.composition import pick_source
from cdc.kit.report import counted
from cdc.readable import show_bytes, show_count, show_time
from cdc.spi import LogPart
from cdc_config import Configuration

app = typer.Typer(
    help="Inspect the durable log.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)

SourceArgument = Annotated[str | None, typer.Argument(help="The source. Default: all sources.")]


@app.command("list")
def list_segments(
    source: SourceArgument = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List the segments with their offsets, sizes, times and positions."""
    configuration = open_for_state(config, as_json=as_json)
    logs = storage.logs(configuration)
    found = []
    for name in _names(configuration, source):
        if logs.exists(name):
            with closing(logs.reader(name)) as log:
                found += [{"source": name, **_describe(segment)} for segment in log.parts]
    if as_json:
        print_json(found)
        return
    columns = ("source", "segment", "first", "next", "commits", "size", "oldest", "newest", "position")
    rows = [
        (
            str(s["source"]),
            Path(s["path"]).name,
            show_count(s["first"]),
            show_count(s["next"]),
            show_count(s["commits"]),
            show_bytes(s["bytes"]),
            show_time(s["oldest_at"]),
            show_time(s["newest_at"]),
            s["position"] or "–",
        )
        for s in found
    ]
    print_table(columns, rows, right=("first", "next", "commits", "size"))


@app.command("verify")
def verify(
    context: typer.Context,
    source: SourceArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Read every frame of the log and check its checksum; exit code 1 when something is damaged."""
    configuration = open_for_state(config, as_json=as_json)
    logs = storage.logs(configuration)
    results: list[dict[str, Any]] = []
    for name in _names(configuration, source):
        if not logs.exists(name):
            continue
        found = logs.verify(name)
        for damage in found.damage:
            print_error(damage, as_json=session_of(context).as_json)
        results.append(
            {
                "source": name,
                "segments": found.part_count,
                "commits": found.commit_count,
                "batches": found.batch_count,
                "bytes": found.byte_count,
                "tail_bytes": found.tail_bytes,
                "damage": [str(damage) for damage in found.damage],
            }
        )
    if as_json:
        print_json(results)
    else:
        for r in results:
            state = f"{len(r['damage'])} DAMAGED" if r["damage"] else "intact"
            counts = f"{counted(r['segments'], 'segment')}, {counted(r['commits'], 'commit')}"
            say(f"{r['source']}: {counts}, {show_bytes(r['bytes'])}: {state}")
    if any(r["damage"] for r in results):
        raise typer.Exit(1)


def _names(configuration: Configuration, source: str | None) -> list[str]:
    if source is None:
        return list(configuration.sources)
    return [pick_source(configuration, source, "log SOURCE").name]


def _describe(segment: LogPart) -> dict[str, Any]:
    oldest, newest = segment.oldest, segment.newest
    return {
        "path": segment.place,
        "first": segment.first,
        "next": segment.next,
        "commits": segment.commit_count,
        "bytes": segment.byte_count,
        "oldest_at": oldest.written_at if oldest else None,
        "newest_at": newest.written_at if newest else None,
        "position": str(newest.position) if newest else None,
    }
