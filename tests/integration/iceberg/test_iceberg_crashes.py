"""A process that ends at any file or commit, before or after it, leaves what the next one makes right: each
change is there once. The same changes make the same rows as in DuckDB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from cdc import failpoints
from cdc.errors import SinkFenced, SinkUnavailable
from cdc.model import TableId
from cdc.testing.events import changes, delivery, sink_context
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.options import Options as DuckDBOptions
from cdc_sink_iceberg import work
from tests.support.ended import Ended, Points
from tests.support.eventful import BATCHES, delivered_from, eventful_history
from tests.support.fed_sink import SOURCE
from tests.support.iceberg import FedIceberg, load_table, read_table

MODES = ["mirror", "append"]
# In `make test`, one of so many points is tried in each mode, and others in each.
STRIDE = 72
NAMES = ("app.orders", "app.events", "app.batches", "shop.sales")
# Its last row is deleted.
EMPTIED = {"mirror": "app.batches", "append": None}


def deliver(folder: Path, mode: str, epoch: int, part_commits: int, points: Points) -> None:
    """The rest of the history, by a process of its own, one delivery for every three commits."""
    history = eventful_history()
    with failpoints.watched(points):
        sink = FedIceberg(folder, epoch=epoch, mode=mode)
        try:
            for end in range(3, len(history) + 3, 3):
                cursor = sink.sink.committed(SOURCE)
                reached = cursor.next if cursor else 0
                commit = history[:end][-1][0].commit
                assert commit is not None
                if commit.next > reached:
                    sink.sink.apply(delivered_from(history[:end], reached, part_commits))
        finally:
            sink.sink.close()


def contents(folder: Path, mode: str) -> dict[str, list[str]]:
    """All rows of all tables."""
    options = FedIceberg(folder, epoch=9, mode=mode).options
    found = {}
    for name in NAMES:
        rows = read_table(options, TableId(*name.split(".")))
        found[name] = [] if rows is None else sorted(map(repr, rows.to_pylist()))
    return found


@pytest.mark.parametrize(
    "stride",
    [STRIDE, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
    ids=["some", "all"],
)
@pytest.mark.parametrize("mode", MODES)
def test_process_that_ends_at_a_point_is_continued_by_the_next_one(
    tmp_path: Path, mode: str, stride: int
) -> None:
    points = Points()
    deliver(tmp_path / "whole", mode, 1, 3, points)
    expected = contents(tmp_path / "whole", mode)
    assert [name for name, rows in expected.items() if rows] == [n for n in NAMES if n != EMPTIED[mode]]
    assert points.passed > 20
    for end in range(1 + MODES.index(mode) * stride // len(MODES), points.passed + 1, stride):
        folder = tmp_path / f"ended-{end}"
        with pytest.raises(Ended):
            deliver(folder, mode, 1, 3, Points(end))
        # Once more in the same attempt at it, then with other parts.
        try:
            deliver(folder, mode, 2, 3, Points(3))
        except Ended:
            deliver(folder, mode, 3, 1, Points())
        assert contents(folder, mode) == expected, f"ended at point {end}"


@pytest.mark.parametrize("part_commits", [1, 20])
def test_history_with_every_kind_of_change_ends_as_in_duckdb(tmp_path: Path, part_commits: int) -> None:
    deliver(tmp_path / "lake", "mirror", 1, part_commits, Points())
    path = tmp_path / "duck.duckdb"
    duck = DuckDBSink(DuckDBOptions(path=path), sink_context("warehouse"))
    duck.prepare(SOURCE)
    # Up to where a table is renamed: that of the lake lacks its rows until it is copied.
    duck.apply(delivered_from(eventful_history(), 0, part_commits))
    duck.close()
    options = FedIceberg(tmp_path / "lake", epoch=9).options
    with duckdb.connect(path) as connection:
        for name in ("app.events", "app.batches"):
            ours = read_table(options, TableId(*name.split(".")))
            assert ours is not None
            columns = [c for c in ours.column_names if c != "_cdc_commit_at"]
            theirs = connection.sql(f"select {', '.join(columns)} from {name}").fetchall()
            rows = [tuple(row.values()) for row in ours.select(columns).to_pylist()]
            assert sorted(rows, key=repr) == sorted(theirs, key=repr), name


@pytest.mark.parametrize(
    "row", [("u", {"id": 1, "a": "y"}), ("d", {"id": 9})], ids=["of a row", "of the offset only"]
)
def test_process_that_was_replaced_cannot_commit_what_it_has_written(
    tmp_path: Path, row: tuple[str, dict[str, Any]]
) -> None:
    """It is suspended between its last look at the fence and the commit of the table."""
    first = FedIceberg(tmp_path)
    first.change(BATCHES, ("c", {"id": 1, "a": "x"}))
    late = changes(BATCHES, [row], start=1)
    later = changes(BATCHES, [("u", {"id": 1, "a": "z"})], start=2)

    def replaced(name: str) -> None:
        if name == "target.before-save" and not done:
            done.append(name)
            second = FedIceberg(tmp_path, epoch=2)
            second.sink.apply(delivery([late], first=1, next=2))
            second.sink.apply(delivery([later], first=2, next=3))
            second.sink.close()

    done: list[Any] = []
    with failpoints.watched(replaced), pytest.raises(SinkUnavailable, match="another writer"):
        first.sink.apply(delivery([late], first=1, next=2))
    with pytest.raises(SinkFenced):
        first.sink.apply(delivery([late], first=1, next=2))
    found = load_table(first.options, BATCHES.table)
    assert found is not None
    assert found.properties[work.NEXT] == "3"
    assert first.rows("app.batches", "id", "a") == [(1, "z")]
