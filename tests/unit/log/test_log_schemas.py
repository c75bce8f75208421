from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.log.arrow import decode_schema, encode_schema
from cdc.model import ChangeSet, Column, TableId, TableSchema
from cdc.testing.events import append, changes, position, table
from tests.support.logs import ORDERS, one, opened, rows, schemas

TYPES = [
    pa.bool_(),
    pa.int16(),
    pa.uint32(),
    pa.uint64(),
    pa.float32(),
    pa.decimal128(38, 10),
    pa.decimal256(76, 0),
    pa.string(),
    pa.binary(),
    pa.date32(),
    pa.time64("us"),
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
    pa.json_(),
    pa.uuid(),
    pa.list_(pa.list_(pa.int32())),
    pa.list_(pa.uuid()),
]
ODD_NAMES = ['a"b', "a\nb", "ÄÖ", "0", "1", "select", " ", "x" * 63, "_cdc", "."]


@pytest.mark.parametrize("arrow_type", TYPES, ids=str)
def test_schema_type_survives(arrow_type: pa.DataType) -> None:
    schema = TableSchema(TableId("s", "t"), (Column("c", arrow_type, "its type", nullable=False, id=3),))
    assert decode_schema(encode_schema(schema)) == schema


def test_schema_survives_whole() -> None:
    fills = [
        pa.scalar(7, pa.int32()),
        None,
        pa.scalar(["a", None], pa.list_(pa.string())),
        pa.scalar("{}", pa.json_()),
    ]
    types = [pa.int32(), pa.string(), pa.list_(pa.string()), pa.json_()]
    columns = tuple(
        Column(f"c{i}", t, str(t), nullable=i % 2 == 0, id=None if i == 1 else i, fill=fill)
        for i, (t, fill) in enumerate(zip(types, fills, strict=True))
    )
    schema = TableSchema(TableId('od"d', "na.me"), columns, ("c2", "c0"), "full", 4_000_000_000, 12)
    decoded = decode_schema(encode_schema(schema))
    assert decoded == schema
    assert [column.fill for column in decoded.columns] == fills


def test_any_column_name_survives(tmp_path: Path) -> None:
    odd = table("odd.names", dict.fromkeys(ODD_NAMES, pa.string()), key=())
    row = {name: f"value of {name}" for name in ODD_NAMES}
    with opened(tmp_path) as log:
        append(log, ChangeSet((changes(odd, [("u", row, row)]),), position(1), 1))
        (found,) = rows(log)
        assert {name: found[name] for name in ODD_NAMES} == row
        assert found["_cdc_before"] == row


def test_a_table_without_columns_survives(tmp_path: Path) -> None:
    bare = table("public.bare", {}, key=())
    with opened(tmp_path) as log:
        append(log, ChangeSet((changes(bare, [("c", {}), ("c", {})]),), position(1), 2))
        assert len(rows(log)) == 2


def test_same_shape_keeps_its_version_and_a_change_takes_the_next(tmp_path: Path) -> None:
    wider = replace(
        ORDERS, columns=(*ORDERS.columns, Column("extra", pa.int32(), fill=pa.scalar(5, pa.int32())))
    )
    with opened(tmp_path) as log:
        for at, schema in enumerate([ORDERS, ORDERS, wider, wider, ORDERS]):
            append(log, ChangeSet((changes(schema, [("c", {"id": at})]),), position(at), 1))
        assert [batch.schema.version for batch in log.read(0, 5)] == [1, 1, 2, 2, 3]
        assert log.schema(ORDERS.table) == ORDERS.with_version(3)
    with opened(tmp_path) as log:
        append(log, one(9, 9))
        assert [batch.schema.version for batch in log.read(0, 6)] == [1, 1, 2, 2, 3, 3]


def test_versions_go_on_over_segments(tmp_path: Path) -> None:
    wider = replace(ORDERS, columns=(*ORDERS.columns, Column("extra", pa.int32())))
    with opened(tmp_path, segment_bytes=1) as log:
        for at, schema in enumerate([ORDERS, wider, wider]):
            append(log, ChangeSet((changes(schema, [("c", {"id": at})]),), position(at), 1))
        assert len(log.segments) == 3
        assert [batch.schema.version for batch in log.read(0, 3)] == [1, 2, 2]
        log.trim(2, max_bytes=0)
        assert [batch.schema for batch in log.read(2, 3)] == [wider.with_version(2)]
    with opened(tmp_path) as log:
        assert schemas(log) == {ORDERS.table: wider.with_version(2)}


def test_two_shapes_of_one_table_in_one_set_are_two_versions(tmp_path: Path) -> None:
    wider = replace(ORDERS, columns=(*ORDERS.columns, Column("extra", pa.int32())))
    both = (changes(ORDERS, [("c", {"id": 1})]), changes(wider, [("c", {"id": 2, "extra": 3})], start=1))
    with opened(tmp_path) as log:
        append(log, ChangeSet(both, position(1), 2))
        assert [batch.schema.version for batch in log.read(0, 2)] == [1, 2]
