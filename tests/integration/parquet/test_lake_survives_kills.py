"""kill -9 at random moments, while DuckDB and pyarrow read: nothing lost, nothing doubled, never a broken
file.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from cdc.lake.generations import manifests
from cdc.lake.journal import load_state
from cdc.lake.layout import LakePaths
from cdc.lake.store import LocalStore
from tests.support import lake_writer

KILLS = 12
TOTAL = 4_800
# A delivery takes some 10 ms here: the kills fall into all of its steps.
LONGEST_LIFE_SECONDS = 0.12
# Leaves the writer half of the time on a loaded machine.
LOOK_SECONDS = 0.02
Worker = Callable[[Path, int, int, Connection], None]


@pytest.fixture(scope="module")
def context() -> multiprocessing.context.ForkServerContext:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["tests.support.lake_writer"])
    return made


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


class Readers:
    """Reads the lake with both readers until stopped, and keeps what went wrong."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._stop = threading.Event()
        self.errors: list[str] = []
        self.looks = 0
        self._seen = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        readers = itertools.cycle((by_duckdb, by_pyarrow))
        while not self._stop.wait(LOOK_SECONDS) and not self.errors:
            if any((self._lake / "public.orders").rglob("*.parquet")):
                self._look(next(readers))

    def _look(self, read: Callable[[Path], list[int]]) -> None:
        try:
            seqs = read(self._lake)
        except Exception as error:  # noqa: BLE001  (any error is a finding)
            self.errors.append(f"{read.__name__}: {error!r}")
            return
        if len(seqs) != len(set(seqs)):
            self.errors.append(f"{read.__name__}: a row twice")
        if len(seqs) < self._seen:
            self.errors.append(f"{read.__name__}: rows went from {self._seen} to {len(seqs)}")
        self._seen = len(seqs)
        self.looks += 1


def by_duckdb(lake: Path) -> list[int]:
    with duckdb.connect() as connection:
        pattern = f"{lake}/public.orders/**/*.parquet"
        found = connection.execute("select _cdc_seq from read_parquet(?)", [pattern]).fetchall()
    return [seq for (seq,) in found]


def by_pyarrow(lake: Path) -> list[int]:
    found = ds.dataset(lake / "public.orders", format="parquet", partitioning="hive").to_table(["_cdc_seq"])
    return list(found.column(0).to_pylist())


def run_with_kills(
    context: multiprocessing.context.ForkServerContext,
    worker: Worker,
    lake: Path,
    total: int,
    kills: int,
    is_enough: Callable[[], bool] = lambda: True,
) -> int:
    """Start the worker again and again, killing it, until that is enough, then let it end; gives how often it
    was killed.
    """
    chance = random.Random(7)
    killed = 0
    for epoch in itertools.count(1):
        parent, child = context.Pipe()
        process = context.Process(target=worker, args=(lake, epoch, total, child))
        process.start()
        parent.recv()
        last = epoch > kills and is_enough()
        process.join(None if last else chance.uniform(0, LONGEST_LIFE_SECONDS))
        if process.is_alive():
            process.kill()
            killed += 1
        process.join()
        if last:
            break
    assert process.exitcode == 0
    return killed


def sequence_numbers(lake: Path) -> Iterator[int]:
    for name in ("public.orders", "public.events"):
        for file in sorted((lake / name).rglob("*.parquet")):
            yield from pq.ParquetFile(file).read(["_cdc_seq"]).column(0).to_pylist()


def test_a_lake_that_is_killed_12_times_has_every_change_once(
    context: multiprocessing.context.ForkServerContext, lake: Path
) -> None:
    with Readers(lake) as readers:
        killed = run_with_kills(
            context, lake_writer.write, lake, TOTAL, KILLS, lambda: bool(readers.looks > 3 or readers.errors)
        )
    assert readers.errors == []
    assert killed >= KILLS // 2
    assert sorted(sequence_numbers(lake)) == list(range(TOTAL))


def test_the_manifests_of_a_killed_lake_name_all_files_and_adjoin(
    context: multiprocessing.context.ForkServerContext, lake: Path
) -> None:
    run_with_kills(context, lake_writer.write, lake, TOTAL // 2, 6)
    paths = LakePaths(LocalStore(lake), lake_writer.SOURCE)
    found = list(manifests(paths, 1))
    assert [m.first for m in found] == [0, *(m.next for m in found[:-1])]
    assert found[-1].next == TOTAL // 2
    named = {file.path for manifest in found for file in manifest.files}
    assert named == {str(p.relative_to(lake)) for p in lake.glob("public.*/**/*.parquet")}
    assert list(paths.store.keys(paths.staging)) == []


def test_a_replay_that_is_killed_has_every_change_once(
    context: multiprocessing.context.ForkServerContext, lake: Path
) -> None:
    total = TOTAL // 2
    run_with_kills(context, lake_writer.write, lake, total, 0)
    run_with_kills(context, lake_writer.replay, lake, total, KILLS)
    assert sorted(sequence_numbers(lake)) == list(range(total))
    state = load_state(LakePaths(LocalStore(lake), lake_writer.SOURCE))
    assert state is not None
    assert (state.next, state.is_replaying, state.live > 1) == (total, False, True)
