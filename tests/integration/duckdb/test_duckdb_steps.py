"""Deliveries with wide values, many columns or many tables stay in the memory budget, applied once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdc.model import ChangeBatch
from cdc.testing.events import Change, changes, delivery, table
from tests.support.ducks import Duck
from tests.support.processes import child_environment

WIDE = table("public.wide", {"id": pa.int32(), "v": pa.int32(), "big": pa.string()}, relation=1)
ROWS = 300
# 300 of these are more than two steps.
SIZE = 150_000


class Interrupted(Exception):
    """A log that can't be read on."""


def value(i: int, salt: str) -> str:
    return f"{salt}{i}" + "x" * SIZE


def batches(first: int, rows: Sequence[Change]) -> list[ChangeBatch]:
    """One batch a change, as a source sends wide rows."""
    return [changes(WIDE, [row], start=first + i) for i, row in enumerate(rows)]


def inserts() -> list[Change]:
    return [("c", {"id": i, "v": i, "big": value(i, "a")}) for i in range(ROWS)]


def narrow_updates() -> list[Change]:
    return [("u", {"id": i, "v": -i, "big": None}, None, ["big"]) for i in range(ROWS)]


def moves() -> list[Change]:
    return [("u", {"id": i + 1000, "v": i, "big": None}, {"id": i}, ["big"]) for i in range(ROWS)]


def steps(duck: Duck) -> int:
    return len(duck.query("select * from _cdc.steps"))


@pytest.mark.halved(other=True)
@pytest.mark.parametrize(
    "options", [{"mode": "mirror"}, {"deletes": "soft"}, {"mode": "history"}, {"mode": "append"}]
)
def test_wide_values_go_through_in_every_mode(tmp_path: Path, options: dict[str, Any]) -> None:
    duck = Duck(tmp_path, **options)
    for made in (inserts(), narrow_updates(), moves()):
        duck.apply(*batches(duck.next, made))
        assert steps(duck) == 0
    where = {
        "soft": "not _cdc_deleted",
        "history": "valid_to is null",
        "append": "_cdc_op = 'u' and id >= 1000",
    }
    alive = where.get(str(options.get("deletes", options.get("mode"))), "true")
    big = "big" if options.get("mode") != "append" else "'a' || (id - 1000)"
    assert duck.query(
        f"select count(*), sum(id), sum(v), count(*) filter ({big} like 'a' || (id - 1000) || '%') "
        f"from public.wide where {alive}"
    ) == [(ROWS, sum(range(1000, 1000 + ROWS)), sum(range(ROWS)), ROWS)]


@pytest.mark.halved
@pytest.mark.parametrize("options", [{"mode": "mirror"}, {"deletes": "soft"}, {"mode": "history"}])
def test_wide_values_that_one_batch_leaves_unchanged_are_taken_over_in_pieces(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    duck = Duck(tmp_path, **options)
    duck.apply(*batches(0, inserts()))
    # Small keys first, and values of different sizes: an average says nothing of them.
    small = [("c", {"id": 5000 + i, "v": i, "big": "s"}) for i in range(100)]
    duck.apply(changes(WIDE, small, start=duck.next))
    rows = [("u", {"id": 5000 + i, "v": -i, "big": None}, None, ["big"]) for i in range(100)]
    duck.apply(changes(WIDE, [*rows, *narrow_updates()], start=duck.next))
    alive = {"history": "valid_to is null", "soft": "not _cdc_deleted"}
    where = alive.get(str(options.get("mode", options.get("deletes"))), "true")
    found = duck.query(f"select count(*), sum(v), sum(length(big)) from public.wide where {where}")
    length = sum(len(value(i, "a")) for i in range(ROWS)) + 100
    assert found == [(ROWS + 100, -sum(range(ROWS)) - sum(range(100)), length)]
    assert steps(duck) == 0


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_a_delivery_that_breaks_off_after_a_step_goes_on_behind_it(tmp_path: Path, mode: str) -> None:
    duck = Duck(tmp_path, mode=mode)
    made = [*inserts(), *narrow_updates()[:50]]
    whole = batches(0, made)

    def breaking_off() -> Iterator[Sequence[ChangeBatch]]:
        yield whole[:250]
        raise Interrupted

    with pytest.raises(Interrupted):
        duck.sink.apply(delivery([], first=0, next=len(whole), parts=breaking_off))
    assert steps(duck) == 1
    assert duck.sink.committed("shop") is None
    duck.sink.close()
    again = Duck(tmp_path, epoch=2, mode=mode)
    assert again.sink.committed("shop") is None
    # The next process is given the same range, in other parts.
    again.sink.apply(delivery([], first=0, next=len(whole), parts=lambda: iter([whole[:7], whole[7:]])))
    assert steps(again) == 0
    found = again.query("select count(*), count(distinct _cdc_seq), sum(length(big)) from public.wide")
    length = sum(len(value(i, "a")) for i in range(ROWS))
    assert found == [(ROWS if mode == "mirror" else ROWS + 50,) * 2 + (length,)]


def test_a_table_that_is_refused_after_a_step_is_set_aside(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    odd = table("public.odd", {"id": pa.int32(), "n": pa.month_day_nano_interval()}, relation=2)
    whole = [*batches(0, inserts()), changes(odd, [("c", {"id": 1})], start=ROWS)]
    duck.apply(*whole)
    assert [str(said.table) for said in duck.sink.set_aside("shop")] == ["public.odd"]
    assert duck.query("select count(*) from public.wide") == [(ROWS,)]


_CHILD = """
import os, sys
from pathlib import Path
import pyarrow as pa
from cdc.testing.events import changes, delivery, table
from tests.support.ducks import Duck

kind, mode = sys.argv[2:]
as_one_batch = kind == "unchanged"
tables, rows, columns, size = {
    "wide": (1, 900, 1, 83_000), "huge": (1, 4, 1, 50_000_000), "columns": (1, 5, 1_600, 10),
    "unchanged": (1, 12, 1, 20_000_000), "tables": (300, 1, 3, 10), "very-many-tables": (5_000, 2, 3, 10),
}[kind]
schemas = [
    table(f"public.t{i}", {"id": pa.int64()} | {f"c{j}": pa.string() for j in range(columns)}, relation=i + 1)
    for i in range(tables)
]

def high():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024

def parts(operation, first):
    part, gathered = [], 0
    if as_one_batch and operation == "u":
        found = [("u", {"id": row, "c0": None}, None, ["c0"]) for row in range(rows)]
        yield [changes(schemas[0], found, start=first)]
        return
    for i, schema in enumerate(schemas):
        for row in range(rows):
            big = ("%08d" % row + operation * 8) * (size // 16 + 1)
            values = {"id": row} | {f"c{j}": big for j in range(columns)}
            part.append(changes(schema, [(operation, values)], start=first + i * rows + row))
            gathered += part[-1].byte_count
            del big, values
            if gathered > 4 * 2**20 or len(part) >= 4096:
                yield part
                part, gathered = [], 0
    yield part

duck = Duck(Path(sys.argv[1]), mode=mode)
before = high()
total = tables * rows
for n, operation in enumerate("cu"):
    first = n * total
    made = delivery([], first=first, next=first + total, parts=lambda: parts(operation, first))
    duck.sink.apply(made)
of_append = "where _cdc_op = 'c'" if as_one_batch else "where _cdc_op = 'u'"
live = {"history": "where _cdc_end_seq is null", "append": of_append}.get(mode, "")
query = "select count(*), sum(length(c0)) from public.t%d " + live
counts = [duck.query(query % i)[0] for i in (0, tables - 1)]
print(counts == [(rows, rows * 16 * (size // 16 + 1))] * 2, high() - before)
"""
# The daemon without its sinks has some 130 MiB, and may have 400.
GROWTH_MIB = 270


def growth(folder: Path, kind: str, mode: str) -> int:
    """How much memory two deliveries take, in MiB."""
    command = [sys.executable, "-c", _CHILD, str(folder), kind, mode]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=child_environment())
    right, _, grown = done.stdout.strip().rpartition(" ")
    assert right == "True"
    return int(grown)


@pytest.mark.parametrize("kind", ["wide", "columns", "tables", "unchanged"])
def test_large_deliveries_stay_in_the_memory_budget(tmp_path: Path, kind: str) -> None:
    assert growth(tmp_path, kind, "mirror") < GROWTH_MIB


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
@pytest.mark.parametrize("kind", ["wide", "huge", "columns", "tables", "unchanged"])
def test_large_deliveries_stay_in_the_memory_budget_in_every_mode(
    tmp_path: Path, kind: str, mode: str
) -> None:
    assert growth(tmp_path, kind, mode) < GROWTH_MIB


@pytest.mark.slow
def test_five_thousand_tables_stay_in_the_memory_budget(tmp_path: Path) -> None:
    assert growth(tmp_path, "very-many-tables", "mirror") < GROWTH_MIB
