"""Reducing any history, cut anywhere, and storing the result equals applying its changes one by one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.merge import Reduced, Rows, multiset_delta, reduce_batches, row_versions, segments
from cdc.model import ChangeBatch
from cdc.testing.events import changes, table
from tests.support.histories import COLUMNS, History, Key, Row

KEYED = table("public.t", COLUMNS, key=("k1", "k2"))
FULL = table("public.t", COLUMNS, key=("k1", "k2"), identity="full")
KEYLESS = table("public.t", COLUMNS, key=(), identity="full")


def _history(seed: int, steps: int, images: str) -> tuple[ChangeBatch, History]:
    """A history with old images of the key, of the whole row, or (though the schema says full) of a part."""
    history = History(seed, full=images == "full", partial=images == "partial")
    return changes(KEYED if images == "key" else FULL, history.run(steps)), history


def cut(batch: ChangeBatch, sizes: random.Random, most: int) -> list[list[ChangeBatch]]:
    """Slices of random length, gathered into groups of random length."""
    groups: list[list[ChangeBatch]] = [[]]
    start = 0
    while start < batch.row_count:
        size = sizes.randint(1, most)
        groups[-1].append(ChangeBatch(batch.schema, batch.data.slice(start, size)))
        start += size
        if sizes.random() < 0.4:
            groups.append([])
    return [group for group in groups if group]


def key_of(row: Row) -> Key:
    return row["k1"], row["k2"]


def with_stored(rows: Rows, stored: dict[Key, Row]) -> list[Row]:
    """The rows, their holes filled from what is stored."""
    made = [{n: row[n] for n in COLUMNS if n in row} for row in rows.table.to_pylist()]
    if rows.holes is not None:
        bases = rows.holes.base.to_pylist()
        for i, (position, base) in enumerate(zip(rows.holes.rows.tolist(), bases, strict=True)):
            for name in (n for n, mask in rows.holes.missing.items() if mask[i]):
                assert made[position][name] is None
                made[position][name] = stored.get(key_of(base), {}).get(name)
    return made


def store(reduced: Reduced, stored: dict[Key, Row]) -> None:
    if reduced.truncated:
        stored.clear()
    upserts = with_stored(reduced.upserts, stored)
    for row in [*upserts, *reduced.deletes.table.to_pylist()]:
        stored.pop(key_of(row), None)
    for row in upserts:
        assert key_of(row) not in stored
        stored[key_of(row)] = row


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from(["key", "full", "partial"]))
def test_reduced_history_equals_sequential_application(seed: int, steps: int, images: str) -> None:
    batch, history = _history(seed, steps, images)
    stored: dict[Key, Row] = {}
    for group in cut(batch, random.Random(seed), 25):
        store(reduce_batches(group), stored)
    assert stored == history.rows


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from(["key", "full", "partial"]))
def test_kept_deletes_hold_the_last_known_row(seed: int, steps: int, images: str) -> None:
    batch, history = _history(seed, steps, images)
    last: dict[Key, Row] = {}
    model: dict[Key, Row] = {}
    for op, row, before, unchanged in history.made:
        _apply_remembering(model, last, op, row, before, unchanged)
    kept: dict[Key, Row] = {}
    for group in cut(batch, random.Random(seed), 25):
        for segment in segments(group):
            if not segment.batches:
                continue
            reduced = reduce_batches(segment.batches, keep_deleted=True)
            made = with_stored(reduced.upserts, kept) + with_stored(reduced.deletes, kept)
            kept.update({key_of(row): row for row in made})
    assert kept == last


def _apply_remembering(
    model: dict[Key, Row],
    last: dict[Key, Row],
    op: str,
    row: Row,
    before: Row | None,
    unchanged: Sequence[str] | None,
) -> None:
    if op == "t":
        model.clear()
    elif op == "d":
        model.pop(key_of(row))
    else:
        old = model.pop(key_of(before or row), {})
        full = {n: old.get(n) if n in (unchanged or ()) else row.get(n) for n in COLUMNS}
        model[key_of(row)] = last[key_of(row)] = full


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from(["key", "full", "partial"]))
def test_versions_tell_the_state_after_every_change(seed: int, steps: int, images: str) -> None:
    batch, history = _history(seed, steps, images)
    kept: list[Row] = []
    for group in cut(batch, random.Random(seed), 25):
        for segment in segments(group):
            _store_versions(kept, segment)
    model: dict[Key, Row] = {}
    for seq, (op, row, before, unchanged) in enumerate(history.made):
        _apply_remembering(model, {}, op, row, before, unchanged)
        alive = [v for v in kept if v["from"] <= seq and (v["to"] is None or v["to"] > seq)]
        assert {key_of(v): {n: v[n] for n in COLUMNS} for v in alive} == model
        assert len(alive) == len(model)


def _store_versions(kept: list[Row], segment: Any) -> None:
    if segment.truncated_at is not None:
        for version in kept:
            version["to"] = segment.truncated_at if version["to"] is None else version["to"]
    if not segment.batches:
        return
    made = row_versions(segment.batches)
    stored = {key_of(v): v for v in kept if v["to"] is None}
    opened = with_stored(made.opened, stored)
    for row in made.closing.table.to_pylist():
        if key_of(row) in stored:
            stored[key_of(row)]["to"] = row["_cdc_seq"]
    seqs = made.opened.table["_cdc_seq"].to_pylist()
    for row, seq, end in zip(opened, seqs, made.ended_seq.to_pylist(), strict=True):
        kept.append({**row, "from": seq, "to": end})


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_multiset_deltas_add_up_to_the_rows(seed: int, steps: int) -> None:
    history = History(seed, full=True)
    batch = changes(KEYLESS, history.run(steps))
    counts: Counter[str] = Counter()
    for group in cut(batch, random.Random(seed), 25):
        for segment in segments(group):
            if segment.truncated_at is not None:
                counts.clear()
            if segment.batches:
                delta = multiset_delta(segment.batches)
                counts.update(_image(row) for row in delta.added.to_pylist())
                counts.subtract(_image(row) for row in delta.removed.to_pylist())
    assert +counts == Counter(_image(row) for row in history.rows.values())


def _image(row: Row) -> str:
    return repr([row[name] for name in COLUMNS])
