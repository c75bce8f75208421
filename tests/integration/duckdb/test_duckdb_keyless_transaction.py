"""Rows without a key that come and go within one delivery: by rowid, DuckDB 2.0.0 damaged its memory."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.testing.events import Change, changes, table
from tests.support.ducks import Duck

SCHEMA = table(
    "app.t", {"n": pa.int32(), "note": pa.string(), "big": pa.string()}, key=(), identity="full", relation=1
)
DELIVERIES = 40
Row = tuple[int | None, str | None, str | None]


def make_row(rng: random.Random) -> Row:
    """Many rows are equal, so that a removal often takes one of this delivery; long ones fill segments."""
    big = None if rng.randrange(9) == 0 else rng.randbytes(1500).hex()
    return rng.choice([None, rng.randrange(50)]), rng.choice([None, "a", "b"]), big


def named(row: Row) -> dict[str, object]:
    return dict(zip(("n", "note", "big"), row, strict=True))


@pytest.mark.halved
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_keyless_rows_removed_beside_rows_added_in_one_delivery_leave_the_rest(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    duck = Duck(tmp_path)
    live: list[Row] = []
    for _ in range(DELIVERIES):
        steps: list[Change] = []
        for _ in range(rng.randint(20, 400)):
            live.append(make_row(rng))
            steps.append(("c", named(live[-1])))
        gone = [live.pop(rng.randrange(len(live))) for _ in range(min(len(live), rng.randint(10, 300)))]
        steps.extend(("d", named(row)) for row in gone)
        duck.apply(changes(SCHEMA, steps, start=duck.next))
    assert Counter(duck.query("select n, note, big from app.t")) == Counter(live)
    assert duck.counted.get("rows_not_found", 0) == 0
