"""Functions as operators write them, good and bad."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

SECRET = "a value that no message may show"


def domain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add the domain of the address, and leave the note out."""
    found = pc.extract_regex(batch.column("email"), r"@(?P<domain>.*)").field("domain")
    kept = batch.drop_columns(["note"]) if "note" in batch.schema.names else batch
    return kept.append_column("domain", found)


def upper(batch: pa.RecordBatch) -> pa.RecordBatch:
    index = batch.schema.get_field_index("note")
    return batch.set_column(index, "note", pc.utf8_upper(batch.column(index)))


def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.num_rows:
        raise ValueError(SECRET)
    return batch


def fails_in_a_library(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.num_rows:
        json.loads(SECRET)
    return batch


def drops_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.slice(1)


def returns_a_table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def changes_the_key(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.set_column(0, "id", pc.add(batch.column(0), 1))


def drops_the_key(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.drop_columns(["id"])


def other_columns(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.append_column("more", pa.nulls(batch.num_rows)) if batch.num_rows else batch


NOT_A_FUNCTION = 1
