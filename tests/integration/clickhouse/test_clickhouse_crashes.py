"""A process that ends at any insert, save or definition, before or after it, leaves what the next one makes
right: each change is there once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cdc.testing.events import sink_context
from cdc.testing.servers.clickhouse import ClickHouseServer
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.options import Options as DuckDBOptions
from tests.support.clickhouse import quoted
from tests.support.clickhouse_sinks import FedClickHouse
from tests.support.ended import Ended, Points, deliver_rest
from tests.support.eventful import delivered_from, eventful_history
from tests.support.fed_sink import SOURCE

MODES: list[dict[str, Any]] = [
    {"deletes": "hard"},
    {"deletes": "soft"},
    {"mode": "append"},
    {"mode": "history"},
]
# In `make test`, one of so many points is tried in each mode, and others in each.
STRIDE = 96


def deliver(
    server: ClickHouseServer, options: dict[str, Any], epoch: int, part_commits: int, points: Points
) -> None:
    """The rest of the history, by a process of its own."""
    deliver_rest(lambda: FedClickHouse(server, epoch=epoch, **options), part_commits, points)


def contents(server: ClickHouseServer, options: dict[str, Any]) -> dict[str, list[str]]:
    """All rows of all tables, without the times at which they were written."""
    found = {}
    final = "" if options.get("mode") == "append" else " final"
    tables = "select database, name from system.tables where engine like '%MergeTree'"
    for at in server.query(f"{tables} and database in ('app', 'shop')"):
        place = f"{quoted(at['database'])}.{quoted(at['name'])}"
        rows = server.query(f"select * from {place}{final}")
        found[place] = sorted(json.dumps(row) for row in rows)
    return found


def empty(server: ClickHouseServer) -> None:
    for name in ("app", "shop", "_cdc"):
        server.query(f"drop database if exists {name} sync")


@pytest.mark.parametrize(
    "stride",
    [STRIDE, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
    ids=["some", "all"],
)
@pytest.mark.parametrize("options", MODES, ids=lambda options: "-".join(options.values()))
def test_process_that_ends_at_a_point_is_continued_by_the_next_one(
    clickhouse: ClickHouseServer, options: dict[str, Any], stride: int
) -> None:
    points = Points()
    deliver(clickhouse, options, 1, 3, points)
    expected = contents(clickhouse, options)
    assert len(expected) == 3, "orders, events and batches"
    assert points.passed > 20
    for end in range(1 + MODES.index(options) * stride // len(MODES), points.passed + 1, stride):
        empty(clickhouse)
        with pytest.raises(Ended):
            deliver(clickhouse, options, 1, 3, Points(end))
        # Once more in the same attempt at it, then with other parts.
        try:
            deliver(clickhouse, options, 2, 3, Points(2))
        except Ended:
            deliver(clickhouse, options, 3, 1, Points())
        assert contents(clickhouse, options) == expected, f"ended at point {end}"


@pytest.mark.halved
@pytest.mark.parametrize("options", MODES, ids=lambda options: "-".join(options.values()))
@pytest.mark.parametrize("part_commits", [1, 20])
def test_history_with_every_kind_of_change_ends_as_in_duckdb(
    clickhouse: ClickHouseServer, options: dict[str, Any], part_commits: int, tmp_path: Path
) -> None:
    deliver(clickhouse, options, 1, part_commits, Points())
    path = tmp_path / "duck.duckdb"
    context = sink_context("warehouse")
    duck = DuckDBSink(DuckDBOptions(path=path, **options), context)
    duck.prepare(SOURCE)
    duck.apply(delivered_from(eventful_history(), 0, part_commits))
    duck.close()
    final = "" if options.get("mode") == "append" else " final"
    with duckdb.connect(path) as connection:
        for name in ("app.events", "app.batches", "shop.sales"):
            columns = [c for c, *_ in connection.execute(f"describe {name}").fetchall()]
            # Old images are of another type, and times are those of the test.
            compared = [c for c in columns if c not in ("_cdc_before", "_cdc_unchanged", "_cdc_commit_at")]
            compared = [c for c in compared if not c.startswith("valid_")]
            alive = " where not _cdc_deleted" if final and "mode" not in options else ""
            chosen = ", ".join(f"toString({quoted(c)}) as `{i}`" for i, c in enumerate(compared))
            ours = clickhouse.query(f"select {chosen} from {name}{final}{alive}")
            casts = ", ".join(f'cast("{c}" as varchar)' for c in compared)
            alive = " where not _cdc_deleted" if "_cdc_deleted" in columns else ""
            theirs = connection.execute(f"select {casts} from {name}{alive}").fetchall()
            assert sorted((tuple(row.values()) for row in ours), key=repr) == sorted(theirs, key=repr), name
