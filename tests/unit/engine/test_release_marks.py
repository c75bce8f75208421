"""A definition that comes while its table is copied is released with the buffered changes, at its place."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa

from cdc.engine.ledger import Ledger, Phase, TableState
from cdc.engine.release import Releaser
from cdc.log import SegmentedLog
from cdc.model import ChangeSet, CopyStep, Position
from cdc.model.batch import altered_batch
from cdc.testing import events

OLD = events.table("app.t", {"id": pa.int64(), "a": pa.string()})
NEW = events.table("app.t", {"id": pa.int64(), "b": pa.string()})


def test_a_definition_behind_the_snapshot_is_released_between_the_rows(tmp_path: Path) -> None:
    # GIVEN buffered changes of a table whose snapshot contains everything below 15
    rows = events.changes(OLD, [("c", {"id": 1, "a": "x"})], start=1, at=20)
    later = events.changes(NEW, [("c", {"id": 2, "b": "y"})], start=3, at=30)
    contained, behind = altered_batch(OLD, _text(10), 0), altered_batch(NEW, _text(20), 2)
    with closing(SegmentedLog(tmp_path / "log", buffers=tmp_path / "buffers")) as log:
        ledger = Ledger(log)
        with ledger.begin() as entry:
            entry.tables.put(OLD.table, TableState(Phase.COPYING, buffer=1, token="open", handled=15))
            entry.buffer(1, ChangeSet((contained, rows, behind, later), None, 4))
            entry.commit(events.position(40))
        # WHEN they are released
        Releaser(ledger, _parsed).release(OLD.table, "open", None)
        assert log.end is not None
        found = list(log.read(0, log.end.next))
    # THEN the definition behind the snapshot is among them, and the other one is not
    assert [batch.mark and batch.mark.step for batch in found] == [None, CopyStep.ALTERED, None]
    assert [batch.row_count for batch in found] == [1, 0, 1]
    assert [batch.first_seq for batch in found] == [0, 1, 2]
    assert [batch.schema.columns[1].name for batch in found] == ["a", "b", "b"]


def _text(order: int) -> str:
    return events.position(order).text


def _parsed(text: str) -> Position:
    return events.position(int(text.partition("/")[2], 16))
