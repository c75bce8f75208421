"""Write the parts of a delivery to staged files, with bounded memory and open files.

Files are staged under plain numbers, where no reader's pattern finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.lake.columns import file_metadata
from cdc.lake.files import FileFormat, FilePlace, StagedFile, TableFile
from cdc.lake.layout import LakePaths, Partition, partition_folder, range_name, table_folder
from cdc.lake.setaside import unwritable
from cdc.merge import TableRefused
from cdc.model import ChangeBatch, CopyStep, Envelope, TableId, TableSchema
from cdc.spi import Delivery

# Files with a descriptor and encoder state (some 100 KiB each). At the limit, the least recently used is
# ended. Fewer where the store holds a part of each in memory.
OPEN_FILES = 32

FileKey = tuple[TableId, str]

_UNITS = {Partition.MONTH: "month", Partition.DAY: "day", Partition.HOUR: "hour"}


class _Definition(NamedTuple):
    """A new definition of a table, the offset of its mark, and the partition folder of the mark's time."""

    schema: TableSchema
    seq: int
    partition: str


class Staging:
    """The files of one delivery. The caller calls `finish`, which returns them, or `discard`."""

    def __init__(
        self,
        paths: LakePaths,
        prefix: str,
        form: FileFormat,
        partition: Partition,
        delivery: Delivery,
        buffer_bytes: int,
    ) -> None:
        """`prefix` begins the names of the files: the process's own folder (see `clear_staging`), and a name
        that no other delivery has. `buffer_bytes` is the memory for rows, and once more for unfinished
        objects.
        """
        self._paths = paths
        self._prefix = prefix
        self._open_files = min(OPEN_FILES, max(1, buffer_bytes // max(1, paths.store.open_bytes)))
        self._format = form
        self._partition = partition
        self._delivery = delivery
        # Rows gathered over all files before the largest gathering is written as a (short) row group. One
        # part of the delivery and one row group being encoded come on top, however many tables and
        # partitions it touches.
        self._buffer_bytes = buffer_bytes
        self._files: dict[FileKey, TableFile] = {}
        self._open: set[FileKey] = set()
        # By the source's number of the table, or its name: the schema of the newest rows, and a newer one
        # that no row has so far.
        self._newest: dict[int | TableId, TableSchema] = {}
        self._definitions: dict[int | TableId, _Definition] = {}
        self._buffered = 0
        self._finished: list[StagedFile] = []
        self._count = 0

    def add(self, batch: ChangeBatch, keys: tuple[str, ...]) -> None:
        """Write a batch's rows to the files of their partitions; `keys` are the table's partition keys.

        A new definition gets a file without rows, unless rows of the delivery have it too.
        """
        self._follow_definition(batch, keys)
        for rows, moment in split_by_commit(batch, self._partition):
            key = (rows.table, partition_folder(keys, moment))
            if not self._add_rows(key, rows):
                self._end(key)
                self._add_rows(key, rows)
            self._roll(*key)
        self._bound_memory()

    def _follow_definition(self, batch: ChangeBatch, keys: tuple[str, ...]) -> None:
        schema, mark = batch.schema, batch.mark
        identity = schema.table if schema.relation is None else schema.relation
        if mark is not None and mark.step is CopyStep.ALTERED:
            self._definitions.pop(identity, None)
            newest = self._newest.get(identity)
            if newest is None or not newest.covers(schema):
                self._definitions[identity] = _Definition(schema, mark.seq, partition_folder(keys, mark.at))
        elif batch.row_count:
            self._newest[identity] = schema
            known = self._definitions.get(identity)
            if known is not None and schema.covers(known.schema):
                del self._definitions[identity]

    def _write_definition(self, definition: _Definition) -> None:
        key = (definition.schema.table, definition.partition)
        with self._changing(key, self._file(definition.schema, definition.partition)) as file:
            file.begin_without_rows(definition.seq)
        self._end(key)

    def _add_rows(self, key: FileKey, rows: ChangeBatch) -> bool:
        with self._changing(key, self._file(rows.schema, key[1])) as file:
            return file.add(rows)

    def finish(self) -> list[StagedFile]:
        """Return all files of the delivery, durable."""
        for key in list(self._files):
            self._end(key)
        for definition in self._definitions.values():
            self._write_definition(definition)
        self._paths.store.sync(self._paths.staging)
        return self._finished

    def discard(self) -> None:
        """Close and remove all files that are not finished, and forget the others."""
        for file in self._files.values():
            file.abandon()
        self._files.clear()

    def _file(self, schema: TableSchema, partition: str) -> TableFile:
        key = (schema.table, partition)
        file = self._files.pop(key, None)
        if file is not None and not _same_files(file.place.schema, schema):
            self._files[key] = file
            self._end(key)
            file = None
        if file is None:
            folder = "/".join(filter(None, (table_folder(schema.table), partition)))
            name, place = f"{self._prefix}-{self._count:06d}", FilePlace(folder, schema)
            file = TableFile(self._paths.store, self._paths.staging, name, place, self._format)
            self._count += 1
        # Last in the dictionary is most recently used.
        self._files[key] = file
        return file

    def _roll(self, table: TableId, partition: str) -> None:
        if self._files[table, partition].encoded_bytes >= self._format.file_bytes:
            self._end((table, partition))

    def _bound_memory(self) -> None:
        while self._buffered > self._buffer_bytes:
            key = max(self._files, key=lambda key: self._files[key].buffered_bytes)
            with self._changing(key, self._files[key]) as file:
                file.write_row_group()
        if len(self._open) > self._open_files:
            least_used = [key for key in self._files if key in self._open]
            for key in least_used[: len(least_used) - self._open_files]:
                self._end(key)

    def _end(self, key: FileKey) -> None:
        file = self._files[key]
        path = f"{file.place.folder}/{range_name(*file.range)}.{self._format.suffix}"
        metadata = file_metadata(file.place.schema, self._delivery.source, self._delivery.position.text)
        with self._changing(key, file):
            self._finished.append(file.finish(path, metadata))
        del self._files[key]

    @contextmanager
    def _changing(self, key: FileKey, file: TableFile) -> Iterator[TableFile]:
        """Update the totals after a change of one file, and name the table whose values cannot be written."""
        before = file.buffered_bytes
        try:
            yield file
        except pa.ArrowException as error:
            raise TableRefused(file.place.schema, unwritable(key[0], self._format)) from error
        self._buffered += file.buffered_bytes - before
        if file.is_open:
            self._open.add(key)
        else:
            self._open.discard(key)


def clear_staging(paths: LakePaths, writer: str) -> None:
    """Remove what a process has staged: each has a folder of its own, which no other one writes to."""
    paths.store.delete_all(f"{paths.staging}{writer}/")


def split_by_commit(
    batch: ChangeBatch, partition: Partition
) -> Iterator[tuple[ChangeBatch, datetime | None]]:
    """The batch in pieces of one partition each, with the partition's begin (None for rows without a commit
    time).

    A batch of one partition, by far the usual case, is returned unchanged.
    """
    if partition is Partition.NONE or not batch.row_count:
        yield from [(batch, None)] if batch.row_count else []
        return
    # As wall clock in UTC: rounding a zoned timestamp would need the machine's time zone files.
    moments = batch.data.column(Envelope.COMMIT_AT).cast(pa.int64()).cast(pa.timestamp("us"))
    ends = pc.min_max(moments)
    begins = pc.floor_temporal(
        pa.array([ends["min"].as_py(), ends["max"].as_py()], moments.type), unit=_UNITS[partition]
    )
    if begins[0] == begins[1] and moments.null_count in {0, len(moments)}:
        yield batch, _aware(begins[0])
        return
    floors = pc.floor_temporal(moments, unit=_UNITS[partition])
    for begin in pc.unique(floors):
        # Nulls compare as null, and a filter drops null.
        mask = pc.is_null(floors) if begin.as_py() is None else pc.equal(floors, begin)
        yield batch.filtered(mask), _aware(begin)


def _aware(moment: pa.Scalar) -> datetime | None:
    value = moment.as_py()
    return None if value is None else value.replace(tzinfo=UTC)


def _same_files(one: TableSchema, other: TableSchema) -> bool:
    return one is other or (one.version == other.version and one.same_shape(other))
