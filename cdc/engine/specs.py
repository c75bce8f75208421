"""What the engine runs: plain frozen values that the composition root makes from the config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from cdc.spi import Sink, SinkContext, Source, SourceContext

SnapshotMode = Literal["initial", "never", "only"]
AcknowledgeMode = Literal["log", "sinks"]
GapMode = Literal["fail", "resnapshot"]
BackfillMode = Literal["snapshot", "log", "fail"]

# Two readers keep one core of a small source busy and leave the other to its users;
# more rarely help below 8 cores.
DEFAULT_SNAPSHOT_WORKERS = 2
# Large enough for well-filled Parquet row groups and few DuckDB transactions,
# small enough to fit in memory twice.
DEFAULT_FLUSH_ROWS = 500_000
DEFAULT_FLUSH_BYTES = 128 * 1024 * 1024
# A second is what people call live; sinks that make a file per flush set it higher.
DEFAULT_FLUSH_INTERVAL_SECONDS = 1.0
# A week survives a long weekend's outage of a sink and allows replay from last Monday.
DEFAULT_RETAIN_AGE = timedelta(days=7)
DEFAULT_RETAIN_BYTES = 20 * 1024**3


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When a sink is given what waits for it: whichever limit is reached first."""

    rows: int = DEFAULT_FLUSH_ROWS
    bytes: int = DEFAULT_FLUSH_BYTES
    interval_seconds: float = DEFAULT_FLUSH_INTERVAL_SECONDS


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the log keeps what every sink has: until older than `age` or larger than `bytes`."""

    age: timedelta = DEFAULT_RETAIN_AGE
    bytes: int = DEFAULT_RETAIN_BYTES


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source of the configuration."""

    name: str
    make: Callable[[SourceContext], Source]
    snapshot: SnapshotMode = "initial"
    acknowledge: AcknowledgeMode = "log"
    on_gap: GapMode = "fail"
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
    backfill: BackfillMode = "snapshot"


def effective_backfill(snapshot: str, backfill: BackfillMode) -> BackfillMode:
    """Return what a sink does whose history the log no longer has. Where nothing is ever copied by itself
    (`snapshot: never`), a new sink has what the stream brings.
    """
    return "log" if snapshot == "never" and backfill == "snapshot" else backfill
