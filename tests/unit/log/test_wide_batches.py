"""How a batch with wide values is stored: once, and compressed only where that makes it smaller."""

from __future__ import annotations

import os

import pyarrow as pa

from cdc.log.arrow import decode_batch, encode_batch
from cdc.testing.events import changes, table

DOCUMENTS = table("public.documents", {"id": pa.int64(), "body": pa.string()})
SIZE = 10_000_000


def stored(text: str) -> bytes:
    batch = changes(DOCUMENTS, [("c", {"id": 1, "body": text})])
    return b"".join(encode_batch(batch, 1).body)


def test_text_that_does_not_compress_is_read_where_it_is_stored() -> None:
    text = os.urandom(SIZE // 2).hex()
    body = pa.py_buffer(stored(text))
    before = pa.total_allocated_bytes()
    batch = decode_batch(memoryview(body), 0, DOCUMENTS)
    assert batch is not None
    assert pa.total_allocated_bytes() - before < SIZE / 10
    assert batch.data.column("body")[0].as_py() == text


def test_text_that_compresses_is_stored_compressed() -> None:
    text = '{"name": "value"}' * (SIZE // 17)
    body = stored(text)
    assert len(body) < SIZE / 10
    batch = decode_batch(memoryview(body), 0, DOCUMENTS)
    assert batch is not None
    assert batch.data.column("body")[0].as_py() == text
