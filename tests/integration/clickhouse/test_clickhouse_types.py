"""Every Arrow type of docs/sinks/clickhouse.md goes in and comes out unchanged: in rows, keys, holes, fills
and old images.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from cdc.model import Column, TableSchema
from cdc.testing.events import table
from tests.support.arrow_types import expected
from tests.support.clickhouse_sinks import FedClickHouse

# Arrow type, two values, ClickHouse type, what ClickHouse shows of the values as text.
TYPES = expected(
    {
        "bool": "Bool",
        "int8": "Int8",
        "int16": "Int16",
        "int32": "Int32",
        "int64": "Int64",
        "uint8": "UInt8",
        "uint16": "UInt16",
        "uint32": "UInt32",
        "uint64": "UInt64",
        "float16": "Float32",
        "float32": (pa.float32(), [0.1, float("-inf")], "Float32", ["0.1", "-inf"]),
        "float64": "Float64",
        "decimal": "Decimal(38, 2)",
        "short": ("Decimal(18, 5)", ["-9999999999999.99999", "10000.0001"]),
        "decimal256": "Decimal(76, 30)",
        "string": (pa.string(), ["é'\"\n\\ \x00", ""], "String", ["é'\"\n\\ \x00", ""]),
        "large_string": "String",
        "dictionary": "String",
        "binary": "String",
        "fixed": (pa.binary(2), [b"\x00a", b"\xfe\xff"], "String", ["0061", "FEFF"]),
        "date": (
            pa.date32(),
            [date(1900, 1, 1), date(2299, 12, 31)],
            "Date32",
            ["1900-01-01", "2299-12-31"],
        ),
        "time": ("String", ["23:59:59.999999", "00:00:00.000000"]),
        "timestamp": (
            pa.timestamp("us"),
            [-2_208_988_800_000_000, 10_413_791_999_999_999],
            "DateTime64(6, 'UTC')",
            ["1900-01-01 00:00:00.000000", "2299-12-31 23:59:59.999999"],
        ),
        "timestamptz": (
            "DateTime64(6, 'UTC')",
            ["1969-12-31 23:59:59.999999", "1970-01-01 00:00:00.000000"],
        ),
        "seconds": ("DateTime64(6, 'UTC')", ["1969-12-31 23:59:59.000000", "1970-01-01 00:00:00.000000"]),
        "duration": (
            pa.duration("us"),
            [-(838 * 3600 + 59 * 60 + 59) * 10**6 - 1, 3600 * 10**6],
            "String",
            ["-838:59:59.000001", "01:00:00.000000"],
        ),
        "uuid": "UUID",
        "json": "String",
        "list": "String",
        "nested": "String",
        "decimals": "String",
        "vector": (
            pa.list_(pa.float32()),
            [[1.5, -0.0, float("inf")], [float("nan")]],
            "String",
            ['[1.5,-0.0,"Infinity"]', '["NaN"]'],
        ),
        "moments": (
            pa.list_(pa.timestamp("us", "UTC")),
            [[0, None], [-1]],
            "String",
            ['["1970-01-01 00:00:00.000000",null]', '["1969-12-31 23:59:59.999999"]'],
        ),
        "blobs": (pa.list_(pa.binary()), [[b"\x00\xff"], []], "String", ['["\\\\x00ff"]', "[]"]),
    }
)
BYTES = ("binary", "fixed")
ID = Column("id", pa.int32(), "integer", nullable=False, id=99)


def all_columns() -> tuple[Column, ...]:
    kinds = enumerate(TYPES.items(), 1)
    return tuple(Column(name, arrow, str(arrow), id=i) for i, (name, (arrow, *_)) in kinds)


def schema_of(*columns: Column, key: tuple[str, ...] = ("id",), name: str = "t") -> TableSchema:
    made = table(f"app.{name}", {"id": pa.int32()}, key=key, identity="key" if key else "full", relation=7)
    return replace(made, columns=columns, relation=7 if name == "t" else None)


def shown(place: int) -> dict[str, str]:
    return {name: texts[place] for name, (*_, texts) in TYPES.items()}


def row(place: int) -> dict[str, Any]:
    return {name: values[place] for name, (_, values, *_) in TYPES.items()}


def texts(sink: FedClickHouse, place: str = "app.t", where: str = "1") -> dict[int, dict[str, str | None]]:
    """What the server shows of each row, by its id: a value's text, or the hex digits of bytes."""
    chosen = ", ".join(f"{'hex' if name in BYTES else 'toString'}({name}) as {name}_text" for name in TYPES)
    found = sink.server.query(f"select id, {chosen} from {place} final where {where}")
    return {one.pop("id"): {name.removesuffix("_text"): text for name, text in one.items()} for one in found}


@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_values_of_every_type_come_out_unchanged(
    open_clickhouse: Callable[..., FedClickHouse], mode: str
) -> None:
    sink = open_clickhouse(mode=mode)
    schema = schema_of(ID, *all_columns())
    nothing = dict.fromkeys(TYPES)
    sink.change(schema, ("c", {"id": 0, **row(0)}), ("c", {"id": 1, **row(1)}), ("c", {"id": 2, **nothing}))
    assert sink.set_aside == []
    kinds = {name: f"Nullable({kind})" for name, (_, _, kind, _) in TYPES.items()}
    assert sink.columns("app.t") == {"id": "Nullable(Int32)" if mode == "append" else "Int32", **kinds}
    if mode == "append":
        assert sink.server.query("select count() as n from app.t") == [{"n": 3}]
        return
    assert texts(sink) == {0: shown(0), 1: shown(1), 2: nothing}


def test_key_of_every_type_finds_its_row(open_clickhouse: Callable[..., FedClickHouse]) -> None:
    sink = open_clickhouse()
    for name in TYPES.keys() - {"float64"}:
        key = Column(name, TYPES[name][0], id=1)
        schema = schema_of(key, Column("n", pa.int32(), id=2), key=(name,), name=name)
        first, second = ({name: value} for value in TYPES[name][1])
        sink.apply(*_batches(sink, schema, ("c", first | {"n": 1}), ("c", second | {"n": 2})))
        sink.change(schema, ("u", first | {"n": 3}), ("d", second))
        assert sink.rows(f"app.{name}", "n") == [(3,)], name
    assert sink.set_aside == []


def _batches(sink: FedClickHouse, schema: TableSchema, *changed: Any) -> list[Any]:
    from cdc.testing.events import changes

    return [changes(schema, changed, start=sink.next)]


def test_unchanged_value_of_every_type_is_kept_when_the_key_changes(
    open_clickhouse: Callable[..., FedClickHouse],
) -> None:
    sink = open_clickhouse()
    schema = schema_of(ID, *all_columns())
    sink.change(schema, ("c", {"id": 1, **row(0)}))
    sink.change(schema, ("u", {"id": 2, **dict.fromkeys(TYPES)}, {"id": 1}, list(TYPES)))
    assert texts(sink) == {2: shown(0)}


@pytest.mark.parametrize("mode", ["mirror", "history"])
def test_row_without_key_is_found_by_its_values_of_every_type(
    open_clickhouse: Callable[..., FedClickHouse], mode: str
) -> None:
    sink = open_clickhouse(mode=mode)
    schema = schema_of(ID, *all_columns(), key=())
    first, second = ({"id": i, **row(i)} for i in (0, 1))
    nothing = {"id": None, **dict.fromkeys(TYPES)}
    sink.change(schema, *(("c", one) for one in (first, second, second, nothing)))
    sink.change(schema, ("d", second), ("d", nothing))
    assert sink.counted.get("rows_not_found", 0) == 0
    alive = sink.rows("app.t", "id", "_cdc_version = 0")
    assert alive == [(0,), (1,)]


def test_old_image_of_every_type_is_in_the_changelog(open_clickhouse: Callable[..., FedClickHouse]) -> None:
    sink = open_clickhouse(mode="append")
    schema = schema_of(ID, *all_columns())
    sink.change(schema, ("u", {"id": 1, **row(1)}, {"id": 1, **row(0)}))
    (found,) = sink.server.query("select _cdc_before as image from app.t")
    image = json.loads(found["image"], parse_float=str, parse_int=str)
    spoken = {"bool": True, "float32": "-inf"}
    for name, text in shown(0).items():
        told = (
            f"\\x{text.lower()}"
            if name == "binary"
            else bytes.fromhex(text).decode()
            if name == "fixed"
            else text
        )
        assert image[name] == spoken.get(name, told) or name == "float32", name


def test_fill_of_every_type_arrives_exactly(open_clickhouse: Callable[..., FedClickHouse]) -> None:
    sink = open_clickhouse()
    schema = schema_of(ID)
    sink.change(schema, ("c", {"id": 1}))
    filled = tuple(
        replace(column, fill=pa.array([TYPES[column.name][1][0]], column.type)[0]) for column in all_columns()
    )
    wider = replace(schema, columns=(ID, *filled), version=2)
    sink.change(wider, ("c", {"id": 2, **dict.fromkeys(TYPES)}))
    assert sink.set_aside == []
    assert texts(sink) == {1: shown(0), 2: dict.fromkeys(TYPES)}


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.date32(), -25568, "1899-12-31"),
        (pa.date32(), 120530, "2300-01-01"),
        (pa.timestamp("us"), -(2**60), "-34565-05-17 02:29:53.153024"),
    ],
)
def test_date_that_clickhouse_would_clamp_sets_its_table_aside_or_is_text(
    open_clickhouse: Callable[..., FedClickHouse], kind: pa.DataType, value: int, text: str
) -> None:
    sink = open_clickhouse()
    schema = schema_of(ID, Column("v", kind, id=1))
    sink.change(schema, ("c", {"id": 1, "v": 0}))
    sink.change(schema, ("c", {"id": 2, "v": value}))
    (reason,) = sink.set_aside
    assert "1900 to 2299" in reason
    assert sink.rows("app.t", "id") == [(1,)]
    again = open_clickhouse(epoch=2, timestamps="text")
    other = replace(schema, table=replace(schema.table, name="u"), relation=8)
    again.next = sink.next
    again.change(other, ("c", {"id": 1, "v": value}))
    assert again.rows("app.u", "v") == [(text,)]


def test_table_with_a_type_without_counterpart_is_set_aside(
    open_clickhouse: Callable[..., FedClickHouse],
) -> None:
    sink = open_clickhouse()
    sink.change(schema_of(ID, Column("v", pa.month_day_nano_interval())), ("c", {"id": 1}))
    assert sink.set_aside == [
        "app.t.v: the Arrow type month_day_nano_interval has no exact counterpart in ClickHouse"
    ]
