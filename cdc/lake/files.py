"""An unfinished file: rows are collected into groups and encoded into a staged object.

The file is not part of the lake before the sink's commit gives it its final name. The owner of a TableFile
calls `finish` or `abandon`. The format defines the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from cdc.lake.columns import file_batch, file_schema
from cdc.lake.store import ObjectStore, ObjectWriter
from cdc.model import ChangeBatch, Envelope, TableSchema

# A batch of this size has a row group to itself: a wide row must be gone before the next is read.
APART_BYTES = 16 * 1024 * 1024


class Encoder(Protocol):
    """Turns row groups into the bytes of one file."""

    def write(self, group: pa.Table) -> None:
        """Encode a group of rows."""
        ...

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write what follows the last row; the file object stays open."""
        ...

    def abandon(self) -> None:
        """Write nothing more."""
        ...


class FileFormat(Protocol):
    """The encoding of a lake's files. ArrowException: a table cannot be encoded."""

    @property
    def name(self) -> str:
        """The name for people."""
        ...

    @property
    def suffix(self) -> str:
        """The suffix of its files, without the dot."""
        ...

    @property
    def row_group_rows(self) -> int:
        """Rows at which a group is encoded."""
        ...

    @property
    def file_bytes(self) -> int:
        """Size at which a delivery starts the next file."""
        ...

    def check(self, schema: pa.Schema) -> None:
        """Raise ArrowException for a schema (of `cdc.lake.columns.file_schema`) that it cannot represent."""
        ...

    def needs_own_file(self, batch: pa.RecordBatch) -> bool:
        """Return whether rows like these are encoded in another way, so that no file may begin without them
        and go on with them.
        """
        ...

    def encoder(self, file: Any, schema: pa.Schema, sample: pa.Table) -> Encoder:
        """Return an encoder into an `ObjectWriter.file`; `sample` is the first group."""
        ...

    def cut(self, source: pa.NativeFile, file: Any, offset: int) -> tuple[int, int]:
        """Write the rows of the file `source` below `offset` to a new file, in bounded memory; return their
        number and the last one's `_cdc_seq`.
        """
        ...


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A finished, durable file without its final name; `path` is relative to the lake."""

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
    """The place of a file's rows: a table's partition folder, relative to the lake."""

    folder: str
    schema: TableSchema


class TableFile:
    """Rows of one table, partition and schema version, in `_cdc_seq` order; staged as `staging` + `name`."""

    def __init__(
        self, store: ObjectStore, staging: str, name: str, place: FilePlace, form: FileFormat
    ) -> None:
        self.place = place
        self.buffered_bytes = 0
        self.buffered_rows = 0
        self._store = store
        self._staging = staging
        self._name = name
        self._format = form
        self._schema = file_schema(place.schema)
        self._batches: list[pa.RecordBatch] = []
        self._writer: ObjectWriter | None = None
        self._encoder: Encoder | None = None
        self._stands_apart = False
        self._rows = 0
        self._first = -1
        self._last = -1

    @property
    def is_open(self) -> bool:
        """Whether it holds a file descriptor."""
        return self._writer is not None

    @property
    def encoded_bytes(self) -> int:
        return self._writer.byte_count if self._writer is not None else 0

    def add(self, batch: ChangeBatch) -> bool:
        """Collect a batch; full row groups are written.

        Return False for a batch that needs another encoding than what is in the file: it belongs into
        another file.
        """
        made = file_batch(batch, self._schema)
        if not self._stands_apart and self._format.needs_own_file(made):
            if self.is_open:
                return False
            self._stands_apart = True
        seq = made.column(Envelope.SEQ)
        if self._first < 0:
            self._first = seq[0].as_py()
        self._last = seq[-1].as_py()
        self._batches.append(made)
        self.buffered_rows += made.num_rows
        self.buffered_bytes += made.nbytes
        if self.buffered_rows >= self._format.row_group_rows or made.nbytes >= APART_BYTES:
            self.write_row_group()
        return True

    def write_row_group(self) -> None:
        """Encode the collected rows."""
        if not self._batches:
            return
        # One dictionary per row group: Parquet falls back to slower plain pages when it changes under way.
        table = pa.Table.from_batches(self._batches, self._schema).unify_dictionaries()
        if self._encoder is None:
            self._encoder = self._begin(table)
        self._encoder.write(table)
        self._rows += table.num_rows
        self._batches, self.buffered_rows, self.buffered_bytes = [], 0, 0

    def begin_without_rows(self, seq: int) -> None:
        """Write a file with the table's definition only, whose mark has the offset `seq`."""
        self._first = self._last = seq
        # `empty_table` refuses lists of extension types, such as uuid[].
        self._encoder = self._begin(pa.Table.from_batches([], self._schema))

    def _begin(self, sample: pa.Table) -> Encoder:
        self._writer = self._store.write(self._staging + self._name)
        return self._format.encoder(self._writer.file, self._schema, sample)

    def finish(self, path: str, metadata: Mapping[str, str]) -> StagedFile:
        """Write the rest and end the file, whose final name is `path`; its content is durable on return."""
        self.write_row_group()
        assert self._encoder is not None
        assert self._writer is not None
        self._encoder.finish({**metadata, "cdc.first": str(self._first), "cdc.last": str(self._last)})
        byte_count = self._writer.close()
        self._writer = self._encoder = None
        return StagedFile(
            staged=self._name,
            path=path,
            table=str(self.place.schema.table),
            schema_version=self.place.schema.version,
            first=self._first,
            last=self._last,
            rows=self._rows,
            byte_count=byte_count,
        )

    def abandon(self) -> None:
        """Remove the unfinished file."""
        if self._encoder is not None:
            self._encoder.abandon()
        if self._writer is not None:
            self._writer.abandon()
        self._writer = self._encoder = None
        self._batches = []

    @property
    def range(self) -> tuple[int, int]:
        """First and last `_cdc_seq` so far."""
        return self._first, self._last
