"""The keys that the engine reads; all others of a source or sink belong to its plug-in's own `Options`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cdc.spi.units import Duration, Size

# Lower case and underscores: a name is at once a folder, a part of a Postgres slot name and a value in SQL;
# 48 leaves room for prefixes in Postgres' 63.
NAME_PATTERN = r"[a-z][a-z0-9_]{0,47}"

# Beside the configuration, visible, and ignored by our .gitignore.
DEFAULT_STATE_DIR = "./cdc-data"

# Files for the owner and to read for the group, nothing for others.
DEFAULT_UMASK = "027"
# Octal; the owner keeps all rights.
UMASK_PATTERN = r"0?0[0-7]{2}"

# A copy of what is there already is what nearly everyone wants first.
DEFAULT_SNAPSHOT: Literal["initial"] = "initial"
# What is fsynced in our log is safe, and no sink's outage fills the production disk.
DEFAULT_ACKNOWLEDGE: Literal["log"] = "log"
# Lost changes are shown to an operator before anything is copied again.
DEFAULT_ON_GAP: Literal["fail"] = "fail"

# A week survives a long weekend's outage of a sink and allows replay from last Monday.
DEFAULT_RETAIN_AGE = timedelta(days=7)
# What a small machine's disk has to spare.
DEFAULT_RETAIN_BYTES = 20 * 1024**3

# A new sink is whole without anyone's doing, as it is while the log has its beginning.
DEFAULT_BACKFILL: Literal["snapshot"] = "snapshot"
# Large enough for well-filled Parquet row groups and few DuckDB transactions.
DEFAULT_FLUSH_ROWS = 500_000
# Fits in memory twice (one flush on its way, one growing) under the 400 MiB that the daemon promises.
DEFAULT_FLUSH_BYTES = 128 * 1024**2
# A second is what people call live; a sink that makes a file per flush wants more.
DEFAULT_FLUSH_INTERVAL = timedelta(seconds=1)


class _Section(BaseModel):
    """A mapping of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RetainSettings(_Section):
    """How much of the log stays for replay after every sink has it; whichever limit is reached first."""

    age: Duration = Field(DEFAULT_RETAIN_AGE, description="Keep changes at least this long.")
    size: Size = Field(DEFAULT_RETAIN_BYTES, description="Keep at most this much.")


class LogSettings(_Section):
    """The durable log of one source."""

    retain: RetainSettings = Field(RetainSettings(), description="How long changes stay in the log.")


class SourceSettings(_Section):
    """What the engine reads of a source."""

    type: str = Field(min_length=1, description="An installed connector, or `package.module:Class`.")
    snapshot: Literal["initial", "never", "only"] = Field(
        DEFAULT_SNAPSHOT, description="Copy existing rows first, never, or copy and stop."
    )
    acknowledge: Literal["log", "sinks"] = Field(
        DEFAULT_ACKNOWLEDGE,
        description="When the source may forget a change: durable in our log, or in all sinks.",
    )
    on_gap: Literal["fail", "resnapshot"] = Field(
        DEFAULT_ON_GAP, description="What follows when the source no longer has what comes after our log."
    )
    log: LogSettings = Field(LogSettings(), description="The durable log.")


class FlushSettings(_Section):
    """When a sink is given what waits for it; whichever limit is reached first."""

    rows: int = Field(DEFAULT_FLUSH_ROWS, ge=1, description="At this many rows.")
    size: Size = Field(DEFAULT_FLUSH_BYTES, ge=1, description="At this many bytes in memory.")
    interval: Duration = Field(
        DEFAULT_FLUSH_INTERVAL, description="At this age of the oldest change; 0s: at once."
    )


class SinkSettings(_Section):
    """What the engine reads of a sink. `sources` is the key `from`."""

    type: str = Field(min_length=1, description="An installed sink, or `package.module:Class`.")
    sources: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, alias="from", description="The sources to take changes from; may be left out when there is one."
    )
    flush: FlushSettings = Field(FlushSettings(), description="When to write.")
    backfill: Literal["snapshot", "log", "fail"] = Field(
        DEFAULT_BACKFILL,
        description="When the log no longer has the changes that the sink needs: copy all tables for it, "
        "begin with what the log has, or fail.",
    )
