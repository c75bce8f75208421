"""Files tell what rows older than their columns have, and the documentation's code reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cdc.model import Column, TableSchema
from cdc.testing.events import changes, delivery, table
from cdc_sink_parquet import ParquetSink
from tests.integration.parquet.test_lake_current_state import DOCUMENT

OpenLake = Callable[..., ParquetSink]
Query = Callable[..., list[tuple[Any, ...]]]

PRIORITY = Column("priority", pa.int32(), "integer", id=3, fill=pa.scalar(7, pa.int32()))
TAGS = Column(
    "tags", pa.list_(pa.string()), "text[]", id=4, fill=pa.scalar(["a", None], pa.list_(pa.string()))
)
ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, relation=16384)
WIDER = replace(ORDERS, columns=(*ORDERS.columns, PRIORITY, TAGS))
# The default is forgotten when a later column is added.
WIDEST = replace(WIDER, columns=(*WIDER.columns, Column("seen", pa.bool_(), "boolean", id=5)))


def documented(language: str, mark: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return next(block for block in blocks if mark in block)


def read_filled(lake: Path) -> list[dict[str, Any]]:
    """By the documentation's own Python."""
    code: dict[str, Any] = {}
    exec(documented("python", "def read_filled"), code)
    return [row for part in code["read_filled"](lake / "public.orders") for row in part.to_pylist()]


def three_versions(sink: ParquetSink) -> None:
    sink.apply(delivery([changes(ORDERS, [("c", {"id": 1}), ("u", {"id": 1}, {"id": 1})])], first=0, next=2))
    sink.apply(
        delivery([changes(WIDER, [("c", {"id": 2, "priority": 1, "tags": []})], start=2)], first=2, next=3)
    )
    sink.apply(delivery([changes(WIDEST, [("c", {"id": 3})], start=3)], first=3, next=4))


def told(lake: Path) -> list[Any]:
    paths = sorted((lake / "public.orders").rglob("*.parquet"))
    return [json.loads(pq.read_metadata(path).metadata[b"cdc.fills"]) for path in paths]


def test_each_file_tells_the_fills_of_its_own_columns(lake: Path, open_lake: OpenLake) -> None:
    three_versions(open_lake())
    assert told(lake) == [{}, {"priority": "7", "tags": ["a", None]}, {"priority": "7", "tags": ["a", None]}]


def test_the_documented_sql_fills_older_rows(lake: Path, open_lake: OpenLake, query: Query) -> None:
    three_versions(open_lake())
    sql = documented("sql", "parquet_kv_metadata").replace("'lake/", f"'{lake}/").rstrip().rstrip(";")
    found = query(f"select id, priority, tags, seen from ({sql}) order by _cdc_seq")
    old = ["a", None]
    assert found == [(1, 7, old, None), (1, 7, old, None), (2, 1, [], None), (3, None, None, None)]


def test_the_documented_python_fills_older_rows_also_behind_a_rename(lake: Path, open_lake: OpenLake) -> None:
    sink = open_lake()
    plain = replace(WIDER, columns=(*ORDERS.columns, PRIORITY))
    renamed = replace(
        plain, columns=(*ORDERS.columns, replace(PRIORITY, name="rank", type=pa.int64(), fill=None))
    )
    sink.apply(delivery([changes(ORDERS, [("c", {"id": 1})])], first=0, next=1))
    sink.apply(delivery([changes(plain, [("c", {"id": 2, "priority": 1})], start=1)], first=1, next=2))
    sink.apply(delivery([changes(renamed, [("c", {"id": 3, "rank": 2})], start=2)], first=2, next=3))
    assert [(row["id"], row["rank"]) for row in read_filled(lake)] == [(1, 7), (2, 1), (3, 2)]


def test_a_replay_keeps_what_files_tell_also_where_it_cuts_them(lake: Path, open_lake: OpenLake) -> None:
    sink = open_lake()
    wide: TableSchema = replace(WIDER, columns=(*ORDERS.columns, PRIORITY))
    sink.apply(delivery([changes(ORDERS, [("c", {"id": 1})])], first=0, next=1))
    later = delivery([changes(wide, [("c", {"id": 2}), ("c", {"id": 3})], start=1)], first=1, next=3)
    sink.apply(later)
    sink.rewind("shop", 2)
    sink.apply(delivery([changes(wide, [("c", {"id": 3})], start=2)], first=2, next=3))
    assert told(lake) == [{}, {"priority": "7"}, {"priority": "7"}]
    assert [(row["id"], row["priority"]) for row in read_filled(lake)] == [(1, 7), (2, None), (3, None)]
