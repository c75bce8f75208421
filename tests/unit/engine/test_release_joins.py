"""Held batches that are released together are joined without changing a row."""

from __future__ import annotations

import pyarrow as pa

from cdc.engine.release import _joined
from cdc.testing import events

SCHEMA = events.table("app.t", {"id": pa.int64(), "note": pa.string()})


def test_joined_batches_keep_rows_and_unchanged_columns_of_each() -> None:
    first = events.changes(SCHEMA, [("u", {"id": 1, "note": None}, None, ["note"])], tx="1", at=1)
    second = events.changes(
        SCHEMA,
        [("u", {"id": 2, "note": "b"}, None, None), ("u", {"id": 3, "note": None}, None, ["note"])],
        start=1,
        tx="2",
        at=2,
    )
    [joined] = _joined([first, second, first.shifted(3)])
    assert list(joined.rows()) == [*first.rows(), *second.rows(), *first.shifted(3).rows()]


def test_batches_of_other_shape_are_not_joined() -> None:
    plain = events.changes(SCHEMA, [("c", {"id": 1, "note": "a"})])
    with_unchanged = events.changes(SCHEMA, [("u", {"id": 1, "note": None}, None, ["note"])], start=1)
    assert len(_joined([plain, with_unchanged])) == 2
