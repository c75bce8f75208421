"""Options of a `type: duckdb` sink."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from cdc.sql import TableOptions
from cdc.sql.publish import Publish
from cdc.units import Size

# The daemon stays under 400 MiB: 130 MiB are Python, Arrow and DuckDB's code, and DuckDB takes up to 50 MiB
# beyond its limit. Deliveries of 3 million rows peaked at 300 MiB in all; larger work spills beside the file.
# The tightest moment is an update of 3 million rows at once into DuckDB and Parquet: 410 with 100 MiB here,
# 404 with 80. A table needs some 0.3 MiB a column: wider ones than 200 columns want more.
DEFAULT_MEMORY_LIMIT_BYTES = 72 * 2**20
# DuckDB can't spill the blocks that it is writing, one or more a column: with less, tables of 100 columns
# fail.
SMALLEST_MEMORY_LIMIT_BYTES = 64 * 2**20
# A second thread gained nothing on upserts into 3 million rows here, and took the core that capture needs.
DEFAULT_THREADS = 1
MOST_THREADS = 256


class Options(TableOptions):
    """The options of a DuckDB sink."""

    path: Path = Field(
        description="The database file. It is created if it is missing; its folder must exist."
    )
    memory_limit: Size = Field(
        default=DEFAULT_MEMORY_LIMIT_BYTES,
        description="The memory that DuckDB may use before it spills to disk.",
    )
    threads: int = Field(
        default=DEFAULT_THREADS, ge=1, le=MOST_THREADS, description="The number of DuckDB's threads."
    )
    publish: Publish | None = Field(
        default=None, description="A read-only copy of the file for other programs."
    )

    def places(self) -> Mapping[str, str]:
        """See `OwnsPlaces.places`."""
        return {"path": str(self.path)}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.memory_limit < SMALLEST_MEMORY_LIMIT_BYTES:
            raise ValueError("memory_limit must be at least 64MiB: DuckDB needs that much")
        if self.publish is not None and self.publish.path.resolve() == self.path.resolve():
            raise ValueError("publish.path must differ from path: the copy would replace the database")
        return self
