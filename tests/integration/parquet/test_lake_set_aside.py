"""A table that the lake cannot store is set aside; a renamed one is reported, and copied again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdc.model import ChangeBatch, Column, TableId, TableSchema
from cdc.spi import SetAside
from cdc.testing.events import altered, changes, delivery, table
from cdc_sink_parquet import ParquetSink

OpenLake = Callable[..., ParquetSink]
ORDERS = table("public.orders", {"id": pa.int64()}, relation=1)
# Escaped, each character takes three bytes.
LONG = table("public." + "é" * 60 + "." * 55, {"id": pa.int64()}, relation=2)


class Lake:
    """A lake whose deliveries follow each other."""

    def __init__(self, sink: ParquetSink) -> None:
        self.sink = sink
        self.next = 0

    def change(self, schema: TableSchema, *rows: Any) -> None:
        self.apply(changes(schema, rows, start=self.next))

    def apply(self, *batches: ChangeBatch) -> None:
        first, self.next = self.next, max(batch.last_seq or 0 for batch in batches) + 1
        self.sink.apply(delivery(batches, first=first, next=self.next))

    def aside(self) -> dict[str, SetAside]:
        return {str(said.table): said for said in self.sink.set_aside("shop")}


@pytest.fixture
def made(open_lake: OpenLake) -> Lake:
    return Lake(open_lake())


def rows(lake: Path, folder: str) -> list[tuple[int, str, int]]:
    """`_cdc_seq`, operation and the source's number of the table, of all rows in a folder."""
    found = []
    for path in (lake / folder).rglob("*.parquet"):
        relation = int(pq.ParquetFile(path).schema_arrow.metadata[b"cdc.relation"])
        read = pq.ParquetFile(path).read(columns=["_cdc_seq", "_cdc_op"]).to_pylist()
        found += [(row["_cdc_seq"], row["_cdc_op"], relation) for row in read]
    return sorted(found)


def newest_manifest(lake: Path) -> dict[str, Any]:
    paths = sorted((lake / "_cdc" / "commits").rglob("*.json"))
    content: dict[str, Any] = orjson.loads(paths[-1].read_bytes())
    return content


def test_a_name_too_long_for_a_folder_is_set_aside_and_the_others_go_on(
    lake: Path, made: Lake, open_lake: OpenLake
) -> None:
    made.apply(changes(LONG, [("c", {"id": 1})], seqs=[0]), changes(ORDERS, [("c", {"id": 1})], seqs=[1]))
    assert rows(lake, "public.orders") == [(1, "c", 1)]
    said = made.aside()[str(LONG.table)]
    assert (said.since, said.kind, said.deliverable) == (0, "UnsupportedSchema", False)
    assert "bytes too long" in said.message
    assert [one["table"] for one in newest_manifest(lake)["set_aside"]] == [LONG.table.name]
    assert "table-set-aside" in [finding.code for finding in made.sink.check()]
    # It survives a restart, and a rename in the source is noticed.
    made.sink.close()
    made.sink = open_lake(epoch=2)
    assert not made.sink.reconsider("shop", LONG)
    short = replace(LONG, table=TableId("public", "short"))
    made.change(short, ("c", {"id": 2}))
    assert list(made.aside()) == ["public.short"]
    assert made.aside()["public.short"].deliverable
    made.change(short, ("c", {"id": 3}), ("t", None), ("r", {"id": 1}), ("c", {"id": 4}))
    assert rows(lake, "public.short") == [(4, "t", 2), (5, "r", 2), (6, "c", 2)]
    assert made.aside() == {}
    assert newest_manifest(lake)["set_aside"] == []


def test_a_folder_with_files_of_someone_else_sets_its_table_aside(lake: Path, made: Lake) -> None:
    (lake / "public.orders").mkdir(parents=True)
    strange = lake / "public.orders" / "x.parquet"
    pq.write_table(pa.table({"id": [1]}), strange)
    made.change(ORDERS, ("c", {"id": 1}))
    said = made.aside()["public.orders"]
    assert "holds files that this lake did not write" in said.message
    strange.unlink()


def test_tables_that_swap_names_are_told_apart_and_copied_again(lake: Path, made: Lake) -> None:
    other = table("public.other", {"id": pa.int64()}, relation=2)
    made.change(ORDERS, ("c", {"id": 1}))
    made.change(other, ("c", {"id": 2}))
    assert made.aside() == {}
    swapped = [replace(ORDERS, table=other.table), replace(other, table=ORDERS.table)]
    for schema in swapped:
        made.change(schema, ("c", {"id": 3}))
    # No change is skipped; every file has rows of one table, and the manifest says since when.
    assert rows(lake, "public.orders") == [(0, "c", 1), (3, "c", 2)]
    assert rows(lake, "public.other") == [(1, "c", 2), (2, "c", 1)]
    told = {one["table"]: (one["since"], one["relation"]) for one in newest_manifest(lake)["set_aside"]}
    assert told == {"orders": (3, 2), "other": (2, 1)}
    assert {name: (said.deliverable, said.skips) for name, said in made.aside().items()} == {
        "public.orders": (True, False),
        "public.other": (True, False),
    }
    # The copies begin with a truncate: from there on each folder gives its table's rows.
    for schema in swapped:
        made.change(schema, ("t", None), ("r", {"id": 9}))
    assert made.aside() == {}
    for schema in swapped:
        made.change(schema, ("c", {"id": 10}))
    assert made.aside() == {}


def test_tables_that_are_both_set_aside_and_swap_names_stay_set_aside(lake: Path, made: Lake) -> None:
    odd = Column("odd", pa.month_day_nano_interval(), "odd")
    known = [table(f"public.{name}", {"id": pa.int64()}, relation=i) for i, name in enumerate("ab", 1)]
    refused = [replace(one, columns=(*one.columns, odd)) for one in known]
    made.apply(*(altered(one, i) for i, one in enumerate(refused)))
    assert list(made.aside()) == ["public.a", "public.b"]
    swapped = [replace(one, table=other.table) for one, other in zip(known, known[::-1], strict=True)]
    made.apply(altered(swapped[0], 2))
    # The second table is known by its number, whatever comes of it next.
    assert {one["relation"] for one in newest_manifest(lake)["set_aside"]} == {1, 2}
    made.apply(altered(swapped[1], 3), changes(swapped[1], [("c", {"id": 1})], start=4))
    told = {one["table"]: one["relation"] for one in newest_manifest(lake)["set_aside"]}
    assert told == {"a": 2, "b": 1}
    assert rows(lake, "public.a") == []
    for one in swapped:
        made.change(one, ("t", None), ("r", {"id": 9}))
    assert made.aside() == {}


def test_a_renamed_table_that_comes_back_is_copied_again_too(made: Lake) -> None:
    made.change(ORDERS, ("c", {"id": 1}))
    made.change(replace(ORDERS, table=TableId("public", "away")), ("c", {"id": 2}))
    assert list(made.aside()) == ["public.away"]
    made.change(ORDERS, ("c", {"id": 3}))
    assert list(made.aside()) == ["public.orders"]
    made.change(ORDERS, ("t", None), ("r", {"id": 1}))
    assert made.aside() == {}
