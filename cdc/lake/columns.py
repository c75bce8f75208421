"""The form of a change batch in a file: the schema, the columns, and metadata about the origin of its rows.

Every file has the table's columns and then all seven envelope columns, whether or not the batch had them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

from cdc.lake.fills import fills_as_json
from cdc.model import ChangeBatch, Envelope, TableSchema


def file_schema(schema: TableSchema) -> pa.Schema:
    """Return the Arrow schema of a table's files."""
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
    """Return the batch's rows with the schema of their file."""
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


def file_metadata(schema: TableSchema, source: str, position: str) -> Mapping[str, str]:
    """A file's key-value metadata: source, table, version, and the source position that its delivery
    reaches.
    """
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
        # What rows of files without the column have in it, which the source may have forgotten.
        "cdc.fills": json.dumps(fills_as_json(schema), ensure_ascii=False),
        "cdc.position": position,
    }
