"""Random histories into real DuckDB files: cut anywhere, rewound and replayed, they end as the source is."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.model import ChangeBatch, TableSchema
from cdc.testing.events import changes, delivery, sink_context, table
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.options import Options
from tests.support.ducks import handle_of
from tests.support.histories import COLUMNS, Change, History

KEYED = table("public.t", COLUMNS, key=("k1", "k2"), relation=7)
FULL = table("public.f", COLUMNS, key=("k1", "k2"), identity="full", relation=8)
KEYLESS = table("public.m", COLUMNS, key=(), identity="full", relation=9)
SCHEMAS = {"keyed": KEYED, "full": FULL, "keyless": KEYLESS}

# What a mode's tables are compared by: everything in them.
Contents = list[tuple[Any, ...]]


class Run:
    """One sink in a folder of its own, and the deliveries of one history."""

    def __init__(
        self, folder: str, seed: int, schema: TableSchema, made: list[Change], **options: Any
    ) -> None:
        self.path = Path(folder) / f"{random.Random().getrandbits(64):x}.duckdb"
        self.random = random.Random(seed)
        self.batch = changes(schema, made)
        self.sink = DuckDBSink(Options(path=self.path, **options), sink_context())
        self.sink.prepare("shop")

    def deliver(self, first: int, end: int) -> None:
        """Deliver [first, end) in pieces of random length, each in parts of random length."""
        while first < end:
            size = self.random.randint(1, 20)
            self.apply(first, min(first + size, end))
            first = min(first + size, end)

    def apply(self, first: int, end: int) -> None:
        parts = [self._slice(i, min(i + 7, end)) for i in range(first, end, 7)]
        self.sink.apply(delivery([], first=first, next=end, parts=lambda: iter([[p] for p in parts])))

    def _slice(self, first: int, end: int) -> ChangeBatch:
        return ChangeBatch(self.batch.schema, self.batch.data.slice(first, end - first))

    def contents(self) -> Contents:
        """All rows with all columns, sorted."""
        rows = (
            handle_of(self.sink).sql(f"select * from {self.batch.schema.table}").to_arrow_table().to_pylist()
        )
        return sorted((tuple(row.values()) for row in rows), key=repr)


def images(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr([row[name] for name in COLUMNS]) for row in rows)


MODES = [
    {"mode": "mirror"},
    {"mode": "mirror", "deletes": "soft"},
    {"mode": "append"},
    {"mode": "history"},
]


@pytest.mark.halved
@pytest.mark.parametrize("mode", MODES, ids=["mirror", "soft", "append", "history"])
@pytest.mark.parametrize("kind", SCHEMAS)
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32))
def test_duckdb_rewound_and_replayed_equals_never_rewound(kind: str, mode: dict[str, Any], seed: int) -> None:
    made = History(seed, full=kind != "keyed").run(40)
    with tempfile.TemporaryDirectory() as folder:
        one = Run(folder, seed, SCHEMAS[kind], made, **mode)
        one.deliver(0, len(made))
        expected = one.contents()
        other = Run(folder, seed + 1, SCHEMAS[kind], made, **mode)
        reached = 0
        for _ in range(3):
            end = other.random.randint(reached, len(made))
            other.deliver(reached, end)
            reached = other.random.randint(0, end) if end else 0
            if end:
                other.sink.rewind("shop", reached)
        other.deliver(reached, len(made))
        assert other.contents() == expected
        for run in (one, other):
            run.sink.close()


@pytest.mark.parametrize("kind", SCHEMAS)
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32))
def test_duckdb_mirror_equals_the_source(kind: str, seed: int) -> None:
    history = History(seed, full=kind != "keyed")
    made = history.run(50)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, seed, SCHEMAS[kind], made)
        run.deliver(0, len(made))
        stored = [dict(zip([*COLUMNS, "s", "at"], row, strict=True)) for row in run.contents()]
        assert images(stored) == images(list(history.rows.values()))
        run.sink.close()


@pytest.mark.parametrize("kind", SCHEMAS)
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32))
def test_duckdb_history_tells_the_rows_after_every_change(kind: str, seed: int) -> None:
    history = History(seed, full=kind != "keyed")
    made = history.run(30)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, seed, SCHEMAS[kind], made, mode="history")
        run.deliver(0, len(made))
        names = [*COLUMNS, "valid_from", "valid_to", "seq", "end"]
        kept = [dict(zip(names, row, strict=True)) for row in run.contents()]
        for seq in range(len(made)):
            alive = [v for v in kept if v["seq"] <= seq and (v["end"] is None or v["end"] > seq)]
            assert images(alive) == images(history.after[seq])
        run.sink.close()


def _plain(op: str, row: dict[str, Any]) -> Change:
    return op, row, None, None


def test_duckdb_applies_an_empty_keyless_table_without_columns() -> None:
    nothing = table("public.nothing", {}, key=(), identity="full")
    with tempfile.TemporaryDirectory() as folder:
        for mode in MODES:
            run = Run(folder, 1, nothing, [_plain(op, {}) for op in "ccdtc"], **mode)
            run.apply(0, 5)
            assert len(run.contents()) == {"mirror": 1, "append": 5, "history": 3}[mode["mode"]] + 2 * (
                "deletes" in mode
            )
            run.sink.close()


def test_duckdb_takes_the_oldest_equal_row_wherever_deliveries_are_cut() -> None:
    plain = table("public.m", {"v": pa.int32()}, key=(), identity="full")
    made = [_plain(op, {"v": 1}) for op in "ccdcd"]
    with tempfile.TemporaryDirectory() as folder:
        for cut in range(1, 5):
            run = Run(folder, 1, plain, made)
            run.apply(0, cut)
            run.apply(cut, 5)
            assert [row[:2] for row in run.contents()] == [(1, 3)]
            run.sink.close()


def test_duckdb_keeps_insert_only_tables_of_identity_none() -> None:
    plain = table("public.log", {"v": pa.int32()}, key=(), identity="none")
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, 1, plain, [_plain("c", {"v": 1})] * 2)
        run.apply(0, 2)
        run.sink.rewind("shop", 0)
        run.apply(0, 2)
        assert [row[0] for row in run.contents()] == [1, 1]
        run.sink.close()
