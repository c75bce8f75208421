"""One Parquet file in the making: rows are gathered to row groups and encoded into a staged file.

The file is not part of the lake before the sink's commit gives it its final name. Whoever makes a writer
calls `finish` or `abandon`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cdc.model import ChangeBatch, Envelope, TableSchema
from sinks.parquet.columns import (
    description,
    encodings,
    file_batch,
    file_schema,
    has_wide_values,
    wide_arguments,
)
from sinks.parquet.files import sync_file
from sinks.parquet.options import ParquetOptions


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A finished, durable file that waits for its name; `path` is relative to the lake."""

    staged: str
    path: str
    table: str
    schema_version: int
    first: int
    last: int
    rows: int
    byte_count: int


@dataclass(frozen=True, slots=True)
class FilePlace:
    """Where a file's rows belong: a table's partition folder, relative to the lake."""

    folder: str
    schema: TableSchema


class TableFile:
    """Rows of one table, partition and schema version, in `_cdc_seq` order."""

    def __init__(self, path: Path, place: FilePlace, options: ParquetOptions) -> None:
        self.path = path
        self.place = place
        self.buffered_bytes = 0
        self.buffered_rows = 0
        self._options = options
        self._schema = file_schema(place.schema)
        self._batches: list[pa.RecordBatch] = []
        self._writer: Any = None
        self._sink: Any = None
        self._is_wide = False
        self._rows = 0
        self._first = -1
        self._last = -1

    @property
    def is_open(self) -> bool:
        """Whether it holds a file descriptor."""
        return self._writer is not None

    @property
    def encoded_bytes(self) -> int:
        return int(self._sink.tell()) if self._sink is not None else 0

    def add(self, batch: ChangeBatch) -> bool:
        """Gather a batch; full row groups are written.

        Return False for a batch with wide values if the file already has a row group with statistics: it
        belongs into another file.
        """
        made = file_batch(batch, self._schema)
        if not self._is_wide and has_wide_values(made):
            if self.is_open:
                return False
            self._is_wide = True
        seq = made.column(Envelope.SEQ)
        if self._first < 0:
            self._first = seq[0].as_py()
        self._last = seq[-1].as_py()
        self._batches.append(made)
        self.buffered_rows += made.num_rows
        self.buffered_bytes += made.nbytes
        if self.buffered_rows >= self._options.row_group_rows:
            self.write_row_group()
        return True

    def write_row_group(self) -> None:
        """Encode what is gathered."""
        if not self._batches:
            return
        # One dictionary per row group: the writer falls back to slower plain pages when it changes under way.
        table = pa.Table.from_batches(self._batches, self._schema).unify_dictionaries()
        if self._writer is None:
            self._open(table)
        # The last batch may go beyond the mark: no short group follows each full one.
        self._writer.write_table(table, row_group_size=2 * self._options.row_group_rows)
        self._rows += table.num_rows
        self._batches, self.buffered_rows, self.buffered_bytes = [], 0, 0

    def finish(self, final_name: str, metadata: Mapping[str, str]) -> StagedFile:
        """Write the rest and the footer; the file is durable on return. `final_name` is filled with first
        and last.
        """
        self.write_row_group()
        self._writer.add_key_value_metadata(
            {**metadata, "cdc.first": str(self._first), "cdc.last": str(self._last)}
        )
        self._writer.close()
        self._sink.close()
        self._writer = self._sink = None
        sync_file(self.path)
        return StagedFile(
            staged=self.path.name,
            path=final_name,
            table=str(self.place.schema.table),
            schema_version=self.place.schema.version,
            first=self._first,
            last=self._last,
            rows=self._rows,
            byte_count=self.path.stat().st_size,
        )

    def abandon(self) -> None:
        """Close without a footer; the file is useless and the caller removes it."""
        if self._writer is not None:
            # It would write the footer when it is collected, into a closed file.
            self._writer.is_open = False
        if self._sink is not None:
            self._sink.close()
        self._writer = self._sink = None
        self._batches = []

    @property
    def range(self) -> tuple[int, int]:
        """First and last `_cdc_seq` so far."""
        return self._first, self._last

    def _open(self, sample: pa.Table) -> None:
        options = self._options
        level = options.compression_level if options.compression == "zstd" else None
        self._sink = pa.OSFile(str(self.path), "wb")
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression=options.compression,
            compression_level=level,
            write_page_index=True,
            store_schema=False,
            **(wide_arguments(self._schema) if self._is_wide else encodings(sample)),
        )


def file_metadata(schema: TableSchema, source: str, position: str) -> dict[str, str]:
    """A file's key-value metadata: source, table, version, and the source position that its delivery
    reaches.
    """
    return {**description(schema, source), "cdc.position": position}
