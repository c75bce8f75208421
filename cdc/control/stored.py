"""Read access to the logs and checkpoints of a configuration, whether a daemon runs or not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import Any

from cdc.control import storage
from cdc.control.composition import open_source, silent
from cdc.control.places import Finder
from cdc.engine.identity import starts_in
from cdc.errors import CdcError
from cdc.model import Position
from cdc.spi import Checkpoint, LogIdentity, LogReader
from cdc_config import Configuration, ConfiguredSource


def has_log(configuration: Configuration, source: str) -> bool:
    """Return whether the source has a log."""
    return storage.logs(configuration).exists(source)


def open_log(configuration: Configuration, source: str) -> LogReader:
    """Return the source's log for reading; the caller closes it.

    Raises:
        StateError: there is none yet.
    """
    return storage.logs(configuration).reader(source)


def log_identity(configuration: Configuration, source: str) -> LogIdentity | None:
    """Return the identity of that source's log; None if the log cannot be read: other checks report it."""
    if not has_log(configuration, source):
        return LogIdentity("", 0, is_new=True)
    try:
        with closing(open_log(configuration, source)) as log:
            return LogIdentity(log.identity, starts_in(log.metadata), is_new=log.end is None)
    except CdcError:
        return None


def kept_checkpoints(
    configuration: Configuration, source: str | None, limit: int
) -> list[tuple[Checkpoint, bool]]:
    """The newest checkpoints of that source, or of all, each with whether it is still in the log."""
    with closing(storage.state(configuration).reader()) as state:
        found = state.checkpoints(source, limit)
    starts = {name: _start(configuration, name) for name in {point.source for point in found}}
    return [(point, point.offset >= starts[point.source]) for point in found]


def checkpoint_document(point: Checkpoint, *, in_log: bool) -> dict[str, Any]:
    """As commands and HTTP show it: `at` is a datetime, all else JSON."""
    return asdict(point) | {"id": f"c{point.id}", "position": str(point.position), "in_log": in_log}


def _start(configuration: Configuration, source: str) -> int:
    if not has_log(configuration, source):
        return 0
    with closing(open_log(configuration, source)) as log:
        return log.start


def finder(configuration: Configuration, source: ConfiguredSource, log: LogReader, where: str) -> Finder:
    """Finds places in that source's log; `where` names the option in messages."""

    def checkpoint(number: int) -> int | None:
        with closing(storage.state(configuration).reader()) as state:
            found = state.checkpoint(number)
        return found.offset if found and found.source == source.name else None

    def position(text: str) -> Position:
        with closing(open_source(source, silent)) as opened:
            return opened.position(text)

    return Finder(log, where, checkpoint, position)
