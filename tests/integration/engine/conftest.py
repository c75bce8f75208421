"""An engine over a database and a sink in memory, its log and state on the real disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cdc.engine import Engine, Retention, RunResult, SinkSpec, SourceSpec
from cdc.engine.pacing import Pacing
from cdc.log import LocalLogs, SegmentedLog
from cdc.model import ChangeSet
from cdc.spi import FlushPolicy, Source, StateReader
from cdc.spi.source import SourceContext
from cdc.spi.status import SourceReport
from cdc.state import LocalState
from cdc.testing.conditions import DEFAULT_TIMEOUT_SECONDS, wait_for
from cdc.testing.database import MemoryDatabase, table_id
from cdc.testing.events import append
from cdc.testing.memory import MemorySink, MemorySource, MemoryStore
from cdc.transform.settings import TransformList
from cdc.transform.source import TransformedSource, Transforms


@dataclass
class Running:
    """One engine run on a thread; `stop` ends it in order, `result` is how it ended."""

    engine: Engine
    thread: threading.Thread
    results: list[RunResult] = field(default_factory=list)

    def stop(self) -> RunResult:
        self.engine.stop()
        return self.join()

    def join(self) -> RunResult:
        self.thread.join(DEFAULT_TIMEOUT_SECONDS)
        assert not self.thread.is_alive(), "the engine did not stop"
        return self.results[0]


@dataclass
class Bench:
    """Starts engines one after the other on the same state folder."""

    folder: Path
    database: MemoryDatabase = field(default_factory=MemoryDatabase)
    store: MemoryStore = field(default_factory=MemoryStore)
    events: list[dict[str, Any]] = field(default_factory=list)
    running: Running | None = None
    snapshot: str = "initial"
    chunk_rows: int = 10
    snapshot_tables: int | None = None
    snapshot_chunks: int | None = None
    workers: int = 2
    acknowledge: str = "log"
    on_gap: str = "fail"
    # More sinks beside `lake`, by name, and their policy.
    others: dict[str, MemoryStore] = field(default_factory=dict)
    backfill: str = "snapshot"
    retention: Retention = field(default_factory=Retention)
    transforms: list[dict[str, Any]] = field(default_factory=list)
    mask_key: bytes = b"0f" * 32
    pacing: Pacing = field(default_factory=Pacing)

    def start(self, *, once: bool = False, accept: bool = False) -> Running:
        source = SourceSpec(
            "shop",
            self._source,
            snapshot=self.snapshot,  # type: ignore[arg-type]
            acknowledge=self.acknowledge,  # type: ignore[arg-type]
            on_gap=self.on_gap,  # type: ignore[arg-type]
            snapshot_workers=self.workers,
            accept_identity=accept,
            retention=self.retention,
        )
        stores = {"lake": self.store, **self.others}
        sinks = [self._sink(name, store) for name, store in stores.items()]
        state, logs = LocalState(self.folder).open(), LocalLogs(self.folder)
        engine = Engine([source], sinks, state, logs, self._report, pacing=self.pacing)
        running = Running(
            engine, threading.Thread(target=lambda: running.results.append(engine.run(once=once)))
        )
        running.thread.start()
        self.running = running
        return running

    def _source(self, context: SourceContext) -> Source:
        options = MemorySource.Options(
            database=self.database,
            chunk_rows=self.chunk_rows,
            snapshot_tables=self.snapshot_tables,
            snapshot_chunks=self.snapshot_chunks,
        )
        source = MemorySource(options, context)
        if not self.transforms:
            return source
        entries = TransformList.model_validate({"transforms": self.transforms}).transforms
        return TransformedSource(source, Transforms("shop", entries, self.mask_key), context)

    def _sink(self, name: str, store: MemoryStore) -> SinkSpec:
        return SinkSpec(
            name,
            lambda context: MemorySink(MemorySink.Options(store=store), context),
            ("shop",),
            FlushPolicy(interval_seconds=0.0),
            backfill=self.backfill,  # type: ignore[arg-type]
        )

    def trim_log(self) -> int:
        """Remove all that the log can spare, as retention does in time; its start. Not while running."""
        with closing(SegmentedLog(self.folder / "log" / "shop", segment_bytes=1)) as log:
            assert log.end is not None
            append(log, ChangeSet((), log.end.position))
            append(log, ChangeSet((), log.end.position))
            return log.trim(log.end.next, max_bytes=0).start

    def request(self, *tables: str, sink: str | None = None) -> int:
        """What `cdc snapshot` does; no table means all."""
        with closing(LocalState(self.folder).reader()) as state:
            return state.request_copy("shop", [table_id(t) for t in tables] or None, sink)

    def wait_until_done(self, number: int) -> str | None:
        """Until the request is finished; its error."""
        with closing(LocalState(self.folder).reader()) as state:
            self.wait_for(lambda: _finished(state, number), f"request {number} to be finished")
            request = state.copy_request(number)
            return request.error if request else "gone"

    def wait_for(self, condition: Any, what: str) -> None:
        wait_for(condition, what=what)

    def wait_until_equal(self, table: str, store: MemoryStore | None = None) -> None:
        """Until the sink's folded rows are the database's."""
        self.wait_for(lambda: self.is_equal(table, store), f"the sink's {table} to equal the source's")

    def wait_until_captured(self) -> None:
        """Until the log has all that was committed: a copy that is held back cannot be over before."""
        assert self.running is not None
        log, newest = self.running.engine.pipelines.captures["shop"].log, self.database.now
        self.wait_for(lambda: log.end is not None and log.end.position >= newest, "the log to have it all")

    def is_equal(self, table: str, store: MemoryStore | None = None) -> bool:
        return _canonical((store or self.store).state(table)) == _canonical(self.database.rows(table))

    def status(self) -> SourceReport:
        """What the engine says of the source now."""
        assert self.running is not None
        return self.running.engine.pipelines.captures["shop"].status.report()

    def _report(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})


def _finished(state: StateReader, number: int) -> bool:
    request = state.copy_request(number)
    return request is not None and request.finished_at is not None


def _canonical(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


@pytest.fixture
def pacing() -> Pacing:
    """How the bench's engines are paced; a module may have its own."""
    return Pacing()


@pytest.fixture
def bench(tmp_path: Path, pacing: Pacing) -> Iterator[Bench]:
    made = Bench(tmp_path / "state", pacing=pacing)
    yield made
    if made.running is not None and made.running.thread.is_alive():
        made.running.stop()
