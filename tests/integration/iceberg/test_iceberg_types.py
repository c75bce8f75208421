"""Every Arrow type of docs/sinks/iceberg.md goes in and comes out unchanged: in rows, keys, holes, fills and
old images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from cdc.model import Column, TableSchema
from cdc.testing.events import altered, changes, table
from tests.support.iceberg import FedIceberg, load_table

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (a timestamp without a zone)
# Arrow type, two values, Iceberg type, what PyIceberg reads; None: the values themselves.
TYPES: dict[str, tuple[pa.DataType, list[Any], str, list[Any] | None]] = {
    "bool": (pa.bool_(), [True, False], "boolean", None),
    "int8": (pa.int8(), [-128, 127], "int", None),
    "int16": (pa.int16(), [-(2**15), 5], "int", None),
    "int32": (pa.int32(), [-(2**31), 5], "int", None),
    "int64": (pa.int64(), [-(2**63), 5], "long", None),
    "uint8": (pa.uint8(), [255, 0], "int", None),
    "uint16": (pa.uint16(), [65535, 0], "int", None),
    "uint32": (pa.uint32(), [2**32 - 1, 0], "long", None),
    "uint64": (pa.uint64(), [2**64 - 1, 0], "decimal(20, 0)", [Decimal(2**64 - 1), Decimal(0)]),
    "float16": (pa.float16(), [1.5, -2.0], "float", None),
    "float32": (pa.float32(), [0.5, float("-inf")], "float", None),
    "float64": (pa.float64(), [0.1, float("inf")], "double", None),
    "decimal": (pa.decimal128(38, 2), [Decimal("9" * 36 + ".99"), Decimal("-0.01")], "decimal(38, 2)", None),
    "short": (pa.decimal128(18, 5), [Decimal("-0.00001"), Decimal("1.00010")], "decimal(18, 5)", None),
    "decimal256": (
        pa.decimal256(76, 30),
        [Decimal("-" + "9" * 46 + "." + "9" * 30), Decimal("1e-30")],
        "string",
        ["-" + "9" * 46 + "." + "9" * 30, "0." + "0" * 29 + "1"],
    ),
    "string": (pa.string(), ["é'\"\n\\ \x00", ""], "string", None),
    "large_string": (pa.large_string(), ["a", ""], "string", None),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["a", "b"], "string", None),
    "binary": (pa.binary(), [b"\x00\xffa", b""], "binary", None),
    "fixed": (pa.binary(2), [b"\x00a", b"\xfe\xff"], "binary", None),
    "date": (pa.date32(), [date(1, 1, 1), date(9999, 12, 31)], "date", None),
    "time": (pa.time64("us"), [time(23, 59, 59, 999999), time(0)], "time", None),
    "timestamp": (
        pa.timestamp("us"),
        [datetime.min, datetime.max],  # noqa: DTZ901  (without a zone)
        "timestamp",
        None,
    ),
    "timestamptz": (
        pa.timestamp("us", "UTC"),
        [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), datetime(1970, 1, 1, tzinfo=UTC)],
        "timestamptz",
        None,
    ),
    "seconds": (pa.timestamp("s"), [EPOCH - timedelta(seconds=1), EPOCH], "timestamp", None),
    "duration": (
        pa.duration("us"),
        [-timedelta(hours=838, minutes=59, seconds=59, microseconds=1), timedelta(hours=1)],
        "string",
        ["-838:59:59.000001", "01:00:00.000000"],
    ),
    "uuid": (pa.uuid(), [UUID(bytes=b"a" * 16), UUID(bytes=b"\xff" * 16)], "uuid", None),
    "json": (pa.json_(), ['{"b": 1,  "a":1e999}', '"\\ud800"'], "string", None),
    "list": (pa.list_(pa.int32()), [[1, None, -3], []], "list<int>", None),
    "nested": (
        pa.list_(pa.list_(pa.string())),
        [[["a", None], ['c,"d', ""]], []],
        "list<list<string>>",
        None,
    ),
    "decimals": (
        pa.list_(pa.decimal128(10, 2)),
        [[Decimal("1.50"), None], [Decimal("-2.00")]],
        "list<decimal(10, 2)>",
        None,
    ),
    "vector": (pa.list_(pa.float32()), [[1.5, float("inf")], [0.0]], "list<float>", None),
    "moments": (
        pa.list_(pa.timestamp("us", "UTC")),
        [[datetime(1970, 1, 1, tzinfo=UTC), None], []],
        "list<timestamptz>",
        None,
    ),
    "blobs": (pa.list_(pa.binary()), [[b"\x00\xff"], []], "list<binary>", None),
}
ID = Column("id", pa.int32(), "integer", nullable=False, id=99)
NOTHING = dict.fromkeys(TYPES)


def all_columns() -> tuple[Column, ...]:
    kinds = enumerate(TYPES.items(), 1)
    return tuple(Column(name, arrow, str(arrow), id=i) for i, (name, (arrow, *_)) in kinds)


def schema_of(*columns: Column, key: tuple[str, ...] = ("id",), name: str = "t") -> TableSchema:
    made = table(f"app.{name}", {"id": pa.int32()}, key=key, identity="key" if key else "full")
    return replace(made, columns=columns, relation=sum(map(ord, name)))


def stored(value: Any) -> Any:
    """The value as a source's batch has it: Arrow's builders take no UUID."""
    return value.bytes if isinstance(value, UUID) else value


def row(place: int) -> dict[str, Any]:
    return {name: stored(values[place]) for name, (_, values, *_) in TYPES.items()}


def shown(place: int) -> dict[str, Any]:
    return {name: (read or values)[place] for name, (_, values, _, read) in TYPES.items()}


def read(sink: FedIceberg, name: str = "app.t") -> dict[int, dict[str, Any]]:
    found = sink.read(name).to_pylist()
    return {one["id"]: {name: one[name] for name in TYPES} for one in found}


@pytest.mark.halved
@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_values_of_every_type_come_out_unchanged(open_iceberg: Callable[..., FedIceberg], mode: str) -> None:
    sink = open_iceberg(mode=mode)
    schema = schema_of(ID, *all_columns())
    changed = [("c", {"id": 0, **row(0)}), ("c", {"id": 1, **row(1)}), ("c", {"id": 2, **NOTHING})]
    sink.change(schema, *changed)
    assert sink.set_aside == []
    made = load_table(sink.options, schema.table)
    assert made is not None
    kinds = {f.name: str(f.field_type) for f in made.schema().fields}
    assert {name: kinds[name] for name in TYPES} == {name: kind for name, (_, _, kind, _) in TYPES.items()}
    assert read(sink) == {0: shown(0), 1: shown(1), 2: NOTHING}


def test_old_image_of_every_type_comes_out_unchanged(open_iceberg: Callable[..., FedIceberg]) -> None:
    sink = open_iceberg(mode="append")
    sink.change(schema_of(ID, *all_columns()), ("u", {"id": 1, **row(1)}, {"id": 1, **row(0)}))
    ((image,),) = sink.rows("app.t", "_cdc_before")
    assert image == {"id": 1, **shown(0)}


def test_key_of_every_type_finds_its_row(open_iceberg: Callable[..., FedIceberg]) -> None:
    sink = open_iceberg()
    added, changed = [], []
    for i, name in enumerate(TYPES):
        key = Column(name, TYPES[name][0], id=1)
        schema = schema_of(key, Column("n", pa.int32(), id=2), key=(name,), name=name)
        first, second = ({name: stored(value)} for value in TYPES[name][1])
        added.append(changes(schema, [("c", first | {"n": 1}), ("c", second | {"n": 2})], start=2 * i))
        steps = [("u", first | {"n": 3}), ("d", second)]
        changed.append(changes(schema, steps, start=2 * (len(TYPES) + i)))
    sink.apply(*added)
    sink.apply(*changed)
    assert {name: sink.rows(f"app.{name}", "n") for name in TYPES} == {name: [(3,)] for name in TYPES}
    assert sink.set_aside == []


def test_unchanged_value_of_every_type_is_kept_when_the_key_changes(
    open_iceberg: Callable[..., FedIceberg],
) -> None:
    sink = open_iceberg()
    schema = schema_of(ID, *all_columns())
    sink.change(schema, ("c", {"id": 1, **row(0)}))
    sink.change(schema, ("u", {"id": 2, **NOTHING}, {"id": 1}, list(TYPES)))
    assert read(sink) == {2: shown(0)}


def test_row_without_key_is_found_by_its_values_of_every_type(
    open_iceberg: Callable[..., FedIceberg],
) -> None:
    sink = open_iceberg()
    schema = schema_of(ID, *all_columns(), key=())
    one, other = {"id": 1, **row(0)}, {"id": 2, **NOTHING}
    sink.change(schema, ("c", one), ("c", other), ("c", one), ("c", other))
    sink.change(schema, ("d", one), ("d", other), ("d", other))
    assert [values for (values,) in sink.rows("app.t", "id")] == [1]
    assert read(sink) == {1: shown(0)}


def test_rows_older_than_a_column_have_its_fill_of_every_type(
    open_iceberg: Callable[..., FedIceberg],
) -> None:
    sink = open_iceberg()
    sink.change(schema_of(ID), ("c", {"id": 1}), ("c", {"id": 2}))
    sink.change(schema_of(ID), ("d", {"id": 2}))
    filled = tuple(replace(c, fill=pa.array([stored(TYPES[c.name][1][0])], c.type)[0]) for c in all_columns())
    wide = replace(schema_of(ID, *filled), version=2)
    sink.apply(altered(wide, sink.next), changes(wide, [("c", {"id": 3, **row(1)})], start=sink.next + 1))
    assert read(sink) == {1: shown(0), 3: shown(1)}
