from __future__ import annotations

import os

import psutil
import pyarrow as pa
import pytest

from cdc.native import implementation
from cdc_source_postgres.schema.type_catalog import OID_OF
from tests.support.postgres import frames
from tests.support.postgres.decoders import Wire

MEBIBYTE = 1 << 20


@pytest.mark.skipif(implementation() != "c", reason="only the compiled builders manage memory")
def test_take_gives_the_memory_away(wire: Wire) -> None:
    decoder = wire.CopyDecoder("s.t", frames.plans(OID_OF["text"]), "error", lambda name, amount: None)
    decoder.feed(frames.copy_header())
    process = psutil.Process(os.getpid())
    row = frames.copy_row([b"x" * MEBIBYTE])
    before = process.memory_info().rss
    for _ in range(20):
        for _ in range(16):
            decoder.feed(row)
        assert decoder.take().num_rows == 16
    # 320 MiB went through; what stays is at most about one batch and the slack of the allocator.
    assert process.memory_info().rss - before < 64 * MEBIBYTE


def test_batch_outlives_its_decoder(wire: Wire) -> None:
    decoder = wire.CopyDecoder("s.t", frames.plans(OID_OF["text"]), "error", lambda name, amount: None)
    decoder.feed(frames.copy_header() + frames.copy_row([b"kept"]))
    batch: pa.RecordBatch = decoder.take()
    decoder.feed(frames.copy_row([b"later"]))
    del decoder
    assert batch.to_pylist() == [{"c0": "kept"}]
