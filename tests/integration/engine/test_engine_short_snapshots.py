"""Claims about copies that take many snapshots: of some tables each, and of a part of a large one."""

from __future__ import annotations

import pyarrow as pa
import pytest

from cdc.errors import CdcError, SnapshotYielded, SourceRefused, SourceUnavailable
from cdc.spi.status import ErrorReport
from cdc.testing.conditions import wait_for
from cdc.testing.events import table
from tests.integration.engine.conftest import Bench

NAMES = [f"public.t{i}" for i in range(6)]
TABLES = [
    table(name, {"id": pa.int64(), "note": pa.string()}, relation=i + 1) for i, name in enumerate(NAMES)
]
LARGE = table("public.large", {"id": pa.int64(), "note": pa.string()}, relation=100)


def rows(count: int) -> list[dict[str, object]]:
    return [{"id": i, "note": "old"} for i in range(count)]


def write(bench: Bench, name: str, count: int) -> None:
    for i in range(count):
        bench.database.commit([(name, "u", {"id": i, "note": "new"}), (name, "d", {"id": 500 + i})])
        bench.database.commit([(name, "c", {"id": 10_000 + i, "note": "new"})])


def test_tables_are_copied_under_one_snapshot_after_the_other(bench: Bench) -> None:
    bench.snapshot_tables, bench.snapshot_chunks = 2, 3
    for schema in TABLES:
        bench.database.create(schema, rows(30))
    bench.database.create(LARGE, rows(700))
    bench.start()
    write(bench, "public.large", 100)
    for name in [*NAMES, "public.large"]:
        bench.wait_until_equal(name)
    bench.wait_for(lambda: bench.status().snapshot is None, "the copy to be over")
    assert bench.status().waiting_tables == 0


def test_a_snapshot_that_gives_way_is_followed_by_another_without_an_error(bench: Bench) -> None:
    bench.database.create(LARGE, rows(700))
    bench.database.fail("snapshot", SnapshotYielded("somebody waited"))
    bench.database.fail("read", *(SnapshotYielded("somebody waits") for _ in range(5)))
    bench.start()
    write(bench, "public.large", 50)
    bench.wait_until_equal("public.large")
    assert [event for event in bench.events if "tries again" in event["event"]] == []


def test_a_snapshot_is_closed_before_its_tables_are_live(bench: Bench) -> None:
    waiting: list[int] = []
    bench.database.before_close = lambda: waiting.append(bench.status().waiting_tables)
    bench.database.create(LARGE, rows(50))
    bench.start(once=True).join()
    assert bench.is_equal("public.large")
    assert waiting[0] == 1


@pytest.mark.parametrize(
    ("error", "is_reported"),
    [
        (SourceUnavailable("locked by process 42", remedy="End it."), False),
        (SourceRefused("no privilege", remedy="Grant it."), True),
    ],
)
def test_a_table_that_can_not_be_copied_now_is_shown_and_holds_up_no_other(
    bench: Bench, error: CdcError, is_reported: bool
) -> None:
    bench.database.waiting[LARGE.table] = error
    bench.database.create(LARGE, rows(5))
    bench.database.create(TABLES[0], rows(5))
    bench.start()
    bench.wait_until_equal(NAMES[0])

    def shown() -> ErrorReport | None:
        """A refusal is the table's own, a wait its source's."""
        status = bench.status()
        return next(iter(status.refused), None) if is_reported else status.error

    reason = wait_for(shown, what="the reason to show")
    assert reason is not None
    assert error.message in reason.message
    # A wait is logged when it lasts, a refusal at once.
    assert any(event.get("error") == error.message for event in bench.events) is is_reported
    bench.database.waiting.clear()
    bench.wait_until_equal("public.large")
    bench.wait_for(lambda: shown() is None, "the reason to go")
