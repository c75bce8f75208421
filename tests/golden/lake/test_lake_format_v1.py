"""Lakes that format 1 wrote before the store was a protocol of its own are read and go on.

`v1/` is never written again. In `decided` the process died after the cursor named a commit, before its files
had their names; in `replaying` a replay from offset 15 had reached 22 of 30. A table whose name is too long
is set aside in both.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdc.model import Column, TableSchema
from cdc.spi import Delivery
from cdc.testing.events import EPOCH, changes, delivery, sink_context, table
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

HERE = Path(__file__).parent
ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, version=1)
EVENTS = table("public.events", {"id": pa.int64()}, version=1)
LONG = table("public." + "?" * 100, {"id": pa.int64()}, version=1)


def some(first: int, after: int) -> Delivery:
    """The delivery that the recorded lakes were given for these offsets."""
    orders = [("c", {"id": i, "note": f"note {i}"}) for i in range(first, after - 2)]
    batches = [
        changes(ORDERS, orders, start=first, commit_at=EPOCH + timedelta(days=first // 10)),
        changes(EVENTS, [("c", {"id": after - 2})], start=after - 2),
        changes(LONG, [("c", {"id": after - 1})], start=after - 1),
    ]
    return delivery(batches, first=first, next=after)


def opened(tmp_path: Path, name: str, epoch: int) -> ParquetSink:
    lake = tmp_path / name
    if not lake.exists():
        shutil.copytree(HERE / "v1" / name, lake)
    sink = ParquetSink(ParquetOptions(url=str(lake)), sink_context(epoch=epoch))
    sink.prepare("shop")
    return sink


def seqs(lake: Path, schema: TableSchema) -> list[int]:
    files = (lake / str(schema.table)).rglob("*.parquet")
    return sorted(seq for file in files for seq in pq.ParquetFile(file).read(["_cdc_seq"])[0].to_pylist())


def test_a_commit_that_an_older_version_decided_is_completed_and_the_lake_goes_on(tmp_path: Path) -> None:
    sink = opened(tmp_path, "decided", epoch=2)
    cursor = sink.committed("shop")
    assert cursor is not None
    assert (cursor.next, cursor.high) == (30, 30)
    assert [one.table for one in sink.set_aside("shop")] == [LONG.table]
    sink.apply(some(30, 40))
    sink.close()
    lake = tmp_path / "decided"
    assert seqs(lake, ORDERS) == [i for i in range(40) if i % 10 < 8]
    assert seqs(lake, EVENTS) == [8, 18, 28, 38]
    names = sorted(path.name for path in (lake / "_cdc/commits/shop/0001/000000").iterdir())
    assert names == [f"{first:019d}-{first + 10:019d}.json" for first in (0, 10, 20, 30)]


def test_a_lake_whose_files_tell_no_fills_gets_them_with_its_next_file(tmp_path: Path) -> None:
    sink = opened(tmp_path, "decided", epoch=2)
    added = Column("rank", pa.int32(), fill=pa.scalar(7, pa.int32()))
    wider = replace(ORDERS, columns=(*ORDERS.columns, added), version=2)
    sink.apply(delivery([changes(wider, [("c", {"id": 30})], start=30)], first=30, next=31))
    sink.close()
    files = sorted((tmp_path / "decided" / "public.orders").rglob("*.parquet"), key=lambda path: path.name)
    told = [pq.read_metadata(path).metadata.get(b"cdc.fills") for path in files]
    assert told == [None] * (len(files) - 1) + [b'{"rank": "7"}']


@pytest.mark.parametrize("end", [30, 35])
def test_a_replay_that_an_older_version_began_is_finished(tmp_path: Path, end: int) -> None:
    sink = opened(tmp_path, "replaying", epoch=2)
    cursor = sink.committed("shop")
    assert cursor is not None
    assert (cursor.next, cursor.high) == (22, 30)
    lake = tmp_path / "replaying"
    before = seqs(lake, ORDERS)
    assert before == [i for i in range(30) if i % 10 < 8]
    sink.apply(some(22, end))
    sink.close()
    replayed = [*range(8), *range(10, 15), *range(15, 20), *range(22, end - 2)]
    assert seqs(lake, ORDERS) == replayed
    assert seqs(lake, EVENTS) == [8, 20, end - 2]
    assert not (lake / "_cdc/generations/shop/2").exists()
