"""What a sink is given beside its options: memory, a folder of its own, the stop, gauges."""

from __future__ import annotations

from pathlib import Path

from cdc.engine import Engine, SinkSpec, SourceSpec
from cdc.log import LocalLogs
from cdc.spi import FlushPolicy, Sink, SinkContext
from cdc.state import LocalState
from cdc.testing.database import MemoryDatabase
from cdc.testing.memory import MemorySink, MemorySource


def test_a_sink_knows_its_memory_its_folder_and_the_stop_and_shows_its_gauges(tmp_path: Path) -> None:
    leftover = tmp_path / "scratch" / "shop" / "a" / "leftover"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    given: dict[str, SinkContext] = {}

    def make(context: SinkContext) -> Sink:
        given[context.name] = context
        context.gauge("depth", 7.0)
        return MemorySink(MemorySink.Options(path=tmp_path / context.name), context)

    source = SourceSpec(
        "shop", lambda context: MemorySource(MemorySource.Options(database=MemoryDatabase()), context)
    )
    sinks = [SinkSpec(name, make, ("shop",), FlushPolicy(interval_seconds=0.0)) for name in "abcdef"]
    state, logs = LocalState(tmp_path).open(), LocalLogs(tmp_path)
    engine = Engine([source], sinks, state, logs, lambda _event, **_fields: None, tmp_path / "scratch")
    engine.run(once=True)
    assert not leftover.exists()
    assert given.keys() == set("abcdef")
    assert len({context.scratch for context in given.values()}) == len(sinks)
    assert {context.memory_bytes for context in given.values()} == {32 * 1024**2}
    assert all(context.stop.is_set() for context in given.values())
    shown = [one.status.report(0, None) for one in engine.pipelines.of_source("shop")]
    assert [pair.gauges for pair in shown] == [{"depth": 7.0}] * len(sinks)
