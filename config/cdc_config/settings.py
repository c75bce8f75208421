"""The keys that the engine reads; all others of a source or sink belong to its plug-in's own `Options`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cdc.defaults import (
    DEFAULT_ACKNOWLEDGE,
    DEFAULT_BACKFILL,
    DEFAULT_ON_GAP,
    DEFAULT_RETAIN_AGE,
    DEFAULT_RETAIN_BYTES,
    DEFAULT_SNAPSHOT,
    AcknowledgeMode,
    BackfillMode,
    GapMode,
    SnapshotMode,
)
from cdc.files import DEFAULT_UMASK
from cdc.spi.capabilities import (
    DEFAULT_FLUSH_BYTES,
    DEFAULT_FLUSH_INTERVAL_SECONDS,
    DEFAULT_FLUSH_ROWS,
    FlushPolicy,
)
from cdc.units import Duration, Size

# Lower case and underscores: a name is at once a folder, a part of a Postgres slot name and a value in SQL;
# 48 leaves room for prefixes in Postgres' 63.
NAME_PATTERN = r"[a-z][a-z0-9_]{0,47}"

# A shorter one could be found by trying; `openssl rand -hex 32` prints 64 characters.
MIN_MASK_KEY_LENGTH = 16

# Beside the configuration, visible, and ignored by our .gitignore.
DEFAULT_STATE_DIR = "./cdc-data"

# As the file spells it.
DEFAULT_UMASK_TEXT = f"{DEFAULT_UMASK:03o}"
# Octal; the owner keeps all rights.
UMASK_PATTERN = r"0?0[0-7]{2}"


class _Section(BaseModel):
    """A mapping of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RetainSettings(_Section):
    """How much of the log stays for replay after every sink has it; whichever limit is reached first."""

    age: Duration = Field(DEFAULT_RETAIN_AGE, description="The time for which changes are kept at least.")
    size: Size = Field(DEFAULT_RETAIN_BYTES, description="The most bytes of changes that are kept.")


class LogSettings(_Section):
    """The durable log of one source."""

    retain: RetainSettings = Field(RetainSettings(), description="How long changes stay in the log.")


class SourceSettings(_Section):
    """Keys of a source that the engine reads."""

    type: str = Field(min_length=1, description="An installed connector, or `package.module:Class`.")
    snapshot: SnapshotMode = Field(
        DEFAULT_SNAPSHOT,
        description=(
            "Whether existing rows are copied. initial: copy them, then follow; never: follow "
            "only; only: copy them, then stop."
        ),
    )
    acknowledge: AcknowledgeMode = Field(
        DEFAULT_ACKNOWLEDGE,
        description=(
            "When the source may discard a change. log: once it is durable in the log; sinks: "
            "once all sinks have it."
        ),
    )
    on_gap: GapMode = Field(
        DEFAULT_ON_GAP,
        description=(
            "What to do if the source no longer has the changes that follow the log. fail: "
            "stop; resnapshot: copy all tables again."
        ),
    )
    log: LogSettings = Field(LogSettings(), description="The durable log.")
    # The entries have a model of their own (`cdc_config.load`).
    transforms: tuple[dict[str, Any], ...] = Field(
        (), description="Filters, masks and new names, applied before anything is stored."
    )
    mask_key: SecretStr | None = Field(
        None,
        description=(
            "The secret key of masks, from the environment or a file: ${NAME} or ${file:/run/secrets/x}."
        ),
    )


class FlushSettings(_Section):
    """When a sink is given what waits for it; whichever limit is reached first."""

    # The defaults are those of most sinks; `policy` has each sink's own.
    rows: int = Field(
        DEFAULT_FLUSH_ROWS, ge=1, description="The number of rows at which a delivery is written."
    )
    size: Size = Field(
        DEFAULT_FLUSH_BYTES, ge=1, description="The bytes in memory at which a delivery is written."
    )
    interval: Duration = Field(
        timedelta(seconds=DEFAULT_FLUSH_INTERVAL_SECONDS),
        description="The age of the oldest change at which a delivery is written. 0s: at once.",
    )

    def policy(self, own: FlushPolicy) -> FlushPolicy:
        """Return the policy of these settings, with the sink's `own` for keys that are not set."""
        given = self.model_fields_set
        return FlushPolicy(
            rows=self.rows if "rows" in given else own.rows,
            bytes=self.size if "size" in given else own.bytes,
            interval_seconds=self.interval.total_seconds() if "interval" in given else own.interval_seconds,
        )


class SinkSettings(_Section):
    """Keys of a sink that the engine reads. `sources` is the key `from`."""

    type: str = Field(min_length=1, description="An installed sink, or `package.module:Class`.")
    sources: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None,
        alias="from",
        description="The sources whose changes are delivered. Optional if there is only one.",
    )
    flush: FlushSettings = Field(
        FlushSettings(), description="When a delivery is written. The first limit that is reached counts."
    )
    backfill: BackfillMode = Field(
        DEFAULT_BACKFILL,
        description=(
            "What to do if the log no longer has the changes that the sink needs. snapshot: "
            "copy all tables for it; log: begin with what the log has; fail: stop."
        ),
    )
