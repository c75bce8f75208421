"""Upkeep keeps the rows: files are merged, snapshots end and orphans go, while readers read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.table import Table

from cdc.testing.events import changes, delivery, table
from cdc_sink_iceberg.files import TableFiles
from cdc_sink_iceberg.options import IcebergOptions
from cdc_sink_iceberg.upkeep import TableUpkeep
from tests.support.iceberg import FedIceberg, load_table

ORDERS = table("app.orders", {"id": pa.int64(), "note": pa.string()}, version=1)


def loaded(sink: FedIceberg) -> Table:
    found = load_table(sink.options, ORDERS.table)
    assert found is not None
    return found


def upkeep(sink: FedIceberg, **options: object) -> TableUpkeep:
    found = loaded(sink)
    chosen = {"warehouse": sink.options.warehouse, **options}
    return TableUpkeep(found, TableFiles(found), IcebergOptions.model_validate(chosen))


def written(sink: FedIceberg) -> list[tuple[int, str]]:
    """Ten deliveries, of which each changes a row of the one before it; the rows that are left."""
    for i in range(10):
        steps = [("c", {"id": i, "note": f"n{i}"}), ("u", {"id": i - 1, "note": f"later{i}"})]
        sink.change(ORDERS, *(steps if i else steps[:1]))
    return [*((i, f"later{i + 1}") for i in range(9)), (9, "n9")]


def rows(sink: FedIceberg) -> list[tuple[int, str]]:
    return sorted(sink.rows("app.orders", "id", "note"))


def test_merged_files_hold_the_same_rows_and_no_deletes(open_iceberg: Callable[..., FedIceberg]) -> None:
    sink = open_iceberg()
    expected = written(sink)
    assert len(loaded(sink).inspect.delete_files()) == 9
    assert upkeep(sink).compact() == 10
    made = loaded(sink)
    assert (len(made.inspect.data_files()), len(made.inspect.delete_files())) == (1, 0)
    assert made.current_snapshot().summary.operation.value == "replace"
    assert rows(sink) == expected
    # Another writer has committed: the merge is not repeated, and the sink continues.
    assert upkeep(sink).compact() == 0
    sink.sink.close()
    sink = open_iceberg(epoch=2)
    sink.next = 19
    sink.change(ORDERS, ("d", {"id": 3}), ("u", {"id": 9, "note": "last"}))
    assert rows(sink) == [*expected[:3], *expected[4:9], (9, "last")]


def test_commit_of_another_writer_is_met_with_a_retry(open_iceberg: Callable[..., FedIceberg]) -> None:
    from cdc.errors import SinkUnavailable

    sink = open_iceberg()
    expected = written(sink)
    assert upkeep(sink).compact() == 10
    late = changes(ORDERS, [("d", {"id": 0})], start=sink.next)
    change = delivery([late], first=sink.next, next=sink.next + 1)
    with pytest.raises(SinkUnavailable, match="another writer"):
        sink.sink.apply(change)
    sink.sink.apply(change)
    assert rows(sink) == expected[1:]


def test_snapshots_end_with_their_files_but_never_the_newest(
    open_iceberg: Callable[..., FedIceberg], tmp_path: Path
) -> None:
    sink = open_iceberg()
    expected = written(sink)
    assert upkeep(sink).expire() == 0, "younger than `keep`"
    upkeep(sink).compact()
    before = set(tmp_path.rglob("*.parquet"))
    assert upkeep(sink, keep="0s").expire() == 10
    assert len(loaded(sink).snapshots()) == 1
    assert loaded(sink).properties["cdc.next"] == str(sink.next)
    assert len(before) == 20
    assert len(set(tmp_path.rglob("*.parquet"))) == 1
    assert upkeep(sink).remove_orphans(timedelta(0)) == 0
    assert rows(sink) == expected


def test_orphans_are_removed_when_they_are_old(
    open_iceberg: Callable[..., FedIceberg], tmp_path: Path
) -> None:
    sink = open_iceberg()
    expected = written(sink)
    folder = tmp_path / "lake/app/orders/data"
    old, young = folder / "old.parquet", folder / "young.parquet"
    for path in (old, young):
        path.write_bytes(b"left by a delivery that broke off")
    os.utime(old, (0, 0))
    assert upkeep(sink).remove_orphans() == 1
    assert (old.exists(), young.exists()) == (False, True)
    assert rows(sink) == expected


def test_readers_see_all_rows_at_any_moment_of_upkeep(open_iceberg: Callable[..., FedIceberg]) -> None:
    sink = open_iceberg()
    expected = written(sink)
    stop, seen, failed = threading.Event(), list[int](), list[BaseException]()

    def read() -> None:
        try:
            while not stop.is_set() or not seen:
                assert rows(sink) == expected
                seen.append(1)
        except BaseException as error:  # noqa: BLE001  (the test raises it)
            failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert upkeep(sink).compact() == 10
    assert upkeep(sink).remove_orphans() == 0
    assert upkeep(sink).expire() == 0
    stop.set()
    reader.join()
    assert failed == []
    assert seen


def test_idle_sink_maintains_the_tables_that_it_has_written(
    open_iceberg: Callable[..., FedIceberg], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cdc_sink_iceberg import upkeep as module

    monkeypatch.setattr(module, "EVERY_SECONDS", {"compact": 0.0})
    sink = open_iceberg(keep="0s")
    expected = written(sink)
    sink.sink.idle()
    assert sink.counted == {"changes_set_aside": 0, "files_merged": 10}
    monkeypatch.setattr(module, "EVERY_SECONDS", {"expire": 0.0})
    sink.sink.idle()
    assert sink.counted["snapshots_expired"] == 10
    sink.change(ORDERS, ("d", {"id": 0}))
    assert rows(sink) == expected[1:]
