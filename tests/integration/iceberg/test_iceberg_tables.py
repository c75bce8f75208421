"""Tables follow the source by field id, are partitioned as told, and are found by other readers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import ConfigError, SinkFenced
from cdc.model import Column, CopyMark, CopyStep, TableSchema
from cdc.testing.events import EPOCH, altered, changes, delivery, sink_context, table
from cdc_sink_iceberg import IcebergSink
from cdc_sink_iceberg.options import IcebergOptions
from tests.support.iceberg import FedIceberg, load_table
from tests.support.postgres.server import Database

ORDERS = replace(
    table("app.orders", {"id": pa.int32(), "note": pa.string(), "amount": pa.decimal128(8, 2)}, version=1),
    relation=7,
)
OpenIceberg = Callable[..., FedIceberg]


def columns_of(sink: FedIceberg, schema: TableSchema) -> dict[str, tuple[int, str]]:
    """The source's columns in the table: name, field id and type."""
    found = load_table(sink.options, schema.table)
    assert found is not None
    fields = found.schema().fields
    return {f.name: (f.field_id, str(f.field_type)) for f in fields if not f.name.startswith("_cdc_")}


def shaped(version: int, *columns: Column) -> TableSchema:
    return replace(ORDERS, version=version, columns=columns)


ID, NOTE, AMOUNT = ORDERS.columns


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_columns_that_are_renamed_swapped_widened_and_added_keep_their_ids(
    open_iceberg: OpenIceberg, mode: str
) -> None:
    sink = open_iceberg(mode=mode)
    sink.change(ORDERS, ("c", {"id": 1, "note": "a", "amount": Decimal("1.50")}))
    before = columns_of(sink, ORDERS)
    wide = shaped(
        2,
        replace(ID, type=pa.int64()),
        replace(NOTE, name="amount"),
        replace(AMOUNT, name="note", type=pa.decimal128(12, 2)),
        Column("extra", pa.bool_(), id=9),
    )
    sink.alter(wide)
    after = columns_of(sink, wide)
    assert after["id"] == (before["id"][0], "long")
    assert after["amount"] == before["note"]
    assert after["note"] == (before["amount"][0], "decimal(12, 2)")
    assert after["extra"][0] > max(number for number, _ in before.values())
    sink.change(wide, ("c", {"id": 2**40, "amount": "b", "note": Decimal("2.00"), "extra": True}))
    assert sink.rows("app.orders", "id", "amount", "note", "extra") == [
        (1, "a", Decimal("1.50"), None),
        (2**40, "b", Decimal("2.00"), True),
    ]
    assert sink.set_aside == []


def test_dropped_column_goes_in_a_mirror_and_stays_in_a_changelog(open_iceberg: OpenIceberg) -> None:
    row = {"id": 1, "note": "a", "amount": Decimal("1.50")}
    again = shaped(3, ID, AMOUNT, Column("note", pa.int32(), id=8))
    found: dict[tuple[str, str], Any] = {}
    for mode in ("mirror", "append"):
        sink = open_iceberg(mode=mode, catalog_name=mode)
        sink.change(ORDERS, ("c", row))
        sink.alter(shaped(2, ID, AMOUNT))
        found[mode, "dropped"] = set(columns_of(sink, ORDERS))
        # A column of the same name is another one.
        sink.change(again, ("u", {"id": 1, "amount": Decimal("1.50"), "note": 5}))
        found[mode, "again"] = sink.rows("app.orders", "note")
        if mode == "append":
            (old,) = set(columns_of(sink, ORDERS)) - {"id", "note", "amount"}
            assert old.startswith("note__")
            assert sink.rows("app.orders", old) == [("a",), (None,)]
        sink.sink.close()
        for path in sorted(Path(str(sink.options.warehouse)).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    assert found["mirror", "dropped"] == {"id", "amount"}
    assert found["append", "dropped"] == {"id", "amount", "note"}
    assert (found["mirror", "again"], found["append", "again"]) == ([(5,)], [(None,), (5,)])


def test_type_that_iceberg_cannot_widen_is_copied_again_while_readers_see_the_old_rows(
    open_iceberg: OpenIceberg,
) -> None:
    sink = open_iceberg()
    sink.change(ORDERS, ("c", {"id": 1, "note": "12", "amount": Decimal(1)}))
    other = shaped(2, ID, replace(NOTE, type=pa.int32()), AMOUNT)
    sink.change(other, ("u", {"id": 1, "note": 12, "amount": Decimal(2)}))
    (said,) = sink.sink.set_aside("shop")
    assert said.deliverable
    assert "note" in said.message
    first = sink.next
    begin = replace(changes(other, [("t", None)], start=first), mark=CopyMark(CopyStep.BEGIN, EPOCH, first))
    copied = changes(other, [("r", {"id": 1, "note": 12, "amount": Decimal(2)})], start=first + 1)
    sink.apply(begin, copied)
    assert sink.set_aside == []
    assert sink.rows("app.orders", "note", "amount") == [("12", Decimal("1.00"))]
    # Another process continues the copy.
    sink.sink.close()
    last = open_iceberg(epoch=2)
    last.next = sink.next
    last.change(other, ("r", {"id": 2, "note": 13, "amount": Decimal(3)}))
    end = last.next
    last.apply(replace(changes(other, [], start=end), mark=CopyMark(CopyStep.FINISHED, EPOCH, end)))
    assert last.rows("app.orders", "id", "note") == [(1, 12), (2, 13)]
    assert set(columns_of(last, other)) == {"id", "note", "amount"}
    last.change(other, ("d", {"id": 1}))
    assert last.rows("app.orders", "id") == [(2,)]


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_table_is_partitioned_as_told_and_rows_move_between_partitions(
    open_iceberg: OpenIceberg, mode: str
) -> None:
    chosen = ["region", "day(at)", "bucket(4, id)", "month(missing)"]
    sink = open_iceberg(mode=mode, partition=chosen)
    kinds = {"id": pa.int64(), "region": pa.string(), "at": pa.timestamp("us")}
    schema = table("app.sales", kinds, version=1)
    days = [datetime(2026, 11, day) for day in (1, 2)]  # noqa: DTZ001  (a timestamp without a zone)
    sink.change(schema, *[("c", {"id": i, "region": "en"[i % 2], "at": days[i % 2]}) for i in range(8)])
    sink.change(schema, ("u", {"id": 1, "region": None, "at": days[0]}), ("d", {"id": 2}))
    made = load_table(sink.options, schema.table)
    assert made is not None
    spec = [(field.name, str(field.transform)) for field in made.spec().fields]
    assert spec == [("region", "identity"), ("at_day", "day"), ("id_bucket", "bucket[4]")]
    if mode == "mirror":
        assert sorted(sink.rows("app.sales", "id")) == [(i,) for i in (0, 1, 3, 4, 5, 6, 7)]
        partitions = {(one["region"], one["at_day"]) for one in _partitions(made)}
        assert partitions == {("e", date(2026, 11, 1)), ("n", date(2026, 11, 2)), (None, date(2026, 11, 1))}
        assert [i for i, region in sink.rows("app.sales", "id", "region") if region is None] == [1]
    else:
        assert len(sink.rows("app.sales", "id")) == 10


def _partitions(made: Any) -> list[dict[str, Any]]:
    return [one["partition"] for one in made.inspect.data_files().to_pylist()]


def test_partition_that_is_not_understood_is_refused() -> None:
    with pytest.raises((ValueError, ConfigError), match=r"week\(at\)"):
        IcebergOptions(warehouse="x", partition=("week(at)",))


def test_table_that_the_sink_did_not_make_is_set_aside(open_iceberg: OpenIceberg) -> None:
    from cdc_sink_iceberg.catalog import open_catalog, quiet

    sink = open_iceberg()
    with quiet():
        catalog = open_catalog(sink.options)
        catalog.create_namespace("app")
        catalog.create_table(("app", "orders"), pa.schema([("id", pa.int32())]))
        catalog.close()
    sink.change(ORDERS, ("c", {"id": 1, "note": "a", "amount": None}))
    (said,) = sink.set_aside
    assert "did not make" in said


def test_table_of_another_log_is_set_aside(open_iceberg: OpenIceberg) -> None:
    """Its offsets are others: what it has must not be passed over."""
    from cdc_sink_iceberg.catalog import open_catalog, quiet

    sink = open_iceberg()
    sink.change(ORDERS, ("c", {"id": 1, "note": "a", "amount": None}))
    sink.sink.close()
    with quiet():
        catalog = open_catalog(sink.options)
        catalog.drop_table(("cdc_state", "source_shop"))
        catalog.close()
    other = IcebergSink(sink.options, replace(sink_context(), log_id="another"))
    other.prepare("shop")
    other.apply(delivery([changes(ORDERS, [("c", {"id": 2, "note": "b", "amount": None})])], first=0, next=1))
    (said,) = other.set_aside("shop")
    assert "another log" in said.message
    other.close()


def test_catalog_in_postgres_fences_as_the_one_in_sqlite(database15: Database, tmp_path: Path) -> None:
    uri = database15.url.replace("postgresql://", "postgresql+psycopg://")
    first = FedIceberg(tmp_path, uri=uri)
    first.change(ORDERS, ("c", {"id": 1, "note": "a", "amount": None}))
    second = FedIceberg(tmp_path, epoch=2, uri=uri)
    second.next = first.next
    second.change(ORDERS, ("u", {"id": 1, "note": "b", "amount": None}))
    with pytest.raises(SinkFenced):
        first.change(ORDERS, ("d", {"id": 1}))
    assert second.rows("app.orders", "id", "note") == [(1, "b")]
    first.sink.close()
    second.sink.close()


CHDB = """
import chdb, sys
print(chdb.query(f"select id, note from icebergLocal('{sys.argv[1]}') order by id", "CSV"))
"""


@pytest.mark.parametrize("mode", ["mirror", pytest.param("append", marks=pytest.mark.slow)])
def test_clickhouse_reads_what_pyiceberg_reads(open_iceberg: OpenIceberg, mode: str) -> None:
    sink = open_iceberg(mode=mode)
    for i in range(4):
        sink.change(ORDERS, ("c", {"id": i, "note": f"n{i}", "amount": None}), ("d", {"id": i - 2}))
    sink.apply(altered(shaped(2, ID, replace(NOTE, name="text")), sink.next))
    renamed = shaped(3, ID, NOTE)
    sink.change(renamed, ("u", {"id": 3, "note": "last"}))
    place = f"{sink.options.warehouse}/app/orders"
    found = subprocess.run(
        [sys.executable, "-c", CHDB, place], capture_output=True, text=True, cwd=place, check=False
    )
    assert found.returncode == 0, found.stderr
    expected = sorted(sink.rows("app.orders", "id", "note"), key=lambda row: row[0])
    lines = [line for line in found.stdout.splitlines() if line]
    assert sorted(lines) == sorted(f"{i},{_csv(note)}" for i, note in expected)


def _csv(note: str | None) -> str:
    return "\\N" if note is None else f'"{note}"'
