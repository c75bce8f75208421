"""Every Arrow type of docs/sinks/postgres.md goes in and comes out unchanged: in rows, keys and holes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from cdc import native
from cdc.model import Column, TableSchema
from cdc.testing.events import table
from cdc_sink_postgres.encoding import BLOCK_BYTES, encode
from tests.support.arrow_types import expected
from tests.support.warehouses import Warehouse

# Arrow type, two values, Postgres type, what Postgres shows of the values as text.
TYPES = expected(
    {
        "bool": "boolean",
        "int8": "smallint",
        "int16": "smallint",
        "int32": "integer",
        "int64": "bigint",
        "uint8": "smallint",
        "uint16": "integer",
        "uint32": "bigint",
        "uint64": "numeric(20,0)",
        "float16": "real",
        "float32": ("real", ["1.5", "-Infinity"]),
        "float64": ("double precision", ["0.1", "NaN"]),
        "decimal": "numeric(38,2)",
        "short": "numeric(18,5)",
        "fraction": (
            pa.decimal128(5, 5),
            [Decimal("0.00001"), Decimal("-0.99999")],
            "numeric(5,5)",
            ["0.00001", "-0.99999"],
        ),
        "decimal256": "numeric(76,30)",
        "string": "text",
        "large_string": "text",
        "dictionary": "text",
        "binary": ("bytea", ["\\x00ff61", "\\x"]),
        "fixed": ("bytea", ["\\x0061", "\\x7a7a"]),
        "date": "date",
        "time": "time without time zone",
        "timestamp": "timestamp without time zone",
        "timestamptz": "timestamp with time zone",
        "seconds": "timestamp without time zone",
        "duration": "interval",
        "uuid": "uuid",
        "list": ("integer[]", ["{1,NULL,-3}", "{}"]),
        "nested": ("text[]", ['{{a,NULL},{"c,\\"d",""}}', "{}"]),
        "decimals": ("numeric(10,2)[]", ["{1.50,NULL}", "{-2.00}"]),
        "vector": (pa.list_(pa.float32()), [[1.5, -0.0], [0.1]], "real[]", ["{1.5,-0}", "{0.1}"]),
        "moments": (
            pa.list_(pa.timestamp("us", "UTC")),
            [[0], [-1]],
            "timestamp with time zone[]",
            ['{"1970-01-01 00:00:00+00"}', '{"1969-12-31 23:59:59.999999+00"}'],
        ),
    }
)
# Types that are delivered as text: the source's type, two values, the type here.
FROM_TEXT: dict[str, tuple[list[str], str]] = {
    "numeric": (["1.50", "NaN"], "numeric"),
    "numeric(100,3)": (["9" * 97 + ".999", "-0.100"], "numeric(100,3)"),
    "interval": (["1 year 2 mons -3 days +04:05:06.789", "-00:00:00.000001"], "interval"),
    "inet": (["10.1.2.3/8", "fe80::1/64"], "inet"),
    "cidr": (["10.0.0.0/8", "::/0"], "cidr"),
    "macaddr": (["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"], "macaddr"),
    "time with time zone": (["24:00:00-15:59:59", "01:02:03.04+05:30"], "time with time zone"),
    "timestamp with time zone": (["infinity", "4714-11-24 00:00:00+00 BC"], "timestamp with time zone"),
    "bit(5)": (["10110", "00000"], "bit(5)"),
    "bit varying": (["1", ""], "bit varying"),
    "int4range": (["[1,6)", "empty"], "int4range"),
    "tsvector": (["'a' 'cat' 'fat'", ""], "tsvector"),
    "point": (["(1,2)", "(NaN,-Infinity)"], "point"),
    "json": (['{"a": 1,  "a":2}', "null"], "json"),
    "jsonb": (['{"a": 1.50, "b": [1, null, "é"]}', "null"], "jsonb"),
    "odd.mood": (["happy", ""], "text"),
    "inet[]": (["{1.2.3.4}", "{}"], "text"),
}
CASES: list[tuple[Column, list[Any], str, list[str]]] = [
    *((Column("v", arrow, str(arrow)), values, kind, shown) for arrow, values, kind, shown in TYPES.values()),
    *(
        (Column("v", pa.string(), name), list(values), kind, values)
        for name, (values, kind) in FROM_TEXT.items()
    ),
    (
        Column("v", pa.json_(), "json"),
        ['{"b": 1,  "a":1e999}', '"\\ud800"'],
        "json",
        ['{"b": 1,  "a":1e999}', '"\\ud800"'],
    ),
]
COMPARABLE = [case for case in CASES if case[2] not in ("json", "point")]


@pytest.fixture(params=["c", "python"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both writers of rows."""
    if request.param == "c" and native.unavailable_reason():
        pytest.skip(native.unavailable_reason())
    monkeypatch.setattr(native, "implementation", lambda: request.param)
    return str(request.param)


def schema_of(place: int, *columns: Column, key: str | None = None) -> TableSchema:
    made = table(f"public.t{place}", {"id": pa.int32()}, key=(key,) if key else ())
    numbered = tuple(replace(column, id=i) for i, column in enumerate(columns, 1))
    return replace(made, columns=numbered, identity="key" if key else "full")


ID = Column("id", pa.int32(), "integer")


@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_values_of_every_type_come_out_unchanged(
    open_warehouse: Callable[..., Warehouse], mode: str, implementation: str
) -> None:
    """In a few rows, which are staged, and in many, which are copied into the table."""
    warehouse = open_warehouse(mode=mode)
    for place, (column, values, kind, shown) in enumerate(CASES):
        schema = schema_of(place, ID, column, key="id")
        rows = [{"id": 1, "v": values[0]}, {"id": 2, "v": values[1]}, {"id": 3, "v": None}]
        warehouse.change(schema, *(("c", row) for row in rows))
        warehouse.change(
            schema, *(("c", row | {"id": n * 3 + row["id"]}) for n in range(1, 50) for row in rows)
        )
        assert warehouse.columns(f"public.t{place}")["v"] == kind, column
        found = warehouse.query(f"select v::text, count(*) from public.t{place} group by 1")
        assert dict(found) == {shown[0]: 50, shown[1]: 50, None: 50}, column


def test_key_of_every_type_finds_its_row(warehouse: Warehouse) -> None:
    for place, (column, values, _, _) in enumerate(COMPARABLE):
        schema = schema_of(place, column, Column("n", pa.int32()), key="v")
        warehouse.change(schema, ("c", {"v": values[0], "n": 1}), ("c", {"v": values[1], "n": 2}))
        warehouse.change(schema, ("u", {"v": values[0], "n": 3}), ("d", {"v": values[1]}))
        assert warehouse.rows(f"public.t{place}", "n") == [(3,)], column


def test_unchanged_value_of_every_type_is_kept(warehouse: Warehouse) -> None:
    for place, (column, values, _, shown) in enumerate(CASES):
        schema = schema_of(place, ID, column, key="id")
        warehouse.change(schema, ("c", {"id": 1, "v": values[0]}))
        warehouse.change(schema, ("u", {"id": 2}, {"id": 1}, ["v"]))
        assert warehouse.query(f"select id, v::text from public.t{place}") == [(2, shown[0])], column


@pytest.mark.parametrize("mode", ["mirror", "history"])
def test_row_without_key_is_found_by_a_value_of_every_type(
    open_warehouse: Callable[..., Warehouse], mode: str
) -> None:
    warehouse = open_warehouse(mode=mode)
    alive = " where valid_to is null" if mode == "history" else ""
    for place, (column, values, _, shown) in enumerate(CASES):
        schema = schema_of(place, column)
        first, second = ({"v": value} for value in values)
        warehouse.change(schema, *(("c", row) for row in (first, second, second, {"v": None})))
        warehouse.change(schema, ("d", second), ("d", {"v": None}))
        found = warehouse.query(f"select v::text from public.t{place}{alive} order by _cdc_seq")
        assert found == [(shown[0],), (shown[1],)], column


def test_old_image_of_every_type_is_in_the_changelog(open_warehouse: Callable[..., Warehouse]) -> None:
    warehouse = open_warehouse(mode="append")
    for place, (column, values, _, shown) in enumerate(CASES):
        schema = schema_of(place, column)
        warehouse.change(schema, ("u", {"v": values[1]}, {"v": values[0]}))
        images = warehouse.query(f"select v::text, _cdc_before ->> 'v' from public.t{place}")
        assert images == [(shown[1], shown[0])], column


def test_fill_of_every_type_arrives_exactly(warehouse: Warehouse) -> None:
    for place, (column, values, kind, shown) in enumerate(CASES):
        schema = schema_of(place, ID, key="id")
        warehouse.change(schema, ("c", {"id": 1}))
        scalar = pa.array([values[0]], column.type)[0]
        wider = replace(schema, columns=(schema.columns[0], replace(column, id=2, fill=scalar)), version=2)
        warehouse.change(wider, ("c", {"id": 2, "v": None}))
        assert warehouse.columns(f"public.t{place}")["v"] == kind, column
        found = warehouse.query(f"select v::text from public.t{place} order by id")
        assert found == [(shown[0],), (None,)], column


def test_table_with_a_type_without_counterpart_is_set_aside(warehouse: Warehouse) -> None:
    warehouse.change(
        table("public.t", {"id": pa.int32(), "v": pa.month_day_nano_interval()}), ("c", {"id": 1})
    )
    assert warehouse.query("select table_name, reason, remedy from _cdc.set_aside") == [
        (
            "t",
            "public.t.v: the Arrow type month_day_nano_interval has no exact counterpart in PostgreSQL",
            "Exclude the column or the table in the source's configuration.",
        )
    ]


def test_wide_rows_are_written_in_blocks_of_few_rows() -> None:
    """A block is in memory beside the rows: 8,192 rows of 16 kB would be a delivery once more."""
    rows = pa.table({"v": ["x" * 2**20] * 50})
    blocks = [len(block) for block in encode(rows, ["text"])]
    assert max(blocks) < BLOCK_BYTES
    assert sum(blocks) > 50 * 2**20
    assert len(list(encode(rows.slice(0, 0), ["text"]))) == 2


@pytest.mark.parametrize("identity", ["key", "full"])
@pytest.mark.parametrize("mode", [{"deletes": "hard"}, {"deletes": "soft"}, {"mode": "history"}], ids=str)
def test_key_that_is_written_in_another_way_stays_one_row(
    open_warehouse: Callable[..., Warehouse], mode: dict[str, Any], identity: Any
) -> None:
    """The keys 1.0 and 1.00 are two texts, and one number."""
    warehouse = open_warehouse(**mode)
    schema = table("public.n", {"id": pa.string(), "v": pa.string()}, identity=identity)
    columns = (replace(schema.columns[0], source_type="numeric"), schema.columns[1])
    schema = replace(schema, columns=columns)
    warehouse.change(schema, ("c", {"id": "1.0", "v": "a"}), ("c", {"id": "2.0", "v": "b"}))
    warehouse.change(
        schema,
        ("u", {"id": "1.00", "v": "A"}, {"id": "1.0", "v": "a"}),
        ("d", {"id": "2.0", "v": "b"}),
        ("c", {"id": "2.00", "v": "B"}),
    )
    alive = {"soft": "not _cdc_deleted", "hard": "true"}.get(mode.get("deletes", ""), "valid_to is null")
    found = warehouse.query(f"select id::text, v from public.n where {alive} order by id")
    assert found == [("1.00", "A"), ("2.00", "B")]
    assert warehouse.query("select * from _cdc.set_aside") == []


def test_fill_of_the_end_of_a_day_arrives_exactly(warehouse: Warehouse) -> None:
    schema = table("public.t", {"id": pa.int32()}, relation=1)
    warehouse.change(schema, ("c", {"id": 1}))
    midnight = pa.array([86_400_000_000], pa.int64()).view(pa.time64("us"))[0]
    added = Column("at", pa.time64("us"), "time", id=2, fill=midnight)
    warehouse.change(replace(schema, columns=(*schema.columns, added), version=1), ("c", {"id": 2}))
    assert warehouse.rows("public.t", "id, at::text") == [(1, "24:00:00"), (2, None)]


@pytest.mark.parametrize(("nul", "stored"), [("replace", [(1, "a␀b"), (2, None)]), ("refuse", None)])
def test_fill_with_a_nul_follows_the_option(
    open_warehouse: Callable[..., Warehouse], nul: str, stored: list[tuple[Any, ...]] | None
) -> None:
    warehouse = open_warehouse(nul=nul)
    schema = table("public.t", {"id": pa.int32()}, relation=1)
    warehouse.change(schema, ("c", {"id": 1}))
    added = Column("v", pa.string(), "text", id=2, fill=pa.scalar("a\x00b"))
    warehouse.change(replace(schema, columns=(*schema.columns, added), version=1), ("c", {"id": 2}))
    if stored is not None:
        assert warehouse.rows("public.t", "id, v") == stored
        return
    reasons = warehouse.query("select reason from _cdc.set_aside")
    assert reasons == [("a text has a NUL character, which PostgreSQL cannot store",)]
