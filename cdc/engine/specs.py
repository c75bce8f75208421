"""Specifications of what the engine runs: frozen values that the composition root creates from the config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from cdc.defaults import (
    DEFAULT_ACKNOWLEDGE,
    DEFAULT_BACKFILL,
    DEFAULT_ON_GAP,
    DEFAULT_RETAIN_AGE,
    DEFAULT_RETAIN_BYTES,
    DEFAULT_SNAPSHOT,
    DEFAULT_SNAPSHOT_WORKERS,
    AcknowledgeMode,
    BackfillMode,
    GapMode,
    SnapshotMode,
)
from cdc.spi import FlushPolicy, Sink, SinkContext, Source, SourceContext
from cdc.spi.capabilities import DEFAULT_PART_BYTES
from cdc.spi.sink import DEFAULT_MEMORY_BYTES

# What deliveries may hold in memory beside the sinks' own limits, together: with capture and the code this
# stays under the 400 MiB that the daemon promises, however many sinks there are.
DELIVERIES_MEMORY_BYTES = 192 * 1024**2
# A part in the making, the one being staged, and what staging makes of it, several times over.
PARTS_IN_MEMORY = 16


def delivery_memory(deliveries: int) -> int:
    """Return what each of so many deliveries may hold in memory."""
    return min(DEFAULT_MEMORY_BYTES, DELIVERIES_MEMORY_BYTES // max(1, deliveries))


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the log keeps changes that every sink has: until older than `age` or larger than `bytes`."""

    age: timedelta = DEFAULT_RETAIN_AGE
    bytes: int = DEFAULT_RETAIN_BYTES


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source of the configuration."""

    name: str
    make: Callable[[SourceContext], Source]
    snapshot: SnapshotMode = DEFAULT_SNAPSHOT
    acknowledge: AcknowledgeMode = DEFAULT_ACKNOWLEDGE
    on_gap: GapMode = DEFAULT_ON_GAP
    retention: Retention = field(default_factory=Retention)
    snapshot_workers: int = DEFAULT_SNAPSHOT_WORKERS
    accept_identity: bool = False
    takes_over: bool = False


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """One sink of the configuration, with the sources that it takes changes from."""

    name: str
    make: Callable[[SinkContext], Sink]
    sources: tuple[str, ...]
    flush: FlushPolicy = field(default_factory=FlushPolicy)
    backfill: BackfillMode = DEFAULT_BACKFILL
    part_bytes: int = DEFAULT_PART_BYTES


def effective_backfill(snapshot: str, backfill: BackfillMode) -> BackfillMode:
    """Return what a sink does whose history the log no longer has. Where nothing is ever copied by itself
    (`snapshot: never`), a new sink has what the stream brings.
    """
    return "log" if snapshot == "never" and backfill == "snapshot" else backfill
