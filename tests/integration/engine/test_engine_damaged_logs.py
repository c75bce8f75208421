"""A source whose log cannot be opened waits for the operator; the other sources run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdc.engine import Engine, Outcome, RunResult, SinkSpec, SourceSpec
from cdc.engine.pacing import Pacing
from cdc.errors import ConfigError, LogCorrupt
from cdc.files import exchange
from cdc.log import LocalLogs
from cdc.spi import FlushPolicy, SourceContext
from cdc.spi.status import DaemonReport
from cdc.state import LocalState
from cdc.testing.conditions import DEFAULT_TIMEOUT_SECONDS, wait_for
from cdc.testing.database import MemoryDatabase
from cdc.testing.events import table
from cdc.testing.memory import MemorySink, MemorySource, MemoryStore
from tests.support.logs import flip_head, flip_rows

T = table("public.t", {"id": pa.int64()}, relation=1)
OTHER = table("public.other", {"id": pa.int64()}, relation=2)


@dataclass
class Two:
    """Two sources into one sink, and a second sink for the second source only."""

    folder: Path
    shop: MemoryDatabase = field(default_factory=lambda: MemoryDatabase("shop"))
    crm: MemoryDatabase = field(default_factory=lambda: MemoryDatabase("crm"))
    store: MemoryStore = field(default_factory=MemoryStore)
    own: MemoryStore = field(default_factory=MemoryStore)
    events: list[dict[str, Any]] = field(default_factory=list)
    reports: list[DaemonReport] = field(default_factory=list)

    def engine(self) -> Engine:
        sources = [_source("shop", self.shop), _source("crm", self.crm)]
        sinks = [_sink("lake", self.store, "shop", "crm"), _sink("own", self.own, "crm")]
        return Engine(
            sources,
            sinks,
            LocalState(self.folder).open(),
            LocalLogs(self.folder),
            lambda event, **fields: self.events.append({"event": event, **fields}),
            pacing=Pacing(operator_wait_seconds=0.2),
        )

    def once(self) -> RunResult:
        return self.engine().run(once=True, on_tick=self.reports.append)

    @property
    def segment(self) -> Path:
        (found,) = (self.folder / "log" / "crm").glob("*.cdclog")
        return found


def _source(name: str, database: MemoryDatabase) -> SourceSpec:
    def make(context: SourceContext) -> MemorySource:
        return MemorySource(MemorySource.Options(database=database), context)

    return SourceSpec(name, make)


def _sink(name: str, store: MemoryStore, *sources: str) -> SinkSpec:
    def make(context: Any) -> MemorySink:
        return MemorySink(MemorySink.Options(store=store), context)

    return SinkSpec(name, make, sources, FlushPolicy(interval_seconds=0.0))


def flip_a_byte(segment: Path) -> Callable[[], None]:
    """Damage a segment; returns what restores it."""
    whole = flip_head(segment)

    def restore() -> None:
        # At once, from outside of the log's folder: the source opens its log meanwhile, which removes drafts.
        draft = segment.parents[2] / "restored"
        draft.write_bytes(whole)
        draft.rename(segment)

    return restore


def make_it_a_folder(segment: Path) -> Callable[[], None]:
    """Put something that is no file in a segment's place; returns what restores it."""
    kept = segment.rename(segment.with_suffix(".kept"))
    segment.mkdir()

    def restore() -> None:
        assert exchange(kept, segment)

    return restore


@pytest.fixture
def two(tmp_path: Path) -> Two:
    made = Two(tmp_path / "state")
    made.shop.create(T, [{"id": 1}])
    made.crm.create(OTHER, [{"id": 1}])
    assert made.once().outcome is Outcome.DONE
    made.shop.commit([("public.t", "c", {"id": 2})])
    made.crm.commit([("public.other", "c", {"id": 2})])
    made.events.clear()
    made.reports.clear()
    return made


@pytest.mark.parametrize("damage", [flip_a_byte, make_it_a_folder])
def test_the_others_run_and_the_source_goes_on_once_its_log_is_restored(
    two: Two, damage: Callable[[Path], Callable[[], None]]
) -> None:
    restore = damage(two.segment)
    engine = two.engine()
    thread = threading.Thread(target=lambda: engine.run(on_tick=two.reports.append))
    thread.start()
    try:
        wait_for(lambda: len(two.store.state("public.t")) == 2, what="the rows of the other source")
        wait_for(lambda: two.reports and two.reports[-1].sources["crm"].error, what="the error in the status")
        report = two.reports[-1].sources["crm"]
        assert report.state == "failed"
        assert report.error is not None
        assert report.error.needs_operator
        wait_for(lambda: [e for e in two.events if e["event"].startswith("operator")], what="a log line")
        assert [e["worker"] for e in two.events if e["event"].startswith("operator")] == ["open:crm"]
        restore()
        wait_for(lambda: len(two.own.state("public.other")) == 2, what="the rows of the restored source")
        wait_for(lambda: len(two.store.state("public.other")) == 2, what="them in the shared sink")
        wait_for(lambda: two.reports[-1].sources["crm"].state == "streaming", what="it to stream")
    finally:
        engine.stop()
        thread.join(DEFAULT_TIMEOUT_SECONDS)


def test_a_run_to_the_end_delivers_the_others_and_fails(two: Two) -> None:
    flip_a_byte(two.segment)
    result = two.once()
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.errors["open:crm"], LogCorrupt)
    assert len(two.store.state("public.t")) == 2
    assert len(two.own.state("public.other")) == 1


def test_damage_that_every_sink_has_passed_is_said_and_goes_with_retention(two: Two) -> None:
    damaged = two.segment
    flip_rows(damaged)
    assert two.once().outcome is Outcome.DONE
    assert len(two.store.state("public.other")) == len(two.own.state("public.other")) == 2
    (said,) = [event for event in two.events if "damaged" in event["event"]]
    assert (said["level"], said["source"]) == ("warning", "crm")
    assert str(damaged) in said["where"]
    assert not damaged.exists()
    two.events.clear()
    assert two.once().outcome is Outcome.DONE
    assert [event for event in two.events if "damaged" in event["event"]] == []


def test_a_daemon_whose_only_source_has_a_damaged_log_keeps_waiting(two: Two) -> None:
    restore = flip_a_byte(two.segment)
    engine = Engine(
        [_source("crm", two.crm)],
        [_sink("own", two.own, "crm")],
        LocalState(two.folder).open(),
        LocalLogs(two.folder),
        lambda _event, **_fields: None,
        pacing=Pacing(operator_wait_seconds=0.2),
    )
    with pytest.raises(ConfigError, match="given twice"):
        engine.reconfigure([*engine.sources, _source("crm", two.crm)], engine.sinks)
    thread = threading.Thread(target=engine.run)
    thread.start()
    restore()
    try:
        wait_for(lambda: len(two.own.state("public.other")) == 2, what="the rows of the restored source")
    finally:
        engine.stop()
        thread.join(DEFAULT_TIMEOUT_SECONDS)


def test_a_source_with_a_damaged_log_can_be_removed(two: Two) -> None:
    flip_a_byte(two.segment)
    engine = two.engine()
    engine.reconfigure([_source("shop", two.shop)], [_sink("lake", two.store, "shop")])
    thread = threading.Thread(target=lambda: engine.run(on_tick=two.reports.append))
    thread.start()
    try:
        wait_for(lambda: len(two.store.state("public.t")) == 2, what="the rows of the other source")
        wait_for(lambda: two.reports, what="a report")
        assert "crm" not in two.reports[-1].sources
    finally:
        engine.stop()
        thread.join(DEFAULT_TIMEOUT_SECONDS)
