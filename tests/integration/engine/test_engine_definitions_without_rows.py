"""New definitions that no row follows pass transforms, routing and crashes, and are in the log once."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pyarrow as pa
import pytest

from cdc import failpoints
from cdc.engine.pacing import Pacing
from cdc.log import SegmentedLog
from cdc.model import ChangeBatch, ChangeSet, Column, CopyStep, TableSchema
from cdc.testing.events import altered, position, table
from cdc.testing.memory import MemoryStore
from tests.integration.engine.conftest import Bench
from tests.integration.engine.test_engine_copies_on_request import HeldCopies
from tests.integration.engine.test_engine_follows_table_identity import facts
from tests.integration.engine.test_engine_survives_crashes import CrashAt

T = table("public.t", {"id": pa.int64(), "note": pa.string(), "big": pa.string()}, relation=1)
U = table("public.u", {"id": pa.int64(), "note": pa.string()}, relation=2)
ROWS = [{"id": i, "note": f"note {i}", "big": "b"} for i in range(25)]
WIDER = replace(T, columns=(*T.columns, Column("extra", pa.int64(), id=9)), version=2)


@pytest.fixture
def pacing() -> Pacing:
    """The catalog is asked often, so that no test waits for it."""
    return Pacing(discover_seconds=0.2)


def filled(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    bench.database.create(U, [{"id": 1, "note": "u"}])


def alter(bench: Bench, *schemas: TableSchema) -> None:
    """One transaction of statements that change no row."""
    with bench.database.changed:
        at = bench.database.now.order
        marks = tuple(altered(schema, i, at=at) for i, schema in enumerate(schemas))
        bench.database.append(ChangeSet(marks, position(at + 1), changes=len(marks)))


def marks_in_the_log(bench: Bench) -> list[ChangeBatch]:
    """The new definitions, once all are captured and delivered."""
    bench.wait_until_captured()
    assert bench.running is not None
    bench.running.stop()
    with closing(SegmentedLog(bench.folder / "log" / "shop")) as log:
        assert log.end is not None
        assert bench.store.cursors["shop"].next == log.end.next
        batches = list(log.read(log.start, log.end.next))
    return [batch for batch in batches if batch.mark is not None and batch.mark.step is CopyStep.ALTERED]


def test_a_definition_passes_the_transforms_of_its_table(bench: Bench) -> None:
    bench.transforms = [
        {
            "table": "public.t",
            "where": "id > 3",
            "mask": {"id": "hash", "note": "drop"},
            "rename": {"big": "large", "extra": "more"},
            "route": "raw.{schema}_{table}",
        }
    ]
    filled(bench)
    bench.start()
    bench.wait_for(lambda: len(bench.store.rows("raw.public_t")) == 21, "the copy")
    alter(bench, WIDER)
    (found,) = marks_in_the_log(bench)
    assert str(found.table) == "raw.public_t"
    assert [(column.name, str(column.type)) for column in found.schema.columns] == [
        ("id", "string"),
        ("large", "string"),
        ("more", "int64"),
    ]
    assert found.row_count == 0


@pytest.mark.parametrize(
    "name", ["capture.routed", "capture.durable", "delivery.planned", "delivery.applied"]
)
def test_a_crash_around_a_definition_leaves_it_in_the_log_once(bench: Bench, name: str) -> None:
    filled(bench)
    bench.start()
    for one in ("public.t", "public.u"):
        bench.wait_until_equal(one)
    bench.wait_until_captured()
    crash = CrashAt(name, 1)
    with failpoints.watched(crash.hit):
        alter(bench, WIDER)
        bench.wait_for(crash.crashed.is_set, "a crash")
        assert bench.running is not None
        bench.running.stop()
    bench.start()
    bench.database.commit([("public.u", "c", {"id": 2, "note": "v"})])
    bench.wait_until_equal("public.u")
    (found,) = marks_in_the_log(bench)
    assert found.schema.columns[-1].name == "extra"


def test_names_that_change_hands_without_a_row_are_the_tables_from_then_on(bench: Bench) -> None:
    filled(bench)
    bench.start()
    bench.wait_for(
        lambda: (
            [facts(bench).get(f'table:["public", "{name}"]', "").count('"live"') for name in "tu"] == [1, 1]
        ),
        "two live tables",
    )
    with bench.database.changed:
        bench.database.rename("public.t", "between")
        renamed = bench.database.rename("public.u", "t")
        other = bench.database.rename("public.between", "u")
        alter(bench, other, renamed)
    bench.wait_for(lambda: '"relation":2' in facts(bench).get('table:["public", "t"]', ""), "the swap")
    assert '"relation":1' in facts(bench)['table:["public", "u"]']
    assert [batch.schema.relation for batch in marks_in_the_log(bench)] == [1, 2]
    assert not any("copying table again" in event["event"] for event in bench.events)


def test_a_definition_reaches_the_sinks_that_a_copy_is_not_for_at_once_and_the_other_one_behind_it(
    bench: Bench,
) -> None:
    filled(bench)
    bench.others = {"mart": (mart := MemoryStore())}
    bench.start()
    for store in (bench.store, mart):
        bench.wait_until_equal("public.t", store)
    held = HeldCopies(bench.database)
    number = bench.request("public.t", sink="mart")
    bench.wait_for(held.waiting.is_set, "the copy")
    bench.database.create(WIDER)
    alter(bench, WIDER)
    bench.wait_until_captured()
    held.let_go()
    assert bench.wait_until_done(number) is None
    bench.wait_for(lambda: len(mart.rows("public.t")) > 2 * len(ROWS), "the copy to be delivered")
    found = marks_in_the_log(bench)
    assert [batch.audience.includes("lake") for batch in found] == [True, False]
    assert [batch.audience.includes("mart") for batch in found] == [False, True]


def test_a_copy_without_rows_tells_the_definition_that_it_was_made_of(bench: Bench) -> None:
    """The stream has nothing to tell: what is altered before the copy's view is contained in the copy."""
    bench.database.create(T)
    bench.database.create(U, [{"id": 1, "note": "u"}])
    bench.database.before_snapshot = lambda: bench.database.create(WIDER)
    bench.start(once=True).join()
    with closing(SegmentedLog(bench.folder / "log" / "shop")) as log:
        told = log.schema(T.table)
    assert told is not None
    assert told.columns == WIDER.columns
