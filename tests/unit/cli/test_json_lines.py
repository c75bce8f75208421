"""What `cdc tail` prints for every kind of value."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest

from cdc.cli.lines import to_lines
from cdc.testing.events import changes, table

YEAR_10000 = 253402300800000000

VALUES: list[tuple[pa.DataType, Any, Any]] = [
    (pa.bool_(), True, True),
    (pa.int64(), 2**62 + 1, 2**62 + 1),
    (pa.uint64(), 2**64 - 1, 2**64 - 1),
    (pa.float64(), 0.1, 0.1),
    (pa.float64(), float("nan"), "NaN"),
    (pa.float32(), float("inf"), "Infinity"),
    (pa.list_(pa.float64()), [1.5, float("-inf")], [1.5, "-Infinity"]),
    (pa.decimal128(38, 10), Decimal("0.0000000001"), "0.0000000001"),
    (pa.decimal256(60, 2), Decimal("1E+30"), "1000000000000000000000000000000.00"),
    (pa.string(), 'quote " and \x01', 'quote " and \x01'),
    (pa.json_(), '{"a": 1.10}', '{"a": 1.10}'),
    (pa.binary(), b"\x00\xff", "\\x00ff"),
    (pa.uuid(), uuid.UUID(int=1).bytes, str(uuid.UUID(int=1))),
    (pa.date32(), date(2026, 11, 23), "2026-11-23"),
    (pa.date32(), 2932897, "10000-01-01"),
    (pa.date32(), 2145042905, "5874897-12-31"),
    (pa.timestamp("us", "UTC"), 2**63 - 1, "294247-01-10T04:00:54.775807Z"),
    (pa.timestamp("us"), datetime(2026, 11, 23, 1, 2, 3, 4), "2026-11-23T01:02:03.000004"),  # noqa: DTZ001
    (pa.timestamp("us", "UTC"), datetime(2026, 11, 23, 1, tzinfo=UTC), "2026-11-23T01:00:00.000000Z"),
    (pa.timestamp("us", "UTC"), YEAR_10000, "10000-01-01T00:00:00.000000Z"),
    (
        pa.list_(pa.list_(pa.timestamp("us"))),
        [[YEAR_10000, None], []],
        [["10000-01-01T00:00:00.000000", None], []],
    ),
    (pa.time64("us"), time(1, 2, 3, 4), "01:02:03.000004"),
]


@pytest.mark.parametrize(("kind", "value", "shown"), VALUES, ids=[f"{k}-{v}"[:40] for k, v, _ in VALUES])
def test_value_is_shown_without_loss(kind: pa.DataType, value: Any, shown: Any) -> None:
    schema = table("public.t", {"id": pa.int64(), "v": kind})
    if isinstance(kind, pa.BaseExtensionType):
        batch = changes(schema, [])
        column = pa.ExtensionArray.from_storage(kind, pa.array([value, None], kind.storage_type))
        batch = changes(
            table("public.t", {"id": pa.int64(), "v": kind.storage_type}), [("c", {"v": value}), ("c", {})]
        )
        data = batch.data.set_column(1, pa.field("v", kind), column)
        lines = list(to_lines(type(batch)(schema, data), "shop"))
    else:
        lines = list(to_lines(changes(schema, [("c", {"id": 1, "v": value}), ("c", {"id": 2})]), "shop"))
    assert [orjson.loads(line)["v"] for line in lines] == [shown, None]


def test_line_holds_source_table_row_and_envelope() -> None:
    schema = table("public.t", {"id": pa.int64(), "at": pa.timestamp("us", "UTC")})
    batch = changes(
        schema,
        [("u", {"id": 1, "at": YEAR_10000}, {"id": 2, "at": YEAR_10000}, ["at"]), ("d", {"id": 3})],
        start=41,
        tx="700",
        at=255,
        commit_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    )
    first, second = (orjson.loads(line) for line in to_lines(batch, "shop"))
    assert first == {
        "_cdc_source": "shop",
        "_cdc_table": "public.t",
        "id": 1,
        "at": "10000-01-01T00:00:00.000000Z",
        "_cdc_op": "u",
        "_cdc_seq": 41,
        "_cdc_tx": "700",
        "_cdc_position": "0/FF",
        "_cdc_commit_at": "2026-11-23T12:00:00.000000Z",
        "_cdc_before": {"id": 2, "at": "10000-01-01T00:00:00.000000Z"},
        "_cdc_unchanged": ["at"],
    }
    assert second["_cdc_before"] is None
    assert second["_cdc_unchanged"] is None


def test_sliced_batch_shows_its_own_rows() -> None:
    schema = table("public.t", {"id": pa.int64(), "v": pa.list_(pa.date32())})
    batch = changes(schema, [("c", {"id": i, "v": [date(2026, 1, i)] * i}, {"id": i}) for i in range(1, 5)])
    part = type(batch)(schema, batch.data.slice(2))
    rows = [orjson.loads(line) for line in to_lines(part, "shop")]
    assert [(row["id"], row["v"], row["_cdc_before"]["id"]) for row in rows] == [
        (3, ["2026-01-03"] * 3, 3),
        (4, ["2026-01-04"] * 4, 4),
    ]
