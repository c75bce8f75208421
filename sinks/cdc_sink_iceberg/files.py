"""The files of a table: write rows and positions of deleted rows, read columns back."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import _determine_partitions
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema, sanitize_column_names
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record
from pyiceberg.types import NestedField

from cdc import failpoints
from cdc.deferred import parquet as pq
from cdc_sink_iceberg.statistics import statistics_of
from cdc_sink_iceberg.types import FIELD_ID, arrow_schema, arrow_type, converted

Positions = npt.NDArray[np.int64]
# Reserved ids of the columns of a file with positions of deleted rows.
_PATH_ID, _POSITION_ID = 2147483546, 2147483545
_DELETES = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={FIELD_ID: str(_PATH_ID)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={FIELD_ID: str(_POSITION_ID)}),
    ]
)
# Files with positions that stay in memory; each holds those of one commit.
_CACHED_DELETES = 256
_NO_STATISTICS: Mapping[str, Any] = {
    "column_sizes": {}, "value_counts": {}, "null_value_counts": {}, "nan_value_counts": {},
    "split_offsets": None,
}  # fmt: skip


class TableFiles:
    """Reads and writes the files of one table."""

    def __init__(self, table: Table, compression: str = "zstd") -> None:
        self._table = table
        self._compression = compression
        self._dead: OrderedDict[str, Mapping[str, Positions]] = OrderedDict()

    @property
    def _io(self) -> FileIO:
        return self._table.io

    def write(self, rows: pa.Table, metadata: TableMetadata, schema: Schema) -> list[DataFile]:
        """Write rows, which have the columns of `arrow_schema(schema)`; a file a partition."""
        spec = metadata.spec()
        if spec.is_unpartitioned():
            return [self._write([rows], schema, spec.spec_id, Record(), "")]
        return [
            self._write(
                [part.arrow_table_partition],
                schema,
                spec.spec_id,
                part.partition_key.partition,
                f"{part.partition_key.to_path()}/",
            )
            for part in _determine_partitions(spec, schema, rows)
        ]

    def merge(self, sources: Sequence[tuple[DataFile, Positions]], schema: Schema) -> DataFile | None:
        """Write the rows of files of one partition to one file, without those at dead positions; None if no
        row is left.
        """
        first = sources[0][0]
        if sum(file.record_count - len(dead) for file, dead in sources) == 0:
            return None
        chunks = (chunk for file, dead in sources for chunk in self._alive(file, dead, schema))
        return self._write(chunks, schema, first.spec_id, first.partition, "")

    def _alive(self, file: DataFile, dead: Positions, schema: Schema) -> Iterator[pa.Table]:
        start = 0
        for chunk in self._groups(file, schema.fields):
            alive = np.ones(len(chunk), np.bool_)
            alive[dead[(dead >= start) & (dead < start + len(chunk))] - start] = False
            start += len(chunk)
            yield chunk if alive.all() else chunk.filter(pa.array(alive))

    def _write(
        self, chunks: Iterable[pa.Table], schema: Schema, spec_id: int, partition: Record, folder: str
    ) -> DataFile:
        safe = sanitize_column_names(schema)
        target = arrow_schema(safe)
        path = f"{self._table.location()}/data/{folder}{uuid.uuid4()}.parquet"
        output = self._io.new_output(path)
        with output.create() as file:
            writer = pq.ParquetWriter(
                file, target, compression=self._compression, compression_level=1,
                store_decimal_as_integer=True,
            )  # fmt: skip
            with writer:
                for rows in chunks:
                    pairs = zip(rows.columns, target, strict=True)
                    columns = [converted(column, field.type) for column, field in pairs]
                    writer.write_table(pa.Table.from_arrays(columns, schema=target))
            written = writer.writer.metadata
        statistics = statistics_of(written, safe)
        return _made(DataFileContent.DATA, path, len(output), spec_id, partition, statistics)

    def write_deletes(self, dead: Sequence[tuple[DataFile, Positions]]) -> list[DataFile]:
        """Write the positions of rows that are deleted; a file a partition."""
        groups: dict[tuple[int, Record], list[tuple[DataFile, Positions]]] = {}
        for file, positions in dead:
            groups.setdefault((file.spec_id, file.partition), []).append((file, positions))
        return [self._write_deletes(*at, group) for at, group in groups.items()]

    def _write_deletes(
        self, spec_id: int, partition: Record, dead: Sequence[tuple[DataFile, Positions]]
    ) -> DataFile:
        ordered = sorted(dead, key=lambda one: one[0].file_path)
        paths = [
            pa.repeat(pa.scalar(file.file_path, pa.string()), len(positions)) for file, positions in ordered
        ]
        places = [pa.array(np.sort(positions), pa.int64()) for _, positions in ordered]
        rows = pa.table([pa.chunked_array(paths), pa.chunked_array(places)], schema=_DELETES)
        path = f"{self._table.location()}/data/{uuid.uuid4()}-deletes.parquet"
        output = self._io.new_output(path)
        with output.create() as file:
            pq.write_table(rows, file, compression=self._compression, use_dictionary=["file_path"])
        ends = [file.file_path.encode() for file, _ in ordered]
        known = {
            **_NO_STATISTICS,
            "record_count": len(rows),
            "lower_bounds": {_PATH_ID: ends[0]},
            "upper_bounds": {_PATH_ID: ends[-1]},
        }
        return _made(DataFileContent.POSITION_DELETES, path, len(output), spec_id, partition, known)

    def dead(self, files: Iterable[DataFile], path: str) -> Positions:
        """Return the positions in the data file `path` that files with deletes name."""
        found = [named[path] for file in files if path in (named := self.positions(file))]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def positions(self, file: DataFile) -> Mapping[str, Positions]:
        """Return the positions that a file with deletes names, by data file."""
        path = file.file_path
        if path not in self._dead:
            with self._io.new_input(path).open() as opened:
                rows = pq.read_table(opened, columns=["file_path", "pos"], read_dictionary=["file_path"])
            self._dead[path] = dict(_grouped(rows))
            if len(self._dead) > _CACHED_DELETES:
                self._dead.popitem(last=False)
        self._dead.move_to_end(path)
        return self._dead[path]

    def read(self, file: DataFile, fields: Sequence[NestedField]) -> pa.Table:
        """Read columns of all rows of a data file; fields that it lacks are null.

        Fields may have been renamed and promoted since.
        """
        return pa.concat_tables(self._groups(file, fields))

    def _groups(self, file: DataFile, fields: Sequence[NestedField]) -> Iterator[pa.Table]:
        """Columns of a data file, row group by row group."""
        with self._io.new_input(file.file_path).open() as opened:
            parquet = pq.ParquetFile(opened)
            names = {
                int((one.metadata or {}).get(FIELD_ID.encode(), -1)): one.name for one in parquet.schema_arrow
            }
            held = [names[field.field_id] for field in fields if field.field_id in names]
            for group in range(parquet.num_row_groups):
                count = parquet.metadata.row_group(group).num_rows
                found = parquet.read_row_group(group, columns=held) if held else None
                columns = [
                    converted(found[names[field.field_id]], arrow_type(field.field_type))
                    if found is not None and field.field_id in names
                    else pa.nulls(count, arrow_type(field.field_type))
                    for field in fields
                ]
                yield pa.table(columns, names=[field.name for field in fields])

    def delete(self, files: Iterable[DataFile]) -> None:
        """Remove files that no snapshot has."""
        for file in files:
            try:
                self._io.delete(file.file_path)
            except (OSError, ValueError):
                continue  # The removal of orphans finds it.


def _grouped(rows: pa.Table) -> Iterator[tuple[str, Positions]]:
    paths = rows["file_path"].combine_chunks()
    if isinstance(paths, pa.ChunkedArray):
        paths = pa.concat_arrays(paths.chunks)
    if not isinstance(paths, pa.DictionaryArray):
        paths = paths.dictionary_encode()
    codes = np.asarray(paths.indices)
    places = rows["pos"].to_numpy()
    for code, path in enumerate(paths.dictionary.to_pylist()):
        yield path, places[codes == code]


def _made(
    content: DataFileContent,
    path: str,
    size: int,
    spec_id: int,
    partition: Record,
    statistics: Mapping[str, Any],
) -> DataFile:
    """Return the entry of a file that has been written."""
    made = DataFile.from_args(
        content=content,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=partition,
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics,
    )
    made.spec_id = spec_id
    failpoints.hit("target.inserted")
    return made
