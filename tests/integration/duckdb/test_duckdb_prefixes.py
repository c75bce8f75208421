"""What is committed of a large delivery is always whole source transactions, with the cursor behind them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdc.log import SegmentedLog
from cdc.testing.events import table
from tests.support.ducks import Duck, handle_of
from tests.support.prefixes import Step, delivery_from, narrow, transactions_below, wide, written
from tests.support.processes import child_environment

MIB = 2**20
EACH_MODE: list[dict[str, Any]] = [
    {"mode": "mirror"},
    {"deletes": "soft"},
    {"mode": "history"},
    {"mode": "append"},
]


class Interrupted(Exception):
    """A log that can't be read on."""


class Watch:
    """Compares each committed state of the file with the log, from the second connection of a reader."""

    def __init__(self, duck: Duck, log: SegmentedLog, break_off_at: int | None = None) -> None:
        self.duck = duck
        self.log = log
        self.seen: list[int] = []
        self.half_done: set[int] = set()
        self._break_off_at = break_off_at

    def __call__(self) -> None:
        self.look(is_whole=False)
        if len(self.seen) == self._break_off_at:
            raise Interrupted

    def look(self, *, is_whole: bool = True) -> None:
        reader = handle_of(self.duck.sink).cursor()
        found = reader.execute('select "offset", position_order from _cdc.cursors').fetchall()
        offset, order = found[0] if found else (0, "0")
        half_done = reader.execute('select "first" from _cdc.steps').fetchall()
        self.half_done.update(first for (first,) in half_done)
        if self.seen[-1:] == [offset] and not is_whole:
            return
        if self.seen[-1:] != [offset]:
            self.seen.append(offset)
        notes = 0
        if _has(reader, "notes"):
            notes = reader.execute("select count(*) from public.notes").fetchall()[0][0]
        below = transactions_below(self.log, offset)
        # Each transaction ends with a note.
        assert notes == len(below)
        if below:
            assert (below[-1].next, below[-1].position.order) == (offset, int(order))
        if not half_done:
            self._compare_wide(reader, offset)
        else:
            assert half_done == [(offset,)]

    def _compare_wide(self, reader: Any, offset: int) -> None:
        batches = list(self.log.read(0, offset))
        rows = [row for batch in batches if batch.table.name == "wide" for row in batch.rows()]
        if not _has(reader, "wide"):
            assert rows == []
            return
        if self.duck.options.mode == "append":
            assert reader.execute("select count(*) from public.wide").fetchall() == [(len(rows),)]
            return
        state: dict[int, list[int]] = {}
        for row in rows:
            length = state[row["id"]][1] if row["big"] is None else len(row["big"])
            state[row["id"]] = [row["v"], length]
        alive = " where valid_to is null" if self.duck.options.mode == "history" else ""
        found = reader.execute(f"select id, v, strlen(big) from public.wide{alive}").fetchall()
        assert {i: [v, length] for i, v, length in found} == state


def _has(reader: Any, name: str) -> bool:
    query = "select 1 from duckdb_tables() where schema_name = 'public' and table_name = ?"
    return bool(reader.execute(query, [name]).fetchall())


def ordinary() -> list[Sequence[Step]]:
    """60 transactions of two large rows each."""
    return [[wide(2 * i, MIB // 2), wide(2 * i + 1, MIB // 2)] for i in range(60)]


def updates() -> list[Sequence[Step]]:
    """Of the rows of `ordinary`, without their large values."""
    return [[narrow(2 * i, i), narrow(2 * i + 1, i)] for i in range(60)]


@pytest.mark.halved
@pytest.mark.parametrize("options", EACH_MODE)
def test_steps_end_where_commits_end_and_the_cursor_moves_with_them(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    duck = Duck(tmp_path, **options)
    log = written(tmp_path, ordinary())
    watch = Watch(duck, log)
    duck.sink.apply(delivery_from(log, 0, watch))
    assert len(watch.seen) >= 4
    first = log.end.next if log.end else 0
    watch.look()
    # Values that come from stored rows count too.
    log.close()
    log = watch.log = written(tmp_path, updates())
    duck.sink.apply(delivery_from(log, first, watch))
    # A changelog takes no values from stored rows.
    assert len(watch.seen) >= (5 if options.get("mode") == "append" else 6)
    assert watch.half_done == set()
    watch.look()


def test_only_a_commit_that_is_too_large_by_itself_is_shown_in_part(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    giant = [wide(100 + i, MIB) for i in range(40)]
    small = ordinary()
    log = written(tmp_path, [*small[:5], giant, *small[5:10]])
    watch = Watch(duck, log)
    duck.sink.apply(delivery_from(log, 0, watch))
    before_giant = transactions_below(log, 1 << 60)[4].next
    assert watch.half_done == {before_giant}
    watch.look()


def test_a_commit_whose_size_is_not_foreseen_gets_a_transaction_of_its_own(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    many = table("public.many", {"id": pa.int32()}, relation=3, version=1)
    mixed: list[Step] = [
        *((many, "c", {"id": i}) for i in range(4_000)),
        *(wide(100 + i, MIB) for i in range(12)),
    ]
    log = written(tmp_path, [*ordinary()[:9], mixed, *ordinary()[9:12]], part_rows=4_000)
    watch = Watch(duck, log)
    duck.sink.apply(delivery_from(log, 0, watch))
    assert transactions_below(log, 1 << 60)[8].next in watch.seen
    assert watch.half_done == set()
    watch.look()


def test_very_many_tables_are_committed_in_whole_transactions(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    tables = [table(f"public.t{i}", {"id": pa.int32()}, relation=i + 10, version=1) for i in range(250)]
    log = written(tmp_path, [[(one, "c", {"id": 1})] for one in tables])
    watch = Watch(duck, log)
    duck.sink.apply(delivery_from(log, 0, watch))
    assert len(watch.seen) >= 3
    assert watch.half_done == set()
    watch.look()


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_after_an_error_the_next_delivery_begins_at_the_last_step(tmp_path: Path, mode: str) -> None:
    log = written(tmp_path, ordinary())
    offset = 0
    for epoch in (1, 2):
        duck = Duck(tmp_path, epoch=epoch, mode=mode)
        watch = Watch(duck, log, break_off_at=3 if epoch == 1 else None)
        if epoch == 1:
            with pytest.raises(Interrupted):
                duck.sink.apply(delivery_from(log, 0, watch))
            cursor = duck.sink.committed("shop")
            assert cursor is not None
            offset = cursor.next
            assert 0 < offset < (log.end.next if log.end else 0)
        else:
            duck.sink.apply(delivery_from(log, offset, watch))
        watch.look()
        duck.sink.close()


def test_a_table_that_is_refused_behind_a_step_is_set_aside_from_there(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    odd = table("public.odd", {"id": pa.int32(), "n": pa.month_day_nano_interval()}, relation=9, version=1)
    whole = ordinary()
    whole[50] = [(odd, "c", {"id": 1})]
    log = written(tmp_path, whole)
    watch = Watch(duck, log)
    duck.sink.apply(delivery_from(log, 0, watch))
    (said,) = duck.sink.set_aside("shop")
    assert said.table == odd.table
    assert said.since in watch.seen
    assert said.since > 0
    watch.look()


def test_a_changelog_keeps_during_a_replay_what_has_not_come_again(tmp_path: Path) -> None:
    duck = Duck(tmp_path, mode="append")
    log = written(tmp_path, ordinary())
    duck.sink.apply(delivery_from(log, 0))
    duck.sink.rewind("shop", 0)
    held: list[int] = []

    def looked() -> None:
        reader = handle_of(duck.sink).cursor()
        held.append(reader.execute("select count(distinct _cdc_seq) from public.wide").fetchall()[0][0])
        if len(held) == 100:
            raise Interrupted

    with pytest.raises(Interrupted):
        duck.sink.apply(delivery_from(log, 0, looked))
    cursor = duck.sink.committed("shop")
    assert cursor is not None
    assert 0 < cursor.next < cursor.high
    assert set(held) == {120}
    duck.sink.apply(delivery_from(log, cursor.next))
    assert duck.query("select count(*), count(distinct _cdc_seq) from public.wide") == [(120, 120)]


_CHILD = """
import os, signal, sys
from pathlib import Path
from cdc.log import SegmentedLog
from tests.support.ducks import Duck
from tests.support.prefixes import delivery_from
folder, epoch, kill_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
log = SegmentedLog(folder / "log")
duck = Duck(folder, epoch=epoch)
cursor = duck.sink.committed("shop")
seen = 0
def looked():
    global seen
    seen += 1
    if seen == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
duck.sink.apply(delivery_from(log, cursor.next if cursor else 0, looked))
"""


def test_after_a_kill_the_file_shows_whole_transactions(tmp_path: Path) -> None:
    written(tmp_path, ordinary()).close()
    offsets = []
    # Some batches into the first, second and third transaction of the sink, then to the end.
    for epoch, kill_at in enumerate((10, 50, 50, 0), start=1):
        command = [sys.executable, "-c", _CHILD, str(tmp_path), str(epoch), str(kill_at)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=child_environment())
        assert done.returncode == (-9 if kill_at else 0), done.stderr
        log = SegmentedLog(tmp_path / "log")
        duck = Duck(tmp_path, epoch=epoch)
        watch = Watch(duck, log)
        watch.look()
        offsets += watch.seen
        duck.sink.close()
        log.close()
    assert offsets[0] == 0
    assert offsets == sorted(set(offsets))


_KILLED_BEHIND_A_STEP = """
import os, signal, sys
from pathlib import Path
from cdc.log import SegmentedLog
from tests.support.ducks import Duck
from tests.support.prefixes import delivery_from
log = SegmentedLog(Path(sys.argv[1]) / "log")
duck = Duck(Path(sys.argv[1]), epoch=int(sys.argv[2]), mode=sys.argv[3])
commit = duck.sink.committing
def committing(connection):
    commit(connection)
    if connection.query("select 1 from _cdc.steps") and sys.argv[4] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
duck.sink.committing = committing
duck.sink.apply(delivery_from(log, 0))
"""


@pytest.mark.halved
@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_a_kill_within_one_large_transaction_is_told_by_steps_and_repeats_no_change(
    tmp_path: Path, mode: str
) -> None:
    written(tmp_path, [[wide(i, MIB // 2) for i in range(120)]]).close()
    counts = []
    for epoch, end in enumerate(("kill", "kill", "whole"), start=1):
        command = [sys.executable, "-c", _KILLED_BEHIND_A_STEP, str(tmp_path), str(epoch), mode, end]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=child_environment())
        assert done.returncode == (-9 if end == "kill" else 0), done.stderr
        duck = Duck(tmp_path, epoch=epoch, mode=mode)
        (found,) = duck.query("select count(*), count(distinct id) from public.wide")
        assert found[0] == found[1]
        assert len(duck.query("select * from _cdc.steps")) == (end == "kill")
        counts.append(found[0])
        duck.sink.close()
    assert counts == sorted(set(counts))
    assert counts[-1] == 120
