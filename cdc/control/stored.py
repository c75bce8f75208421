"""Read access to the logs and checkpoints under `state_dir`, whether a daemon runs or not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from cdc.control.composition import open_source, silent
from cdc.control.places import Finder
from cdc.engine.identity import starts_in
from cdc.errors import CdcError
from cdc.log import LogView
from cdc.model import Position
from cdc.spi import Checkpoint, LogIdentity
from cdc.state import StateReader
from cdc_config import Configuration, ConfiguredSource


def log_folder(configuration: Configuration, source: str) -> Path:
    """Return the folder of that source's log."""
    return configuration.state_dir / "log" / source


def log_view(configuration: Configuration, source: str) -> LogView:
    """Open the source's log for reading; StateError if there is none yet."""
    return LogView(log_folder(configuration, source))


def log_identity(configuration: Configuration, source: str) -> LogIdentity | None:
    """What that source's log is known by; None where it can't be read, which is reported elsewhere."""
    if not log_folder(configuration, source).is_dir():
        return LogIdentity("", 0, is_new=True)
    try:
        log = log_view(configuration, source)
    except CdcError:
        return None
    return LogIdentity(log.identity, starts_in(log.metadata), is_new=log.end is None)


def kept_checkpoints(
    configuration: Configuration, source: str | None, limit: int
) -> list[tuple[Checkpoint, bool]]:
    """The newest checkpoints of that source, or of all, each with whether it is still in the log."""
    with closing(StateReader(configuration.state_dir)) as state:
        found = state.checkpoints(source, limit)
    starts = {name: _start(configuration, name) for name in {point.source for point in found}}
    return [(point, point.offset >= starts[point.source]) for point in found]


def _start(configuration: Configuration, source: str) -> int:
    return log_view(configuration, source).start if log_folder(configuration, source).is_dir() else 0


def finder(configuration: Configuration, source: ConfiguredSource, log: LogView, where: str) -> Finder:
    """Return a finder of places in that source's log; `where` names the option in messages."""

    def checkpoint(number: int) -> int | None:
        with closing(StateReader(configuration.state_dir)) as state:
            found = state.checkpoint(number)
        return found.offset if found and found.source == source.name else None

    def position(text: str) -> Position:
        with closing(open_source(source, silent)) as opened:
            return opened.position(text)

    return Finder(log, where, checkpoint, position)
