"""Each delivery takes effect once: retries, gaps, older processes, crashes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import LogCorrupt, SinkFenced, SinkRefused
from cdc.model import ChangeBatch
from cdc.spi.sink import SupportsIdle, SupportsRewind
from cdc.testing.events import changes, delivery, table
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.options import Options
from tests.support.ducks import Duck, read_file
from tests.support.fed_sink import SOURCE
from tests.support.processes import child_environment

T = table("public.t", {"id": pa.int32(), "v": pa.string()})
U = table("public.u", {"id": pa.int32()})
KILLS = 8


@pytest.fixture
def duck(tmp_path: Path) -> Duck:
    return Duck(tmp_path)


def test_duckdb_sink_can_rewind_and_has_upkeep(duck: Duck) -> None:
    assert isinstance(duck.sink, SupportsRewind)
    assert isinstance(duck.sink, SupportsIdle)


def test_delivery_given_twice_counts_once(duck: Duck) -> None:
    log = table("public.log", {"v": pa.int32()}, key=(), identity="none")
    given = delivery([changes(log, [("c", {"v": 1})])], first=0, next=1)
    duck.sink.apply(given)
    duck.sink.apply(given)
    assert duck.rows("public.log", "v") == [(1,)]


def test_delivery_that_leaves_a_gap_is_refused(duck: Duck) -> None:
    duck.change(T, ("c", {"id": 1}))
    with pytest.raises(SinkRefused) as caught:
        duck.sink.apply(delivery([], first=5, next=6))
    assert str(caught.value) == (
        f"{duck.path}: source shop: the delivery starts at offset 5, the sink is at 1. "
        "The sink and the daemon's log do not belong together. Restore both, or give the sink a new, "
        "empty location."
    )


def test_empty_delivery_moves_position_only(duck: Duck) -> None:
    duck.change(T, ("c", {"id": 1}))
    duck.sink.apply(delivery([], first=1, next=1, at=77))
    cursor = duck.sink.committed(SOURCE)
    assert cursor is not None
    assert (cursor.next, cursor.position.order, cursor.high) == (1, 77, 1)


def test_cursor_is_read_from_the_file(duck: Duck) -> None:
    assert duck.sink.committed(SOURCE) is None
    duck.change(T, ("c", {"id": 1}), ("c", {"id": 2}))
    duck.sink.close()
    at = "commit_at = timestamptz '2026-11-23 12:00:00+00'"
    row = read_file(duck.path, f'select source, "offset", position, epoch, high, {at} from _cdc.cursors')
    assert row == [("shop", 2, "0/2", 1, 2, True)]


def test_failure_in_a_later_part_leaves_nothing_and_can_be_retried(duck: Duck) -> None:
    duck.change(T, ("c", {"id": 1, "v": "old"}))
    whole = [[changes(T, [("d", {"id": 1})], start=1)], [changes(U, [("c", {"id": 1})], start=2)]]

    def breaking() -> Iterator[list[ChangeBatch]]:
        yield whole[0]
        yield whole[1]
        raise LogCorrupt("a frame fails its checksum")

    with pytest.raises(LogCorrupt):
        duck.sink.apply(delivery([], first=1, next=3, parts=breaking))
    assert duck.rows("public.t", "id, v") == [(1, "old")]
    assert duck.query("select count(*) from duckdb_tables() where table_name = 'u'") == [(0,)]
    duck.apply(parts=whole)
    assert (duck.rows("public.t", "id"), duck.rows("public.u", "id")) == ([], [(1,)])


def test_older_process_is_fenced(duck: Duck) -> None:
    newer = DuckDBSink(duck.options, duck.context(epoch=2))
    newer.prepare(SOURCE)
    with pytest.raises(SinkFenced) as caught:
        duck.change(T, ("c", {"id": 1}))
    assert str(caught.value) == (
        f"{duck.path}: the sink has been opened with epoch 2, this process has epoch 1: a newer daemon"
        " on a copy of this state_dir writes to it, or this state_dir was restored from a backup. Stop this"
        " daemon and use the newest state_dir, or give the sink a new, empty location."
    )
    with pytest.raises(SinkFenced):
        DuckDBSink(duck.options, duck.context(epoch=1)).prepare(SOURCE)


def test_two_sources_share_a_file_but_no_table(duck: Duck) -> None:
    other = DuckDBSink(duck.options, duck.context(epoch=1))
    other.prepare("crm")
    duck.change(T, ("c", {"id": 1}))
    other.apply(delivery([changes(U, [("c", {"id": 9})])], source="crm", first=0, next=1))
    assert duck.rows("public.u", "id") == [(9,)]
    assert duck.query("select count(*) from _cdc.cursors") == [(2,)]
    other.apply(delivery([changes(T, [("c", {"id": 1})], start=1)], source="crm", first=1, next=2))
    (said,) = other.set_aside("crm")
    assert "the table is already filled by the source 'shop'" in said.message
    assert duck.rows(str(T.table), "id") == [(1,)]
    other.close()


def test_file_of_another_mode_is_refused(duck: Duck) -> None:
    duck.change(T, ("c", {"id": 1}))
    duck.sink.close()
    other = DuckDBSink(Options(path=duck.path, mode="append"), duck.context(epoch=1))
    with pytest.raises(
        SinkRefused, match="was created with mode mirror, deletes hard; the config says append, hard"
    ):
        other.prepare(SOURCE)
    other.close()


def test_rewinding_past_the_cursor_is_refused(duck: Duck) -> None:
    with pytest.raises(SinkRefused, match="nothing was applied yet"):
        duck.sink.rewind(SOURCE, 0)
    duck.change(T, ("c", {"id": 1}))
    with pytest.raises(SinkRefused, match="the sink is at offset 1"):
        duck.sink.rewind(SOURCE, 2)


def test_rewound_sink_remembers_how_far_it_was(duck: Duck) -> None:
    duck.change(T, ("c", {"id": 1}), ("c", {"id": 2}))
    duck.rewind(1)
    cursor = duck.sink.committed(SOURCE)
    assert cursor is not None
    assert (cursor.next, cursor.high) == (1, 2)
    assert duck.rows("public.t", "id") == [(1,), (2,)]


def test_soft_deletes_mark_rows_with_their_last_values(tmp_path: Path) -> None:
    duck = Duck(tmp_path, deletes="soft")
    duck.change(T, ("c", {"id": 1, "v": "a"}), ("c", {"id": 2, "v": "b"}), ("c", {"id": 3, "v": "c"}))
    duck.change(T, ("d", {"id": 1}, None, ["v"]), ("u", {"id": 9}, {"id": 2}, ["v"]))
    assert duck.rows("public.t", "id, v, _cdc_deleted") == [
        (1, "a", True),
        (2, "b", True),
        (3, "c", False),
        (9, "b", False),
    ]
    duck.change(T, ("t", {}), ("c", {"id": 1, "v": "again"}))
    alive = duck.rows("public.t where not _cdc_deleted", "id, v, _cdc_seq")
    assert alive == [(1, "again", 6)]


def test_history_keeps_versions_with_their_times(tmp_path: Path) -> None:
    duck = Duck(tmp_path, mode="history")
    duck.change(T, ("c", {"id": 1, "v": "a"}), ("u", {"id": 1, "v": "b"}))
    duck.change(T, ("u", {"id": 2}, {"id": 1}, ["v"]), ("d", {"id": 2}))
    names = "id, v, _cdc_seq, _cdc_end_seq, valid_to is null"
    assert duck.rows("public.t", names) == [
        (1, "a", 0, 1, False),
        (1, "b", 1, 2, False),
        (2, "b", 2, 3, False),
    ]


def test_changelog_holds_the_whole_envelope(tmp_path: Path) -> None:
    duck = Duck(tmp_path, mode="append")
    steps: list[Any] = [("u", {"id": 2}, {"id": 1}, ["v"]), ("t", {})]
    duck.change(T, *steps, tx="77", at=5)
    names = "id, v, _cdc_op, _cdc_seq, _cdc_tx, _cdc_position, _cdc_unchanged, _cdc_before"
    assert duck.rows("public.t", names) == [
        (2, None, "u", 0, "77", "0/5", ["v"], {"id": 1, "v": None}),
        (None, None, "t", 1, "77", "0/5", None, None),
    ]


_CHILD = """
import sys
from pathlib import Path
import pyarrow as pa
from cdc.testing.events import changes, table
from tests.support.ducks import Duck
t = table("public.t", {"id": pa.int32(), "v": pa.int32()})
log = table("public.log", {"v": pa.int32()}, key=(), identity="none")
duck = Duck(Path(sys.argv[1]), epoch=int(sys.argv[2]))
at = duck.sink.committed("shop")
duck.next = at.next if at else 0
print("ready", flush=True)
while True:
    first = duck.next
    rows = [("u", {"id": (first + i) % 701, "v": first + i}) for i in range(2000)]
    inserts = [("c", {"v": first + 2000 + i}) for i in range(2000)]
    parts = [[changes(t, rows[:1000], start=first)], [changes(t, rows[1000:], start=first + 1000)],
             [changes(log, inserts, start=first + 2000)]]
    duck.apply(parts=parts)
    duck.sink.idle()
    print(duck.next, flush=True)
"""


def test_killed_sink_holds_whole_deliveries_only(tmp_path: Path) -> None:
    chance = random.Random(7)
    reached = 0
    for epoch in range(1, KILLS + 1):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path), str(epoch)],
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(),
        )
        assert child.stdout is not None
        for _ in range(chance.randint(1, 4)):
            assert child.stdout.readline()
        # The moment within the next delivery is left to chance: the child is in the middle of one now.
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        duck = Duck(tmp_path, epoch=epoch)
        at = duck.sink.committed(SOURCE)
        end = at.next if at else 0
        assert end >= reached
        assert end % 4000 == 0
        reached = end
        _check(duck, end)
        duck.sink.close()
    assert reached > 0


def _check(duck: Duck, end: int) -> None:
    if end == 0:
        return
    logged = [v for first in range(0, end, 4000) for v in range(first + 2000, first + 4000)]
    assert duck.query("select count(*), count(distinct v), sum(v) from public.log") == [
        (len(logged), len(logged), sum(logged))
    ]
    newest: dict[int, int] = {}
    for first in range(0, end, 4000):
        newest.update({(first + i) % 701: first + i for i in range(2000)})
    assert dict(duck.query("select id, v from public.t")) == newest
    assert duck.query("select count(*) from public.t") == [(len(newest),)]
