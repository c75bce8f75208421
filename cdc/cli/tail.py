"""`cdc tail`: changes from the log as JSON lines, beside the daemon or without it."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from typing import Annotated

import numpy as np
import typer

from cdc.cli.configured import open_for_state
from cdc.cli.lines import to_lines
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.composition import pick_source
from cdc.control.places import HELP
from cdc.control.stored import finder, open_log
from cdc.errors import ConfigError
from cdc.model import ChangeBatch, Commit, TableId
from cdc.spi import LogReader
from cdc_config.problem import did_you_mean

# As tail(1) does.
DEFAULT_LINES = 10
# A commit up to this size is put in `_cdc_seq` order over all its tables before it is printed; nearly all are
# far smaller.
SORT_BYTES = 64 * 1024 * 1024
# Looking for the newest changes of some tables begins with so many offsets; each further look takes twice as
# many, so that a rare table costs one pass over the log.
FIRST_LOOK = 1024
# How long one wait for more lasts; a log that is quiet is waited for again.
FOLLOW_SECONDS = 1.0


def tail(
    source: Annotated[str | None, typer.Argument(help="The source. Optional if there is only one.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    start: Annotated[
        str | None, typer.Option("--from", metavar="PLACE", help=f"Where to start: {HELP}.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new changes.")] = False,
    table: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only these tables (globs on schema.table).")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", metavar="COUNT", min=1, help="Stop after this many changes."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print changes as JSON lines.

    They come from the durable log: the newest 10 (or --limit), or those from --from on.
    """
    configuration = open_for_state(config, as_json=as_json)
    chosen = pick_source(configuration, source, "tail SOURCE")
    with closing(open_log(configuration, chosen.name)) as log:
        tables = table or ["*"]
        if log.tables or not follow:  # Tables of a log that has none yet may still come.
            _check_tables(log, table or ())
        if start is None:
            lines = DEFAULT_LINES if limit is None else limit
            first = newest(log, tables, lines)
            limit = limit if follow else None
        else:
            first = finder(configuration, chosen, log, "--from").offset(start)
        changes = _changes(log, first, follow=follow)
        _print(chosen.name, changes, first, tables, limit)


def _end(log: LogReader) -> int:
    return log.end.next if log.end else log.start


def _check_tables(log: LogReader, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        if not any(_is_wanted(table, [pattern]) for table in log.tables):
            remedy = (
                did_you_mean(pattern, [str(table) for table in log.tables]) or "The log has no table yet."
            )
            raise ConfigError(f"no table in the log matches {pattern!r}", where="--table", remedy=remedy)


def newest(log: LogReader, patterns: Sequence[str], count: int, first_look: int = FIRST_LOOK) -> int:
    """Return the offset where the newest `count` changes of these tables begin; the log's start if there are
    fewer.

    The first look reads `first_look` offsets, or `count` if that is more.
    """
    found = np.empty(0, np.int64)
    end, look = _end(log), max(count, first_look)
    while end > log.start and len(found) < count:
        begin = next(log.commits(max(log.start, end - look))).first
        for batch in log.read(begin, end):
            if _is_wanted(batch.table, patterns):
                found = np.sort(np.concatenate([found, batch.seq.to_numpy()]))[-count:]
        end, look = begin, look * 2
    return int(found[0]) if len(found) == count else log.start


def _is_wanted(table: TableId, patterns: Sequence[str]) -> bool:
    """Return whether a pattern matches the name as it is printed, quotes and all, or as it is."""
    names = (str(table), f"{table.schema}.{table.name}")
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _changes(log: LogReader, first: int, *, follow: bool) -> Iterator[list[ChangeBatch]]:
    """Batches that belong in one order, from the commit that holds `first` on."""
    place = first
    while True:
        for commit in log.commits(place) if _end(log) > place else ():
            yield from _ordered(log, commit)
            place = commit.next
        if not follow:
            return
        sys.stdout.flush()
        while not log.wait(place, FOLLOW_SECONDS):
            pass


def _ordered(log: LogReader, commit: Commit) -> Iterator[list[ChangeBatch]]:
    if commit.first == commit.next:
        return
    batches = log.read(commit.first, commit.next)
    if commit.byte_count <= SORT_BYTES:
        yield list(batches)
        return
    for batch in batches:
        yield [batch]


def _print(
    source: str, groups: Iterator[list[ChangeBatch]], first: int, tables: Sequence[str], limit: int | None
) -> None:
    printed = 0
    for batches in groups:
        wanted = [batch for batch in batches if _is_wanted(batch.table, tables)]
        streams = [zip(b.seq.to_pylist(), to_lines(b, source), strict=True) for b in wanted]
        for seq, line in heapq.merge(*streams, key=lambda pair: pair[0]):
            if seq < first:
                continue
            sys.stdout.write(line.decode())
            printed += 1
            if printed == limit:
                sys.stdout.flush()
                return
    sys.stdout.flush()
