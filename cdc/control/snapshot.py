"""Snapshot requests: copy tables again, or for the first time, into all sinks or one.

The state stores the request: a running daemon accepts it within seconds, otherwise the next one at its start.
"""

from __future__ import annotations

import difflib
import shlex
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass

from cdc.control import storage
from cdc.control.composition import open_source, pick_sink, pick_source, silent
from cdc.control.status import daemon_of
from cdc.control.stored import open_log
from cdc.engine.ledger import TableBook
from cdc.errors import CdcError, ConfigError, SourceRefused
from cdc.model import TableId
from cdc.spi import CopyRequest, StateReader
from cdc.spi.status import StatusDocument
from cdc_config import Configuration, ConfiguredSource

# A daemon that copies nothing else takes a request within a second; after this long the command says that it
# waits for the copies under way.
TAKEN_SECONDS = 15.0
POLL_SECONDS = 0.2
# So many near names are as many as help.
NEAR_NAMES = 3
# Names of one schema are half alike already.
LIKENESS = 0.8


@dataclass(frozen=True, slots=True)
class RequestedCopy:
    """A request for a copy; `tables` None means all tables of the source, `sink` None all sinks."""

    source: str
    tables: tuple[TableId, ...] | None
    sink: str | None


@dataclass(frozen=True, slots=True)
class CopyParameters:
    """Names that the caller's users have for the parts of a request; errors use them as places."""

    source: str
    table: str
    sink: str


@dataclass(frozen=True, slots=True)
class CopyResult(StatusDocument):
    """A stored request with its number; tables are named as people read them, None are all.

    `running` says whether a daemon runs, `taken` whether it has started the copy.
    """

    request: int
    source: str
    tables: list[str] | None
    sink: str | None
    running: bool
    taken: bool


def ask_for_copy(configuration: Configuration, requested: RequestedCopy) -> CopyResult:
    """Store the request, and wait a few seconds for a running daemon to accept it.

    Raises:
        SourceRefused: the daemon refused it.
        StateError: there is no state yet.
    """
    running = daemon_of(configuration).running
    with closing(storage.state(configuration).reader()) as state:
        number = _leave(state, requested)
        request = _await(state, number) if running else state.copy_request(number)
    if request is not None and request.error:
        raise SourceRefused(request.error, where=f"sources.{requested.source}", remedy="cdc status")
    taken = request is not None and (request.taken_at or request.finished_at) is not None
    tables = None if requested.tables is None else [str(table) for table in requested.tables]
    return CopyResult(number, requested.source, tables, requested.sink, running, taken)


def requested_copy(
    configuration: Configuration, names: Sequence[str], sink: str | None, parameters: CopyParameters
) -> RequestedCopy:
    """Return the request that `names` describe: a source (optional if there is only one), then its tables.

    Raises:
        ConfigError: a name is not a source, a selected table or a sink.
    """
    # A source's name has no dot, a table's always has one.
    has_source = bool(names) and "." not in names[0]
    if has_source and names[0] not in configuration.sources:
        _refuse_bare_table(configuration, names[0], parameters.source)
    source = pick_source(configuration, names[0] if has_source else None, parameters.source)
    wanted = names[1:] if has_source else names
    if sink is not None:
        chosen = pick_sink(configuration, sink, parameters.sink)
        if source.name not in chosen.sources:
            message = f"the sink {sink!r} takes no changes from {source.name!r}"
            remedy = f"Name one of its sources: {', '.join(chosen.sources)}."
            raise ConfigError(message, where=parameters.sink, remedy=remedy)
    if not wanted:
        return RequestedCopy(source.name, None, sink)
    known = _tables(configuration, source)
    return RequestedCopy(
        source.name, tuple(pick_table(name, known, source.name, parameters.table) for name in wanted), sink
    )


def _refuse_bare_table(configuration: Configuration, name: str, where: str) -> None:
    """Raise ConfigError if `name` is the name of a table without its schema, not that of a source."""
    for source in configuration.sources.values():
        try:
            known = _tables(configuration, source)
        except CdcError:
            continue  # The name is reported as that of an unknown source.
        found = sorted(str(table) for table in known if table.name == name)
        if found:
            commands = [shlex.join(("cdc", "snapshot", source.name, table)) for table in found]
            raise ConfigError(
                f"there is no source {name!r}, and a table needs its schema",
                where=where,
                remedy=f"Did you mean: {' or '.join(commands)}",
            )


def _tables(configuration: Configuration, source: ConfiguredSource) -> Collection[TableId]:
    """The source's selected tables; those of the log where the source can't be asked now."""
    try:
        with closing(open_source(source, silent)) as opened:
            return {schema.table for schema in opened.discover()}
    except CdcError:
        captured = {table for table, _ in _book(configuration, source.name).items()}
        if not captured:
            raise
        return captured


def _book(configuration: Configuration, source: str) -> TableBook:
    try:
        return _stored_book(configuration, source)
    except CdcError:
        return TableBook()


def captured_tables(configuration: Configuration, source: str) -> Collection[TableId]:
    """Return the tables of the source's log.

    Raises:
        StateError: there is no log yet.
    """
    return {table for table, _ in _stored_book(configuration, source).items()}


def _stored_book(configuration: Configuration, source: str) -> TableBook:
    with closing(open_log(configuration, source)) as log:
        return TableBook.from_metadata(log.metadata)


def pick_table(name: str, known: Collection[TableId], source: str, where: str) -> TableId:
    """Return the table of that name; ConfigError with near names if there is none, or several."""
    found = [table for table in known if name in (str(table), f"{table.schema}.{table.name}")]
    if len(found) == 1:
        return found[0]
    if found:
        message = f"{name!r} is the name of several tables"
        remedy = f"Write it as one of {', '.join(sorted(map(str, found)))}."
        raise ConfigError(message, where=where, remedy=remedy)
    near = sorted(str(table) for table in known if table.name == name) or difflib.get_close_matches(
        name, [str(table) for table in known], n=NEAR_NAMES, cutoff=LIKENESS
    )
    remedy = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else f"Add it to `tables` of sources.{source}, then run: cdc reload"
    )
    raise ConfigError(f"the source has no selected table {name!r}", where=where, remedy=remedy)


def _leave(state: StateReader, requested: RequestedCopy) -> int:
    """Leave the request; the same one again, if it waits already, is not asked for twice."""
    for request in state.unfinished_copies(requested.source):
        if (request.tables, request.sink, request.taken_at) == (requested.tables, requested.sink, None):
            return request.id
    return state.request_copy(requested.source, requested.tables, requested.sink)


def _await(state: StateReader, number: int) -> CopyRequest | None:
    """The request once the daemon has taken or refused it, or as it is when the time is up."""
    deadline = time.monotonic() + TAKEN_SECONDS
    while True:
        request = state.copy_request(number)
        done = request is None or request.taken_at is not None or request.finished_at is not None
        if done or time.monotonic() > deadline:
            return request
        time.sleep(POLL_SECONDS)
