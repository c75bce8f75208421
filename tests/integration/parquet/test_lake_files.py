"""What stands in the lake's files, as its readers see it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from cdc.lake.parquet import WIDE_VALUE_BYTES
from cdc.model import Envelope
from cdc.testing.events import EPOCH, changes, delivery, table
from cdc_sink_parquet import ParquetSink

OpenLake = Callable[..., ParquetSink]
Query = Callable[..., list[tuple[Any, ...]]]

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, relation=16384, version=3)
WIDE = table(
    "public.wide",
    {
        "id": pa.int64(),
        "uuid": pa.uuid(),
        "doc": pa.json_(),
        "price": pa.decimal128(12, 2),
        "huge": pa.decimal128(38, 4),
        "giant": pa.decimal256(60, 2),
        "day": pa.date32(),
        "at": pa.timestamp("us"),
        "at_utc": pa.timestamp("us", "UTC"),
        "clock": pa.time64("us"),
        "small": pa.int16(),
        "oid": pa.uint32(),
        "ratio": pa.float64(),
        "blob": pa.binary(),
        "flag": pa.bool_(),
        "tags": pa.list_(pa.list_(pa.int32())),
    },
)
WIDE_ROW = {
    "id": 1,
    "uuid": uuid.UUID(int=7).bytes,
    "doc": '{"a": [1, null]}',
    "price": Decimal("-12.50"),
    "huge": Decimal("1234567890123456789012345678901234.5678"),
    "giant": Decimal("9" * 57 + ".25"),
    "day": date(2026, 11, 23),
    "at": datetime(1700, 1, 1, 1, 2, 3, 456789),  # noqa: DTZ001  (a timestamp without time zone)
    "at_utc": datetime(2026, 11, 23, tzinfo=UTC),
    "clock": datetime(2026, 1, 1, 23, 59, 59, 999999).time(),  # noqa: DTZ001
    "small": -3,
    "oid": 2**32 - 1,
    "ratio": -0.0,
    "blob": b"\x00\xff",
    "flag": False,
    "tags": [[1, None], [], [3]],
}


def files(lake: Path, folder: str = "public.orders") -> list[str]:
    return sorted(str(path.relative_to(lake / folder)) for path in (lake / folder).rglob("*.parquet"))


def test_a_file_is_named_by_the_range_of_its_rows(lake: Path, open_lake: OpenLake) -> None:
    open_lake().apply(delivery([changes(ORDERS, [("c", {"id": 1})] * 3, start=5)], first=0, next=20))
    assert files(lake) == ["dt=2026-11-23/0000000000000000005-0000000000000000007.parquet"]


def test_a_file_has_the_columns_and_then_the_whole_envelope(lake: Path, open_lake: OpenLake) -> None:
    open_lake().apply(delivery([changes(ORDERS, [("c", {"id": 1, "note": "a"})])], first=0, next=1))
    schema = pq.read_schema(next(lake.rglob("*.parquet")))
    assert schema.names == ["id", "note", *Envelope.ALWAYS, Envelope.BEFORE, Envelope.UNCHANGED]
    assert schema.field(Envelope.OP).type == pa.string()
    assert schema.field(Envelope.COMMIT_AT).type == pa.timestamp("us", "UTC")
    assert schema.field(Envelope.BEFORE).type.names == ["id", "note"]


def test_all_types_come_back_from_pyarrow_as_they_were(lake: Path, open_lake: OpenLake) -> None:
    batch = changes(WIDE, [("c", WIDE_ROW), ("c", {"id": 2}), ("u", WIDE_ROW, WIDE_ROW, ["doc"])])
    open_lake().apply(delivery([batch], first=0, next=3))
    found = pq.ParquetFile(next(lake.rglob("*.parquet"))).read().to_pylist()
    assert found == list(batch.rows())


def test_all_types_are_read_by_duckdb(lake: Path, open_lake: OpenLake, query: Query) -> None:
    open_lake().apply(delivery([changes(WIDE, [("c", WIDE_ROW)])], first=0, next=1))
    names = [
        "uuid",
        "doc",
        "price",
        "huge",
        "day",
        "at",
        "clock",
        "small",
        "oid",
        "ratio",
        "blob",
        "flag",
        "tags",
    ]
    selected = ", ".join(f'"{name}"' for name in names)
    [row] = query(
        f"select {selected}, epoch_us(at_utc) from read_parquet(?)", f"{lake}/public.wide/**/*.parquet"
    )
    expected = [WIDE_ROW[name] for name in names]
    expected[0] = uuid.UUID(int=7)
    assert row == (*expected, int(datetime(2026, 11, 23, tzinfo=UTC).timestamp() * 1_000_000))


def test_a_file_tells_its_source_table_version_and_position(lake: Path, open_lake: OpenLake) -> None:
    open_lake().apply(delivery([changes(ORDERS, [("c", {"id": 1})])], first=0, next=1, at=0x16B374D848))
    found = pq.read_metadata(next(lake.rglob("*.parquet"))).metadata
    expected = {
        b"cdc.source": b"shop",
        b"cdc.table": b"public.orders",
        b"cdc.schema_version": b"3",
        b"cdc.relation": b"16384",
        b"cdc.column_ids": b'{"id": 1, "note": 2}',
        b"cdc.position": b"16/B374D848",
        b"cdc.key": b'["id"]',
        b"cdc.first": b"0",
        b"cdc.last": b"0",
    }
    assert expected.items() <= found.items()


def test_columns_have_statistics_and_page_indexes(lake: Path, open_lake: OpenLake) -> None:
    rows = [("c", {"id": i, "note": f"n{i:04d}"}) for i in range(100)]
    open_lake().apply(delivery([changes(ORDERS, rows)], first=0, next=100))
    group = pq.read_metadata(next(lake.rglob("*.parquet"))).row_group(0)
    by_name = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert (by_name["id"].statistics.min, by_name["id"].statistics.max) == (0, 99)
    assert (by_name["note"].statistics.min, by_name["note"].statistics.max) == ("n0000", "n0099")
    assert by_name["_cdc_seq"].has_offset_index
    assert by_name["_cdc_seq"].has_column_index
    assert by_name["id"].compression == "ZSTD"
    assert "DELTA_BINARY_PACKED" in by_name["id"].encodings


def test_wide_values_go_into_a_file_without_statistics_of_texts(lake: Path, open_lake: OpenLake) -> None:
    narrow = [("c", {"id": i, "note": f"n{i}"}) for i in range(1024)]
    wide = [("c", {"id": 1024, "note": "x" * WIDE_VALUE_BYTES}), ("c", {"id": 1025, "note": None})]
    parts = [[changes(ORDERS, narrow)], [changes(ORDERS, wide, start=1024)]]
    open_lake(row_group_rows=1024).apply(delivery([], first=0, next=1026, parts=lambda: iter(parts)))
    files = sorted(lake.glob("public.orders/**/*.parquet"))
    assert [pq.read_metadata(file).num_rows for file in files] == [1024, 2]
    notes = [pq.read_metadata(file).row_group(0).column(1) for file in files]
    assert [column.is_stats_set for column in notes] == [True, False]
    assert pq.read_metadata(files[1]).row_group(0).column(0).statistics.max == 1025


def test_rows_are_split_by_the_day_of_their_commit(lake: Path, open_lake: OpenLake) -> None:
    today = changes(ORDERS, [("c", {"id": 1})], seqs=[0], commit_at=EPOCH)
    tomorrow = changes(ORDERS, [("c", {"id": 2})], seqs=[1], commit_at=EPOCH + timedelta(days=1))
    unknown = changes(ORDERS, [("r", {"id": 3})], seqs=[2], commit_at=None)
    late = changes(ORDERS, [("c", {"id": 4})], seqs=[3], commit_at=EPOCH)
    open_lake().apply(delivery([today, tomorrow, unknown, late], first=0, next=4))
    assert files(lake) == [
        "dt=2026-11-23/0000000000000000000-0000000000000000003.parquet",
        "dt=2026-11-24/0000000000000000001-0000000000000000001.parquet",
        "dt=__HIVE_DEFAULT_PARTITION__/0000000000000000002-0000000000000000002.parquet",
    ]


def test_a_batch_over_midnight_is_split(lake: Path, open_lake: OpenLake, query: Query) -> None:
    batch = changes(ORDERS, [("c", {"id": i}) for i in range(4)])
    index = batch.data.schema.get_field_index(Envelope.COMMIT_AT)
    moments = [EPOCH + timedelta(hours=8 * i) for i in range(4)]
    data = batch.data.set_column(index, Envelope.COMMIT_AT, pa.array(moments, Envelope.COMMIT_AT_TYPE))
    open_lake().apply(delivery([type(batch)(ORDERS, data)], first=0, next=4))
    pattern = f"'{lake}/public.orders/**/*.parquet'"
    found = query(f"select dt::text, list(id order by id) from read_parquet({pattern}) group by 1")
    assert sorted(found) == [("2026-11-23", [0, 1]), ("2026-11-24", [2, 3])]


def test_a_column_called_dt_is_not_hidden_by_the_partition(
    lake: Path, open_lake: OpenLake, query: Query
) -> None:
    odd = table("public.odd", {"id": pa.int64(), "dt": pa.string()})
    open_lake().apply(delivery([changes(odd, [("c", {"id": 1, "dt": "mine"})])], first=0, next=1))
    assert files(lake, "public.odd")[0].startswith("cdc_dt=2026-11-23/")
    assert query(f"select dt from read_parquet('{lake}/public.odd/**/*.parquet')") == [("mine",)]


def test_the_partition_may_be_changed_later(lake: Path, open_lake: OpenLake, query: Query) -> None:
    first = open_lake(partition="day")
    first.apply(delivery([changes(ORDERS, [("c", {"id": 1})])], first=0, next=1))
    first.close()
    second = open_lake(epoch=2, partition="none")
    second.apply(delivery([changes(ORDERS, [("c", {"id": 2})], start=1)], first=1, next=2))
    assert query(f"select count(*) from read_parquet('{lake}/public.orders/**/*.parquet')") == [(2,)]


def test_a_schema_change_begins_a_new_file_and_readers_unite_them(
    lake: Path, open_lake: OpenLake, query: Query
) -> None:
    wider = table("public.orders", {"id": pa.int64(), "note": pa.string(), "extra": pa.int32()}, version=4)
    batches = [
        changes(ORDERS, [("c", {"id": 1, "note": "a"})]),
        changes(wider, [("c", {"id": 2, "note": "b", "extra": 7})], start=1),
    ]
    open_lake().apply(delivery(batches, first=0, next=2))
    assert len(files(lake)) == 2
    pattern = f"'{lake}/public.orders/**/*.parquet'"
    found = query(f"select id, extra from read_parquet({pattern}, union_by_name = true) order by _cdc_seq")
    assert found == [(1, None), (2, 7)]
    schemas = [pq.read_schema(path) for path in lake.rglob("*.parquet")]
    united = ds.dataset(
        lake / "public.orders", pa.unify_schemas(schemas, promote_options="permissive")
    ).to_table()
    assert sorted(united.column("id").to_pylist()) == [1, 2]


def test_a_large_delivery_is_rolled_into_files_of_the_given_size(lake: Path, open_lake: OpenLake) -> None:
    noise = [uuid.uuid4().hex * 20 for _ in range(1024)]
    rows = [("c", {"id": i, "note": note}) for i, note in enumerate(noise)]
    batches = [changes(ORDERS, rows, start=i * 1024) for i in range(12)]
    sink = open_lake(row_group_rows=1024, file_bytes="1MiB", compression="none")
    sink.apply(delivery(batches, first=0, next=12 * 1024))
    found = [
        pq.ParquetFile(lake / "public.orders" / name).read(["_cdc_seq"]).column(0) for name in files(lake)
    ]
    assert len(found) > 3
    assert [seq for column in found for seq in column.to_pylist()] == list(range(12 * 1024))


def test_rows_of_a_file_are_ordered_by_seq_over_many_row_groups(lake: Path, open_lake: OpenLake) -> None:
    batches = [changes(ORDERS, [("c", {"id": i})] * 300, start=i * 300) for i in range(10)]
    open_lake(row_group_rows=1024).apply(delivery(batches, first=0, next=3000))
    file = pq.ParquetFile(next(lake.rglob("*.parquet")))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [1200, 1200, 600]
    assert file.read().column("_cdc_seq").to_pylist() == list(range(3000))


def test_a_table_without_columns_is_written(lake: Path, open_lake: OpenLake) -> None:
    bare = table("public.bare", {}, key=(), identity="full")
    open_lake().apply(delivery([changes(bare, [("c", {}), ("t", None)])], first=0, next=2))
    assert pq.read_table(next(lake.rglob("*.parquet"))).column("_cdc_op").to_pylist() == ["c", "t"]
