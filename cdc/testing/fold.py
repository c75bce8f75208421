"""The oracle of current state: a table's history of changes folded row by row, as plainly as the event model
defines it.

Slow on purpose; what a sink holds, or what SQL over the lake gives, must equal this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cdc.model import Envelope, Operation

Row = dict[str, Any]


def fold(rows: Iterable[Mapping[str, Any]], key: Sequence[str]) -> list[Row]:
    """The rows that are left after all changes, envelope removed, in no particular order.

    With a key the last image per key counts, unchanged columns carried forward. Without one the table is a
    multiset: an update or delete takes away one row equal to its old image.
    """
    ordered = sorted(rows, key=lambda row: row[Envelope.SEQ])
    if key:
        return _fold_keyed(ordered, tuple(key))
    return _fold_multiset(ordered)


def plain(row: Mapping[str, Any]) -> Row:
    """The table's own columns of a change."""
    return {name: value for name, value in row.items() if not name.startswith("_cdc_")}


def _fold_keyed(rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]) -> list[Row]:
    state: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        op, image, before = Operation(row[Envelope.OP]), plain(row), row.get(Envelope.BEFORE)
        identity = tuple(image.get(name) for name in key)
        if op is Operation.TRUNCATE:
            state.clear()
        elif op is Operation.DELETE:
            state.pop(identity, None)
        else:
            old_identity = identity if before is None else tuple(before.get(name) for name in key)
            old = state.pop(old_identity, {}) if op is Operation.UPDATE else {}
            for name in row.get(Envelope.UNCHANGED) or ():
                image[name] = old.get(name)
            state[identity] = image
    return list(state.values())


def _fold_multiset(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    state: list[Row] = []
    for row in rows:
        op, image, before = Operation(row[Envelope.OP]), plain(row), row.get(Envelope.BEFORE)
        if op is Operation.TRUNCATE:
            state.clear()
            continue
        if op is Operation.DELETE:
            state.remove(image)
            continue
        if op is Operation.UPDATE and before is not None:
            state.remove(dict(before))
        state.append(image)
    return state
