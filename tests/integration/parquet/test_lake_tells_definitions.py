"""A new definition gets a file of its own, without rows, where no row has it: readers learn the columns of a
table, their names and fills at their place, also when no row follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from cdc.lake.layout import range_name
from cdc.model import ChangeBatch, Column, TableId
from cdc.testing.events import altered, changes, delivery, table
from cdc_sink_parquet import ParquetSink
from tests.integration.parquet.test_lake_tells_fills import documented, read_filled

OpenLake = Callable[..., ParquetSink]
Query = Callable[..., list[tuple[Any, ...]]]

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, relation=1)
PRIORITY = Column("priority", pa.int32(), "integer", id=3, fill=pa.scalar(7, pa.int32()))
TAGS = Column("tags", pa.list_(pa.string()), "text[]", id=4)
WIDER = replace(ORDERS, columns=(*ORDERS.columns, PRIORITY, TAGS))
RENAMED = replace(WIDER, columns=(*ORDERS.columns, replace(PRIORITY, name="rank"), TAGS))
READ = "read_parquet('{}/public.orders/**/*.parquet', union_by_name = true)"


def apply(sink: ParquetSink, *batches: ChangeBatch) -> None:
    """One delivery of batches whose offsets follow each other."""
    first, last = batches[0].first_seq, batches[-1].last_seq
    assert first is not None
    assert last is not None
    sink.apply(delivery(batches, first=first, next=last + 1))


def row(start: int, schema: Any = ORDERS) -> ChangeBatch:
    return changes(schema, [("c", {"id": start})], start=start)


def files(lake: Path, folder: str = "public.orders") -> list[tuple[str, int]]:
    """Names without zeros, and rows, in the order of the offsets."""
    paths = sorted((lake / folder).rglob("*.parquet"), key=lambda path: path.name)
    short = ["-".join(str(int(part)) for part in path.stem.split("-")) for path in paths]
    return list(zip(short, (pq.read_metadata(path).num_rows for path in paths), strict=True))


def test_a_definition_that_no_row_has_is_a_file_without_rows(lake: Path, open_lake: OpenLake) -> None:
    sink = open_lake()
    apply(sink, row(0))
    apply(sink, altered(WIDER, 1))
    assert files(lake) == [("0-0", 1), ("1-1", 0)]
    (path,) = lake.glob(f"public.orders/dt=*/{range_name(1, 1)}.parquet")
    metadata = pq.read_metadata(path).metadata
    assert json.loads(metadata[b"cdc.fills"]) == {"priority": "7"}
    assert (metadata[b"cdc.first"], metadata[b"cdc.last"]) == (b"1", b"1")
    manifest = orjson.loads(max((lake / "_cdc" / "commits").rglob("*.json")).read_bytes())
    assert [lake / one["path"] for one in manifest["files"]] == [path]


def test_the_file_is_in_the_partition_of_the_time_of_its_mark(lake: Path, open_lake: OpenLake) -> None:
    mark = altered(WIDER, 0)
    apply(open_lake(partition="hour"), mark)
    assert mark.mark is not None
    folder = mark.mark.at.strftime("dt=%Y-%m-%d/hour=%H")
    assert (lake / "public.orders" / folder / f"{range_name(0, 0)}.parquet").exists()


@pytest.mark.parametrize("partition", ["none", "day"])
def test_readers_take_a_lake_with_files_without_rows(
    lake: Path, open_lake: OpenLake, query: Query, partition: str
) -> None:
    sink = open_lake(partition=partition)
    apply(sink, altered(ORDERS, 0))
    apply(sink, row(1))
    apply(sink, altered(WIDER, 2))
    found = query(f"select id, priority, tags from {READ.format(lake)}")
    assert found == [(1, None, None)]
    sql = documented("sql", "parquet_kv_metadata").replace("'lake/", f"'{lake}/").rstrip().rstrip(";")
    assert query(f"select id, priority, tags from ({sql})") == [(1, 7, None)]
    assert [(one["id"], one["priority"], one["tags"]) for one in read_filled(lake)] == [(1, 7, None)]
    dataset = ds.dataset(lake / "public.orders", format="parquet", partitioning="hive")
    assert dataset.to_table(["id"]).to_pylist() == [{"id": 1}]


def test_a_lake_of_definitions_alone_is_an_empty_table(lake: Path, open_lake: OpenLake, query: Query) -> None:
    apply(open_lake(), altered(WIDER, 0))
    assert query(f"select id, priority from {READ.format(lake)}") == []
    assert list(read_filled(lake)) == []


def test_a_renamed_column_has_its_new_name_without_a_row(lake: Path, open_lake: OpenLake) -> None:
    sink = open_lake()
    apply(sink, changes(WIDER, [("c", {"id": 0, "priority": 5})]))
    apply(sink, altered(RENAMED, 1))
    assert [one["rank"] for one in read_filled(lake)] == [5]


DELIVERIES: dict[str, tuple[Sequence[ChangeBatch], list[tuple[str, int]]]] = {
    "rows follow": ((altered(WIDER, 0), row(1, WIDER)), [("1-1", 1)]),
    "rows came before": ((row(0, WIDER), altered(WIDER, 1)), [("0-0", 1)]),
    "older rows follow": ((altered(WIDER, 0), row(1)), [("0-0", 0), ("1-1", 1)]),
    "older rows came before": ((row(0), altered(WIDER, 1)), [("0-0", 1), ("1-1", 0)]),
    "several": ((altered(WIDER, 0), altered(RENAMED, 1)), [("1-1", 0)]),
    "undone": ((row(0), altered(WIDER, 1), altered(ORDERS, 2)), [("0-0", 1)]),
    "rows in between": (
        (altered(WIDER, 0), row(1, WIDER), altered(RENAMED, 2)),
        [("1-1", 1), ("2-2", 0)],
    ),
}


@pytest.mark.parametrize("name", DELIVERIES)
def test_a_delivery_has_at_most_one_file_without_rows_a_table_and_none_where_its_newest_rows_tell_it(
    lake: Path, open_lake: OpenLake, name: str
) -> None:
    batches, expected = DELIVERIES[name]
    apply(open_lake(), *batches)
    assert files(lake) == expected


def test_a_table_that_is_renamed_twice_in_a_delivery_has_a_file_under_the_last_name_only(
    lake: Path, open_lake: OpenLake
) -> None:
    between, last = (replace(ORDERS, table=TableId("public", name)) for name in ("x", "invoices"))
    sink = open_lake()
    apply(sink, row(0))
    apply(sink, altered(between, 1), altered(last, 2))
    assert files(lake, "public.invoices") == [("2-2", 0)]
    assert files(lake, "public.x") == []


def test_a_replay_gives_definitions_back_once_at_their_place(lake: Path, open_lake: OpenLake) -> None:
    history = [row(0), altered(WIDER, 1), row(2, WIDER), altered(RENAMED, 3), row(4)]
    sink = open_lake()
    for batch in history:
        apply(sink, batch)
    expected = files(lake)
    assert expected == [("0-0", 1), ("1-1", 0), ("2-2", 1), ("3-3", 0), ("4-4", 1)]
    for offset in range(5):
        sink.rewind("shop", offset)
        for batch in history[offset:]:
            first = batch.first_seq
            assert first is not None
            sink.apply(delivery([batch], first=first, next=first + 1, replaying=True))
        assert files(lake) == expected


def test_a_type_that_the_format_lacks_sets_the_table_aside_though_no_row_has_it(
    lake: Path, open_lake: OpenLake
) -> None:
    sink = open_lake()
    apply(sink, row(0))
    odd = replace(ORDERS, columns=(*ORDERS.columns, Column("odd", pa.month_day_nano_interval(), "odd")))
    other = table("public.other", {"id": pa.int64()}, relation=2)
    apply(sink, altered(odd, 1), row(2, other))
    assert [one.table for one in sink.set_aside("shop")] == [ORDERS.table]
    assert files(lake) == [("0-0", 1)]
    assert files(lake, "public.other") == [("2-2", 1)]
