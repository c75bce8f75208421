"""What a change batch looks like in a file: the schema, the columns, and how each is encoded.

Every file has the table's columns and then all seven envelope columns, whether or not the batch had them.
No Arrow schema is stored: the Parquet types alone say everything (uuid, json, decimals, UTC), so that every
reader sees plain strings where the daemon used dictionaries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cdc.model import ChangeBatch, Envelope, TableSchema

# Rows looked at to choose between dictionary and plain: enough to tell a status from an e-mail address.
SAMPLE_ROWS = 4096
# A dictionary pays when a value comes at least four times in the sample; else it is built, grows over its
# limit and is thrown away.
SAMPLE_REPEATS = 4

# While a column is written, its statistics hold copies of its smallest and largest value: for one of 50 MB
# some 300 MB. From this size on they count in the memory budget.
WIDE_VALUE_BYTES = 1024**2

_ENVELOPE_DICTIONARIES = (Envelope.OP, Envelope.TX, Envelope.POSITION, f"{Envelope.UNCHANGED}.list.element")


def file_schema(schema: TableSchema) -> pa.Schema:
    """The Arrow schema of a table's files."""
    row = list(schema.arrow)
    envelope = [
        pa.field(Envelope.OP, Envelope.OP_TYPE),
        pa.field(Envelope.SEQ, Envelope.SEQ_TYPE),
        pa.field(Envelope.TX, Envelope.TX_TYPE),
        pa.field(Envelope.POSITION, Envelope.POSITION_TYPE),
        pa.field(Envelope.COMMIT_AT, Envelope.COMMIT_AT_TYPE),
    ]
    # Parquet has no struct without fields: a table without columns has no old image either.
    before = [pa.field(Envelope.BEFORE, pa.struct(row))] if row else []
    unchanged = [pa.field(Envelope.UNCHANGED, Envelope.UNCHANGED_TYPE.value_type)]
    return pa.schema([*row, *envelope, *before, *unchanged])


def file_batch(batch: ChangeBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch's rows under the schema of their file."""
    data = batch.data
    arrays = [*batch.row_columns(), *(data.column(name) for name in Envelope.ALWAYS)]
    if batch.schema.columns:
        before = batch.before
        arrays.append(
            pa.nulls(data.num_rows, schema.field(Envelope.BEFORE).type) if before is None else before
        )
    unchanged = batch.unchanged
    if unchanged is None:
        arrays.append(pa.nulls(data.num_rows, schema.field(Envelope.UNCHANGED).type))
    else:
        arrays.append(unchanged.dictionary.take(unchanged.indices))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def has_wide_values(batch: pa.RecordBatch) -> bool:
    """Whether a text or binary value has WIDE_VALUE_BYTES or more."""
    return bool(batch.nbytes >= WIDE_VALUE_BYTES) and any(map(_is_wide, batch.columns))


def _is_wide(array: pa.Array) -> bool:
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


def description(schema: TableSchema, source: str) -> Mapping[str, str]:
    """The part of a file's key-value metadata that tells where its rows are from."""
    return {
        "cdc.source": source,
        "cdc.table": str(schema.table),
        "cdc.relation": "" if schema.relation is None else str(schema.relation),
        "cdc.schema_version": str(schema.version),
        "cdc.key": json.dumps(list(schema.key), ensure_ascii=False),
        "cdc.identity": schema.identity,
        "cdc.columns": json.dumps({c.name: c.source_type for c in schema.columns}, ensure_ascii=False),
        # What stays of a column when it is renamed, so that a reader can join its old and new name.
        "cdc.column_ids": json.dumps({c.name: c.id for c in schema.columns}, ensure_ascii=False),
    }


def _is_integral(kind: pa.DataType) -> bool:
    is_small_decimal = pa.types.is_decimal128(kind) and kind.precision <= 18
    return bool(pa.types.is_integer(kind) or pa.types.is_temporal(kind) or is_small_decimal)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _repeats(column: pa.ChunkedArray) -> bool:
    distinct = pc.count_distinct(column).as_py()
    return bool(distinct * SAMPLE_REPEATS <= len(column))
