"""Remove what a source has made in its database, for an operator who is done with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from cdc.control.composition import open_database
from cdc.control.status import daemon_of
from cdc.control.stored import log_identity
from cdc.errors import CdcError, StateError
from cdc.spi import LeavesObjects, Leftover
from cdc_config import Configuration, ConfiguredSource


def leftovers_of(configuration: Configuration, source: ConfiguredSource) -> list[Leftover]:
    """Return what the source has made in its database; nothing for a source that makes nothing.

    Raises:
        StateError: the daemon runs.
        CdcError: as `LeavesObjects.leftovers`, or the database cannot be reached.
    """
    daemon = daemon_of(configuration)
    if daemon.running:
        raise StateError(
            f"the daemon reads this source (process {daemon.pid})",
            where=f"sources.{source.name}",
            remedy=f"Stop the daemon first: kill {daemon.pid}",
        )
    with closing(open_database(source, log_identity(configuration, source.name))) as opened:
        return [*opened.leftovers()] if isinstance(opened, LeavesObjects) else []


def removals(
    configuration: Configuration, source: ConfiguredSource, found: list[Leftover]
) -> Iterator[tuple[Leftover, CdcError | None]]:
    """Remove each, and yield it with the error that kept it; one that stays does not keep the next."""
    with closing(open_database(source, log_identity(configuration, source.name))) as opened:
        assert isinstance(opened, LeavesObjects)  # It has named them.
        for leftover in found:
            try:
                opened.remove(leftover)
            except CdcError as error:
                remedy = f"As its owner, or as a superuser, run: {leftover.statement};"
                yield leftover, CdcError(error.message, where=error.where, remedy=remedy)
            else:
                yield leftover, None
