"""A sink's capabilities: `cdc check`, `cdc connectors` and the sink's page show them, the engine obeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from cdc.units import format_duration, format_size

# Large enough for well-filled Parquet row groups and few transactions.
DEFAULT_FLUSH_ROWS = 500_000
# Fits in memory twice (one flush on its way, one growing) under the 400 MiB that the daemon promises.
DEFAULT_FLUSH_BYTES = 128 * 1024**2
# A second is what people call live; a sink that makes a file per flush declares more.
DEFAULT_FLUSH_INTERVAL_SECONDS = 1.0
# A part costs a sink some fixed work a table, and about three times its size in memory (Arrow, keys and sort
# indices): below this the first shows, above it the second.
DEFAULT_PART_BYTES = 4 * 1024**2


class Atomicity(StrEnum):
    """The part of a delivery that becomes visible in one step."""

    ALL_TABLES = "all tables"
    ONE_TABLE = "one table"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When waiting changes are delivered to a sink: whichever limit is reached first."""

    rows: int = DEFAULT_FLUSH_ROWS
    bytes: int = DEFAULT_FLUSH_BYTES
    interval_seconds: float = DEFAULT_FLUSH_INTERVAL_SECONDS


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`modes` and `deletes` are the values of the options of these names; without `deletes` a delete is kept
    as a change. `transactional_ddl`: a changed schema becomes visible together with the rows that need it.

    The engine flushes by `flush` where the configuration says nothing, never more often than
    `smallest_interval_seconds`, and gives parts of `part_bytes` where its memory allows that.
    """

    modes: tuple[str, ...]
    deletes: tuple[str, ...]
    atomic: Atomicity
    transactional_ddl: bool
    flush: FlushPolicy = field(default_factory=FlushPolicy)
    smallest_interval_seconds: float = 0.0
    part_bytes: int = DEFAULT_PART_BYTES

    def obeyed(self, wanted: FlushPolicy) -> FlushPolicy:
        """Return the policy that the engine follows if this one is configured."""
        return replace(wanted, interval_seconds=max(wanted.interval_seconds, self.smallest_interval_seconds))

    def facts(self) -> Mapping[str, str]:
        """Return the capabilities as text for people, the same everywhere."""
        flush = self.flush
        return {
            "modes": ", ".join(self.modes),
            "deletes": ", ".join(self.deletes) or "kept as changes",
            "atomic": self.atomic.value,
            "schema changes": "with their rows" if self.transactional_ddl else "before their rows",
            "flush": f"{flush.rows:,} rows, {format_size(flush.bytes)} or "
            f"{format_duration(timedelta(seconds=flush.interval_seconds))}",
            "smallest flush interval": format_duration(timedelta(seconds=self.smallest_interval_seconds)),
        }


@runtime_checkable
class OwnsPlaces(Protocol):
    """Options of a sink whose targets no other sink may write to."""

    def places(self) -> Mapping[str, str]:
        """Return the targets by the option that names each: a path, relative to the configuration's folder,
        or a URL.
        """
        ...


@runtime_checkable
class HasMode(Protocol):
    """Options of a sink that says how it keeps rows: one of `Capabilities.modes`."""

    @property
    def mode(self) -> str: ...
