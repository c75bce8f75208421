"""Parquet as a lake's file format: how columns are encoded, and how a file is written and cut.

No Arrow schema is stored: the Parquet types alone say everything (uuid, json, decimals, UTC), so that every
reader sees plain strings where the daemon used dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.deferred import parquet as pq
from cdc.model import Envelope

# A quarter of a million rows of ten columns are about 40 MiB in Arrow. Measured, 1 M rows a group encode 7 %
# faster and compress 1 % better, but cost four times the memory and let readers skip less.
DEFAULT_ROW_GROUP_ROWS = 262_144
# Readers plan per file and fetch per row group; 128 to 512 MB is where both are cheap.
DEFAULT_FILE_BYTES = 256 * 1024**2
# Levels above 1 gave the same size within 2 % on row data, at twice the time.
DEFAULT_COMPRESSION_LEVEL = 1

# Rows looked at to choose between dictionary and plain: enough to tell a status from an e-mail address.
SAMPLE_ROWS = 4096
# A dictionary pays when a value comes at least four times in the sample; else it is built, grows over its
# limit and is thrown away.
SAMPLE_REPEATS = 4

# While a column is written, its statistics hold copies of its smallest and largest value: for one of 50 MB
# some 300 MB. From this size on they count in the memory budget.
WIDE_VALUE_BYTES = 1024**2

_ENVELOPE_DICTIONARIES = (Envelope.OP, Envelope.TX, Envelope.POSITION, f"{Envelope.UNCHANGED}.list.element")


@dataclass(frozen=True)
class ParquetFormat:
    """A `FileFormat`. `compression` is `zstd`, `snappy` or `none`; the level is that of zstd."""

    compression: str = "zstd"
    compression_level: int = DEFAULT_COMPRESSION_LEVEL
    row_group_rows: int = DEFAULT_ROW_GROUP_ROWS
    file_bytes: int = DEFAULT_FILE_BYTES
    name: str = "Parquet"
    suffix: str = "parquet"

    def check(self, schema: pa.Schema) -> None:
        pq.ParquetWriter(pa.BufferOutputStream(), schema, store_schema=False).close()

    def needs_own_file(self, batch: pa.RecordBatch) -> bool:
        return has_wide_values(batch)

    def encoder(self, file: Any, schema: pa.Schema, sample: pa.Table) -> ParquetEncoder:
        return ParquetEncoder(self._writer(file, schema, sample), 2 * self.row_group_rows)

    def cut(self, source: pa.NativeFile, file: Any, offset: int) -> tuple[int, int]:
        rows, last, writer = 0, -1, None
        with pq.ParquetFile(source) as reader:
            metadata = {
                k: v for k, v in (reader.schema_arrow.metadata or {}).items() if k.startswith(b"cdc.")
            }
            schema = reader.schema_arrow.remove_metadata()
            for group in range(reader.num_row_groups):
                table = reader.read_row_group(group).replace_schema_metadata(None)
                table = table.filter(pc.less(table.column(Envelope.SEQ), offset))
                if not table.num_rows:
                    break
                writer = writer or self._writer(file, schema, table)
                writer.write_table(table)
                rows, last = rows + table.num_rows, table.column(Envelope.SEQ)[-1].as_py()
        if writer is None:
            raise AssertionError(f"a file has no row below {offset}, though its name says so")
        writer.add_key_value_metadata({**metadata, b"cdc.last": str(last).encode()})
        writer.close()
        return rows, last

    def _writer(self, file: Any, schema: pa.Schema, sample: pa.Table) -> Any:
        return pq.ParquetWriter(
            file,
            schema,
            compression=self.compression,
            compression_level=self.compression_level if self.compression == "zstd" else None,
            write_page_index=True,
            store_schema=False,
            **(wide_arguments(schema) if has_wide_values(sample) else encodings(sample)),
        )


class ParquetEncoder:
    """An `Encoder`: one row group a group."""

    def __init__(self, writer: Any, largest_group: int) -> None:
        self._writer = writer
        self._largest_group = largest_group

    def write(self, group: pa.Table) -> None:
        # The last batch may go beyond the mark: no short group follows each full one.
        self._writer.write_table(group, row_group_size=self._largest_group)

    def finish(self, metadata: Mapping[str, str]) -> None:
        self._writer.add_key_value_metadata(dict(metadata))
        self._writer.close()

    def abandon(self) -> None:
        # It would write the footer when it is collected, into a closed file.
        self._writer.is_open = False


def has_wide_values(rows: pa.RecordBatch | pa.Table) -> bool:
    """Return whether a text or binary value has WIDE_VALUE_BYTES or more."""
    return bool(rows.nbytes >= WIDE_VALUE_BYTES) and any(map(_is_wide, rows.columns))


def _is_wide(array: pa.Array | pa.ChunkedArray) -> bool:
    if isinstance(array, pa.ChunkedArray):
        return any(map(_is_wide, array.chunks))
    kind = array.type
    if _is_text(kind):
        longest = pc.max(pc.binary_length(array)).as_py()
        return longest is not None and longest >= WIDE_VALUE_BYTES
    if pa.types.is_struct(kind):
        return any(_is_wide(array.field(i)) for i in range(kind.num_fields))
    return bool(pa.types.is_list(kind)) and _is_wide(array.values)


def wide_arguments(schema: pa.Schema) -> dict[str, Any]:
    """Arguments of ParquetWriter for a file with wide values: text and binary columns get no statistics."""
    narrow = [
        field.name for field in schema if not _is_text(field.type) and not pa.types.is_nested(field.type)
    ]
    return {
        "use_dictionary": list(_ENVELOPE_DICTIONARIES),
        "write_statistics": [*narrow, *(name for name in Envelope.ALWAYS if name not in narrow)],
        "store_decimal_as_integer": True,
    }


def encodings(sample: pa.Table) -> dict[str, Any]:
    """Arguments of ParquetWriter that encode this table's columns well, judged by its first rows."""
    sample = sample.slice(0, SAMPLE_ROWS)
    dictionaries = list(_ENVELOPE_DICTIONARIES)
    encoded: dict[str, str] = {}
    for field in sample.schema:
        # A dot in a name could be taken for a path into a nested column; such columns get Parquet's plain
        # encoding.
        if "." in field.name or field.name in dictionaries:
            continue
        kind = field.type
        if _is_integral(kind):
            encoded[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(kind):
            encoded[field.name] = "BYTE_STREAM_SPLIT"
        elif _is_text(kind) and _repeats(sample.column(field.name)):
            dictionaries.append(field.name)
    # Decimals up to 18 digits as integers: a fifth faster, and delta applies to them.
    return {"use_dictionary": dictionaries, "column_encoding": encoded, "store_decimal_as_integer": True}


def _is_integral(kind: pa.DataType) -> bool:
    is_small_decimal = pa.types.is_decimal128(kind) and kind.precision <= 18
    return bool(pa.types.is_integer(kind) or pa.types.is_temporal(kind) or is_small_decimal)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _repeats(column: pa.ChunkedArray) -> bool:
    distinct = pc.count_distinct(column).as_py()
    return bool(distinct * SAMPLE_REPEATS <= len(column))
