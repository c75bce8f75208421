"""A crash at any named point, under concurrent writes, loses nothing and doubles nothing."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pytest

from cdc import failpoints
from cdc.spi import SnapshotChunk
from cdc.testing.conditions import DEFAULT_TIMEOUT_SECONDS
from cdc.testing.events import table
from tests.integration.engine.conftest import Bench

# `big` plays a TOAST value: updates leave it out.
ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string(), "big": pa.string()}, relation=1)
KEYLESS = table(
    "public.keyless", {"id": pa.int64(), "note": pa.string()}, key=(), identity="full", relation=2
)
ROWS = 120
# The writer rests ten times as long as a commit took, a millisecond at least: on a loaded machine it would
# else outrun the engine, and every look at the growing tables would slow both down further.
RESTS = 10
SHORTEST_REST_SECONDS = 0.001
# The points of the engine; those of a target without transactions are tested with such a sink (ClickHouse).
POINTS = sorted(name for name in failpoints.NAMES if not name.startswith("target."))


class Crash(Exception):
    """Ends every thread of the engine at its next failpoint."""


class CrashAt:
    """Raises at the n-th hit of one failpoint, and from then on at every hit of any."""

    def __init__(self, name: str, count: int) -> None:
        self._name, self._left = name, count
        self._lock = threading.Lock()
        self.crashed = threading.Event()
        self._buffers_seen = threading.Event()

    def wait_for_buffers(self, _chunk: SnapshotChunk) -> None:
        """A copy on a loaded machine may end before the writer commits: no change then passes the point."""
        assert self._buffers_seen.wait(DEFAULT_TIMEOUT_SECONDS)

    def hit(self, name: str) -> None:
        with self._lock:
            if name == self._name and not self.crashed.is_set():
                self._left -= 1
                if self._left <= 0:
                    self.crashed.set()
        if name == "log.buffers-durable" or self.crashed.is_set():
            self._buffers_seen.set()
        if self.crashed.is_set():
            raise Crash


class Writer:
    """Commits random transactions until stopped: inserts, updates without `big`, key changes, deletes."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self._database = bench.database
        self._random = random.Random(seed)
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._next = 10_000
        self.commits = 0

    def _run(self) -> None:
        while not self._halt.is_set():
            began = time.monotonic()
            self._commit()
            self._halt.wait(max(SHORTEST_REST_SECONDS, RESTS * (time.monotonic() - began)))

    def _commit(self) -> None:
        live = self._database.rows("public.orders")
        row = self._random.choice(live) if live else None
        kind = self._random.random()
        self._next += 1
        note = f"n{self._next}"
        steps: list[tuple[object, ...]] = []
        if row is None or kind < 0.35:
            steps.append(("public.orders", "c", {"id": self._next, "note": note, "big": f"b{self._next}"}))
        elif kind < 0.6:
            steps.append(("public.orders", "u", {"id": row["id"], "note": note}, None, ["big"]))
        elif kind < 0.8:
            moved = {"id": self._next, "note": note}
            steps.append(("public.orders", "u", moved, {"id": row["id"]}, ["big"]))
        else:
            steps.append(("public.orders", "d", {"id": row["id"]}, None, ["note", "big"]))
        steps.append(("public.keyless", "c", {"id": self._random.randint(1, 5), "note": "same"}))
        self._database.commit(steps, part_rows=1 if kind > 0.9 else None)
        self.commits += 1

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._halt.set()
            self._thread.join()


@pytest.mark.halved
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", POINTS)
def test_a_crash_loses_nothing(bench: Bench, name: str, count: int) -> None:
    # GIVEN tables with rows and a busy writer
    bench.database.create(ORDERS, [{"id": i, "note": "old", "big": f"b{i}"} for i in range(ROWS)])
    bench.database.create(KEYLESS, [{"id": i % 5, "note": "same"} for i in range(ROWS)])
    writer = Writer(bench, seed=count)
    with writer.writing():
        # WHEN the engine crashes at the point, if it comes there, and is started again
        crash = CrashAt(name, count)
        is_passed = count == 1 and name != "release.durable"
        bench.database.before_read = crash.wait_for_buffers
        with failpoints.watched(crash.hit):
            running = bench.start()
            settled = running.engine.pipelines.captures["shop"].coordinator.settled
            bench.wait_for(
                lambda: (
                    crash.crashed.is_set() or (not is_passed and settled.is_set() and writer.commits > 200)
                ),
                f"a crash at {name}, or a while without one",
            )
            running.stop()
        bench.start()
        commits = writer.commits
        bench.wait_for(lambda: writer.commits > commits + 50, "the writer to go on")
    # THEN the sink has exactly the source's rows, and no offset twice
    bench.wait_until_equal("public.orders")
    bench.wait_until_equal("public.keyless")
    seqs = [row["_cdc_seq"] for t in ("public.orders", "public.keyless") for row in bench.store.rows(t)]
    assert len(seqs) == len(set(seqs))
