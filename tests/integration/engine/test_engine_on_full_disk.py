from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdc import failpoints
from cdc.state import LocalState
from cdc.testing.events import table
from tests.integration.engine.conftest import Bench
from tests.support.disks import small_file_system

# Room for the state, the log and some thousand rows.
DISK_BYTES = 8 * 1024 * 1024
NOTES = table("public.notes", {"id": pa.int64(), "note": pa.string()}, relation=1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    with small_file_system(tmp_path / "disk", DISK_BYTES) as folder:
        yield folder


def test_a_full_disk_under_state_dir_stops_nothing_for_good(small_disk: Path) -> None:
    bench = Bench(small_disk / "state")
    bench.database.create(NOTES, [{"id": i, "note": "x"} for i in range(5)])
    running = bench.start()
    try:
        bench.wait_until_equal("public.notes")
        status = small_disk / "state" / "status.json"
        bench.wait_for(status.exists, "the first status")
        ballast = fill(small_disk)
        bench.database.commit([("public.notes", "c", {"id": i, "note": "y" * 500}) for i in range(100, 400)])
        bench.wait_for(lambda: "StateFull" in kinds(bench) or "LogFull" in kinds(bench), "a refused write")
        before = status.stat().st_mtime_ns
        bench.wait_for(lambda: running.engine._housekeeping._refused, "a status without room")
        assert running.thread.is_alive()
        ballast.unlink()
        bench.wait_until_equal("public.notes")
        bench.wait_for(lambda: status.stat().st_mtime_ns > before, "a status with room")
        assert all(worker.failed is None for worker in running.engine.pipelines.captures["shop"].workers)
        assert all(one.worker.failed is None for one in running.engine.pipelines.of_source("shop"))
    finally:
        running.stop()


def test_a_disk_that_fills_up_during_a_copy_shows_in_log_and_status(small_disk: Path) -> None:
    bench = Bench(small_disk / "state", chunk_rows=50)
    rows = [{"id": i, "note": hashlib.sha256(str(i).encode()).hexdigest() * 16} for i in range(1000)]
    bench.database.create(NOTES, rows)
    ballast: list[Path] = []

    def fill_once(name: str) -> None:
        if name == "snapshot.rows-durable" and not ballast:
            ballast.append(fill(small_disk))

    def waits() -> list[dict[str, Any]]:
        document = LocalState(small_disk / "state").status() or {"sources": {}}
        found: list[dict[str, Any]] = document["sources"].get("shop", {}).get("waits", [])
        return [wait for wait in found if wait["kind"] == "LogFull"]

    with failpoints.watched(fill_once):
        running = bench.start()
        try:
            bench.wait_for(waits, "the wait in the status, on the full disk")
            assert (LocalState(small_disk / "state").status() or {})["state_dir_full"] is True
            assert [event["level"] for event in bench.events if event["event"] == "waiting"] == ["warning"]
            ballast[0].unlink()
            bench.wait_until_equal("public.notes")
            bench.wait_for(lambda: not waits(), "the end of the wait")
        finally:
            running.stop()


def fill(folder: Path) -> Path:
    """Take all of the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def kinds(bench: Bench) -> set[str]:
    """The errors that workers wait out."""
    return {event["kind"] for event in bench.events if "kind" in event}
