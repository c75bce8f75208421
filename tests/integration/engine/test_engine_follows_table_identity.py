"""Renamed, re-created and re-read tables, new sinks and gaps: what the sink holds is what the source has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from cdc import failpoints
from cdc.engine import Outcome
from cdc.engine.engine import TICK_SECONDS
from cdc.engine.pacing import Pacing
from cdc.errors import LogFull, SinkRefused, SourceRefused, SourceUnavailable
from cdc.model import ChangeSet, Position, Resnapshot, TableId, TableSchema
from cdc.spi import SnapshotChunk
from cdc.testing.events import position, table, transaction
from cdc.testing.memory import MemoryStore
from tests.integration.engine.conftest import Bench
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

T = table("public.t", {"id": pa.int64(), "note": pa.string()}, relation=1)
KEYLESS = table("public.t", {"id": pa.int64(), "note": pa.string()}, key=(), identity="full", relation=1)
OTHER = table("public.other", {"id": pa.int64(), "note": pa.string()}, relation=2)
ROWS = [{"id": i, "note": "old"} for i in range(30)]
BOTH_IDENTITIES = pytest.mark.parametrize("schema", [T, KEYLESS], ids=["keyed", "keyless"])


@pytest.fixture
def pacing() -> Pacing:
    """The catalog is asked often, so that no test waits for it."""
    return Pacing(discover_seconds=0.2)


def row(number: int, note: str = "new") -> dict[str, object]:
    return {"id": number, "note": note}


def ops(bench: Bench, name: str) -> list[str]:
    return [change["_cdc_op"] for change in bench.store.rows(name)]


def stop(bench: Bench) -> Outcome:
    assert bench.running is not None
    return bench.running.stop().outcome


def restart(bench: Bench) -> None:
    stop(bench)
    bench.start()


def ask_to_read_again(bench: Bench, schema: TableSchema) -> None:
    at = position(bench.database.now.order + 1)
    request = Resnapshot(schema.table, "its rows were rewritten", schema.relation)
    bench.database.append(ChangeSet((), at, resnapshot=(request,)))


def hold_copies(bench: Bench) -> None:
    """Keep new tables waiting, through retries, until `let_copies_go`."""
    bench.database.fail("snapshot", *[SourceUnavailable("not now")] * 1000)


def let_copies_go(bench: Bench) -> None:
    bench.database.mend("snapshot")


def wait_for_retry(bench: Bench, worker: str) -> None:
    bench.wait_for(
        lambda: any(
            e.get("worker") == worker and e["event"] == "retrying after an error" for e in bench.events
        ),
        f"{worker} to meet its error",
    )


def buffer_folders(bench: Bench) -> list[Path]:
    return list((bench.folder / "held" / "shop").iterdir())


def facts(bench: Bench) -> dict[str, str]:
    assert bench.running is not None
    return dict(bench.running.engine.pipelines.captures["shop"].log.metadata)


def test_a_saved_plan_is_not_applied_to_an_emptied_sink(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    bench.store.fail(SinkRefused("the file is damaged"))
    bench.database.commit([("public.t", "c", row(1000))])
    bench.wait_for(lambda: any(e.get("kind") == "SinkRefused" for e in bench.events), "the sink to stop")
    stop(bench)
    bench.store = MemoryStore()
    bench.start()
    bench.wait_until_equal("public.t")
    assert ops(bench, "public.t").count("r") == len(ROWS)
    assert ops(bench, "public.t").count("c") == 1


@pytest.mark.parametrize("goes_on", ["retry", "restart"])
def test_a_failure_behind_the_first_buffered_changes_leaves_nothing_behind(
    bench: Bench, goes_on: str
) -> None:
    # GIVEN a table that the stream shows first (FOR ALL TABLES), and no room for the main commit
    bench.pacing.discover_seconds = 5.0
    bench.database.create(T, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    left = [1]

    def full_once(name: str) -> None:
        if name == "log.buffers-durable" and left:
            left.pop()
            raise LogFull("no room")

    hold_copies(bench)
    # WHEN its first changes come
    with failpoints.watched(full_once):
        with bench.database.changed:
            bench.database.create(OTHER, [], followed=True)
            bench.database.commit([("public.other", "c", row(i)) for i in range(5)])
        wait_for_retry(bench, "capture:shop")
    assert not left
    if goes_on == "restart":
        restart(bench)
    let_copies_go(bench)
    # THEN each is there once, now and after another restart
    bench.wait_until_equal("public.other")
    bench.database.commit([("public.other", "u", row(1, "later")), ("public.t", "d", {"id": 1})])
    bench.wait_until_equal("public.other")
    bench.wait_until_equal("public.t")
    bench.wait_for(lambda: buffer_folders(bench) == [], "the buffer to be deleted")
    restart(bench)
    bench.database.commit([("public.other", "d", {"id": 2}), ("public.t", "c", row(50))])
    bench.wait_until_equal("public.other")
    bench.wait_until_equal("public.t")


@BOTH_IDENTITIES
def test_a_table_read_again_loses_rows_that_vanished_silently(bench: Bench, schema: TableSchema) -> None:
    bench.database.create(schema, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    with bench.database.changed:
        bench.database.tables[schema.table].tuples[3:7] = [None] * 4
        ask_to_read_again(bench, schema)
    bench.wait_until_equal("public.t")
    bench.database.commit([("public.t", "c", row(50))])
    bench.wait_until_equal("public.t")


@BOTH_IDENTITIES
def test_a_table_renamed_while_it_waits_is_equal_after_the_copy(bench: Bench, schema: TableSchema) -> None:
    bench.database.create(schema, ROWS)
    hold_copies(bench)
    bench.start()
    wait_for_retry(bench, "snapshot:shop")
    bench.database.commit([("public.t", "c", row(50))])
    bench.database.rename("public.t", "t2")
    bench.database.commit([("public.t2", "c", row(51))])
    let_copies_go(bench)
    bench.wait_until_equal("public.t2")
    bench.database.commit([("public.t2", "c", row(52))])
    bench.wait_until_equal("public.t2")
    assert ops(bench, "public.t2").count("r") == 32


@BOTH_IDENTITIES
def test_a_table_renamed_while_it_is_copied_is_equal_after_the_copy(
    bench: Bench, schema: TableSchema
) -> None:
    # GIVEN rows of the first chunks in the log, WHEN the table is renamed before the third is read
    count = [0]

    def rename_before_the_third(_chunk: SnapshotChunk) -> None:
        count[0] += 1
        if count[0] == 3:
            with bench.database.changed:
                bench.database.rename("public.t", "t2")
                bench.database.commit([("public.t2", "c", row(50))])
            bench.wait_for(lambda: 'table:["public", "t2"]' in facts(bench), "the stream to show the rename")

    bench.database.before_read = rename_before_the_third
    bench.workers = 1
    bench.database.create(schema, ROWS)
    bench.start()
    bench.wait_for(lambda: count[0] >= 3, "the rename in the middle of the copy")
    # THEN what a sink has of the relation under either name is forgotten before the rows come again
    bench.wait_until_equal("public.t2")
    assert ops(bench, "public.t2")[0] == "t"
    bench.database.commit([("public.t2", "c", row(51))])
    bench.wait_until_equal("public.t2")


@BOTH_IDENTITIES
@pytest.mark.parametrize("asked_by", ["new name", "old name"])
def test_a_live_table_renamed_and_read_again_is_equal(
    bench: Bench, schema: TableSchema, asked_by: str
) -> None:
    bench.database.create(schema, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    with bench.database.changed:
        renamed = bench.database.rename("public.t", "t2")
        bench.database.tables[renamed.table].tuples[3:7] = [None] * 4
        # The source may have looked before the rename, and the request still comes behind it.
        ask_to_read_again(bench, renamed if asked_by == "new name" else schema)
    bench.wait_until_equal("public.t2")
    assert ops(bench, "public.t2")[0] == "t"
    bench.database.commit([("public.t2", "c", row(50))])
    bench.wait_until_equal("public.t2")


@BOTH_IDENTITIES
def test_a_rename_inside_one_set_of_a_buffered_table_does_not_stop_capture(
    bench: Bench, schema: TableSchema
) -> None:
    bench.database.create(OTHER, ROWS)
    bench.start()
    bench.wait_until_equal("public.other")
    hold_copies(bench)
    bench.database.create(schema, ROWS)
    wait_for_retry(bench, "snapshot:shop")
    with bench.database.changed:
        at = bench.database.now.order
        renamed = bench.database.rename("public.t", "t2")
        steps = [(schema, "c", row(50)), (renamed, "c", row(51)), (OTHER, "c", row(50))]
        for changed, _, image in steps:
            name = renamed.table if changed is schema else changed.table
            bench.database.tables[name].tuples.append((at, dict(image)))
        bench.database.append(*transaction(at, steps))
    bench.wait_until_equal("public.other")
    let_copies_go(bench)
    bench.wait_until_equal("public.t2")
    bench.database.commit([("public.t2", "c", row(52)), ("public.other", "d", {"id": 1})])
    restart(bench)
    bench.wait_until_equal("public.t2")
    bench.wait_until_equal("public.other")
    assert not any("stopped" in e["event"] for e in bench.events)


@BOTH_IDENTITIES
def test_changes_before_a_drop_reach_the_history_before_the_new_life(
    bench: Bench, schema: TableSchema
) -> None:
    bench.database.create(schema, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    stop(bench)
    bench.database.commit([("public.t", "c", row(i)) for i in range(100, 140)])
    bench.database.recreate(schema, [row(i, "second life") for i in range(5)], followed=True)
    bench.database.commit([("public.t", "c", row(7, "second life"))])
    # The catalog shows the new table before the stream shows the old one's changes.
    bench.database.fail("stream", SourceUnavailable("cut"), SourceUnavailable("cut"))
    bench.start()
    bench.wait_until_equal("public.t")
    history = bench.store.rows("public.t")
    first_life = [i for i, change in enumerate(history) if change["_cdc_op"] == "c" and change["id"] >= 100]
    second_life = [i for i, change in enumerate(history) if change["note"] == "second life"]
    assert len(first_life) == 40
    assert max(first_life) < min(second_life)


def test_a_recreated_table_that_is_not_yet_followed_is_copied(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    bench.start()
    bench.wait_until_equal("public.t")
    bench.database.recreate(T, [row(1, "second life")])
    bench.database.commit([("public.t", "c", row(7, "second life"))])
    bench.wait_until_equal("public.t")
    bench.database.commit([("public.t", "c", row(8, "second life"))])
    bench.wait_until_equal("public.t")


def test_a_refused_snapshot_leaves_the_capture_of_live_tables_going(bench: Bench) -> None:
    bench.database.create(T, ROWS)
    running = bench.start()
    bench.wait_until_equal("public.t")
    bench.database.fail("snapshot", *[SourceRefused("permission denied")] * 5)
    bench.database.create(OTHER, ROWS)
    bench.wait_for(lambda: any(e.get("error") == "permission denied" for e in bench.events), "the refusal")
    newest = Position(0, "")
    for i in range(50, 53):
        newest = bench.database.commit([("public.t", "c", row(i))])
        bench.wait_until_equal("public.t")
    bench.wait_for(lambda: (bench.database.acknowledged or position(0)) >= newest, "the acknowledgement")
    # Four of the engine's ticks: it had its chance to end.
    running.thread.join(4 * TICK_SECONDS)
    assert running.thread.is_alive()
    bench.wait_until_equal("public.other")


def copy_many_with_few_files(folder: Path) -> None:
    """What the child process of the next test runs."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    bench = Bench(folder)
    names = [TableId("public", f"t{i:03d}") for i in range(300)]
    for i, name in enumerate(names):
        bench.database.create(table(str(name), {"id": pa.int64()}, relation=i + 1), [{"id": 1}])
    hold_copies(bench)
    bench.start()
    wait_for_retry(bench, "snapshot:shop")
    bench.database.fail("stream", SourceUnavailable("cut"))
    bench.database.commit([(name, "c", {"id": 2}) for name in names[:50]])
    let_copies_go(bench)
    bench.wait_for(lambda: all(bench.is_equal(str(name)) for name in names), "all tables to be equal")
    assert stop(bench) is Outcome.STOPPED


def test_many_waiting_tables_need_few_open_files(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    load = (
        "import runpy, sys, pathlib; "
        f"runpy.run_path({__file__!r})['copy_many_with_few_files'](pathlib.Path(sys.argv[1]))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(root)!r}); {load}",
            str(tmp_path / "state"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=DEFAULT_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_rows_that_change_in_silence_while_a_snapshot_opens_are_read_again(bench: Bench) -> None:
    # GIVEN a snapshot that is open but not yet known, and a row that goes without an event behind its view
    bench.database.create(T, ROWS)
    asked: list[Position] = []

    def drop_a_row(name: str) -> None:
        if name != "snapshot.opened" or asked:
            return
        with bench.database.changed:
            bench.database.tables[T.table].tuples[0] = None
            ask_to_read_again(bench, T)
            asked.append(bench.database.now)
        pipeline = bench.running.engine.pipelines.captures["shop"] if bench.running else None
        assert pipeline is not None
        bench.wait_for(lambda: pipeline.log.end and pipeline.log.end.position >= asked[0], "the request")

    # WHEN the stream asks for the table to be read again, which only waits for its copy
    with failpoints.watched(drop_a_row):
        bench.start()
        bench.wait_for(lambda: bool(asked), "the snapshot to open")
    # THEN the copy is of a later view
    bench.wait_until_equal("public.t")
    assert len(bench.database.rows("public.t")) == len(ROWS) - 1


def test_a_table_that_leaves_the_selection_while_it_waits_is_copied_when_it_returns(bench: Bench) -> None:
    # GIVEN a table with buffered changes that is excluded before its copy
    bench.database.create(T, ROWS)
    bench.database.create(OTHER, ROWS, followed=True)
    hold_copies(bench)
    bench.start()
    wait_for_retry(bench, "snapshot:shop")
    bench.database.commit([("public.other", "c", row(50))])
    bench.wait_for(lambda: buffer_folders(bench), "buffered changes")
    stop(bench)
    bench.database.excluded.add(OTHER.table)
    let_copies_go(bench)
    # WHEN it changes meanwhile and returns
    bench.start()
    bench.wait_until_equal("public.t")
    bench.wait_for(lambda: buffer_folders(bench) == [], "the buffer to be deleted")
    assert not any("public" in key and "other" in key for key in facts(bench))
    stop(bench)
    bench.database.history.clear()
    bench.database.followed.discard(OTHER.table)
    bench.database.commit([("public.other", "d", row(3)), ("public.other", "u", row(4, "meanwhile"))])
    bench.database.excluded.clear()
    bench.start()
    # THEN nothing of its earlier state counts
    bench.wait_until_equal("public.other")
    bench.database.commit([("public.other", "c", row(51))])
    bench.wait_until_equal("public.other")
