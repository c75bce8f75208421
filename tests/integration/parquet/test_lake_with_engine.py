"""The engine's own deliveries: snapshot, stream and replay into a lake, from a database in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdc.engine import Engine, SinkSpec, SourceSpec
from cdc.lake.journal import load_state
from cdc.lake.layout import LakePaths
from cdc.lake.store import LocalStore
from cdc.log import LocalLogs
from cdc.spi import FlushPolicy
from cdc.state import LocalState
from cdc.testing.database import MemoryDatabase
from cdc.testing.events import table
from cdc.testing.fold import fold
from cdc.testing.memory import MemorySource, MemorySourceOptions
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()})


@pytest.fixture
def database() -> Iterator[MemoryDatabase]:
    made = MemoryDatabase()
    made.create(ORDERS, [{"id": i, "note": f"old {i}"} for i in range(50)])
    yield made
    assert made.acknowledged is not None


def run_once(database: MemoryDatabase, folder: Path) -> None:
    source = SourceSpec(
        "shop", lambda context: MemorySource(MemorySourceOptions(database=database, chunk_rows=20), context)
    )
    sink = SinkSpec(
        "lake",
        lambda context: ParquetSink(ParquetOptions(url=str(folder / "lake")), context),
        ("shop",),
        FlushPolicy(rows=7, interval_seconds=0.0),
    )
    state = folder / "state"
    Engine([source], [sink], LocalState(state).open(), LocalLogs(state), lambda event, **fields: None).run(
        once=True
    )


def history(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "lake" / "public.orders").rglob("*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return sorted(rows, key=lambda row: int(row["_cdc_seq"]))


def canonical(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted((row["id"], row["note"]) for row in rows)


def change(database: MemoryDatabase, base: int) -> None:
    for i in range(base, base + 20):
        database.commit(
            [("public.orders", "c", {"id": i, "note": "new"}), ("public.orders", "d", {"id": i - 50})]
        )
        database.commit([("public.orders", "u", {"id": i, "note": "changed"})])


def test_a_lake_follows_the_database_over_several_runs(database: MemoryDatabase, tmp_path: Path) -> None:
    for base in (50, 70, 90):
        run_once(database, tmp_path)
        change(database, base)
    run_once(database, tmp_path)
    rows = history(tmp_path)
    assert len({row["_cdc_seq"] for row in rows}) == len(rows) == 50 + 3 * 60
    assert canonical(fold(rows, ["id"])) == canonical(database.rows("public.orders"))


def test_a_replayed_lake_equals_one_that_never_was(database: MemoryDatabase, tmp_path: Path) -> None:
    run_once(database, tmp_path)
    change(database, 50)
    run_once(database, tmp_path)
    before = history(tmp_path)
    reader = LocalState(tmp_path / "state").reader()
    number = reader.request_replay("lake", "shop", 0)
    run_once(database, tmp_path)
    run_once(database, tmp_path)
    request = reader.replay(number)
    reader.close()
    assert request is not None
    assert request.finished_at is not None
    assert request.error is None
    state = load_state(LakePaths(LocalStore(tmp_path / "lake"), "shop"))
    assert state is not None
    assert (state.live, state.is_replaying) == (2, False)
    assert history(tmp_path) == before
