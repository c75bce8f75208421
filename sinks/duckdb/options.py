"""What a `type: duckdb` sink can be told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cdc.spi.units import Duration, Size

Mode = Literal["mirror", "append", "history"]
Deletes = Literal["hard", "soft"]
SchemaChanges = Literal["evolve", "freeze", "stop"]

# The daemon stays under 400 MiB: some 150 MiB are Python, Arrow and the batch in hand, the rest is for DuckDB, which
# overshoots its limit by a few tens of MiB (allocator, Arrow scans). Larger work spills beside the database file.
DEFAULT_MEMORY_LIMIT_BYTES = 120 * 2**20
# Below this DuckDB can't hold the row group that it is writing (122,880 rows) and fails instead of spilling.
SMALLEST_MEMORY_LIMIT_BYTES = 64 * 2**20
# A second thread gained 10 % on upserts here and costs a second set of buffers; the capture thread needs that core.
DEFAULT_THREADS = 1
# A copy costs a checkpoint and, without reflinks, a read and a write of the whole file.
DEFAULT_PUBLISH_INTERVAL = timedelta(minutes=5)
MOST_THREADS = 256


class Publish(BaseModel):
    """A consistent read-only copy of the file for other programs, which can't open the live one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(
        description="Where the copy goes; replaced atomically. Put it on the same file system."
    )
    interval: Duration = Field(
        default=DEFAULT_PUBLISH_INTERVAL, description="The least time between two copies."
    )


class Options(BaseModel):
    """The options of a DuckDB sink."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(description="The database file; created when missing, in a folder that exists.")
    mode: Mode = Field(
        default="mirror",
        description="mirror: the source's rows as they are now; append: every change; history: every version of each row.",
    )
    deletes: Deletes = Field(
        default="hard", description="hard: rows go; soft: they stay, marked `_cdc_deleted` (mirror only)."
    )
    schema_changes: SchemaChanges = Field(
        default="evolve",
        description="evolve: alter the tables; freeze: leave them, ignore new columns; stop: refuse and wait.",
    )
    memory_limit: Size = Field(
        default=DEFAULT_MEMORY_LIMIT_BYTES, description="What DuckDB may use before it spills to disk."
    )
    threads: int = Field(default=DEFAULT_THREADS, ge=1, le=MOST_THREADS, description="DuckDB's own threads.")
    publish: Publish | None = Field(default=None, description="A copy of the file for readers.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.memory_limit < SMALLEST_MEMORY_LIMIT_BYTES:
            raise ValueError("memory_limit must be at least 64MiB: DuckDB can't work with less")
        if self.deletes == "soft" and self.mode != "mirror":
            raise ValueError(f"deletes: soft is for mode mirror; mode {self.mode} keeps deletes anyway")
        if self.publish is not None and self.publish.path.resolve() == self.path.resolve():
            raise ValueError("publish.path must differ from path: the copy would replace the database")
        return self
