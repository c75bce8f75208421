"""Compares how a table's rows were captured with how they are captured now, by their records."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any


def difference(before: str, now: str) -> list[str]:
    """Return the difference for people: `mask of email`, `where`; empty if rows are captured alike."""
    old, new = _parse(before), _parse(now)
    columns = {
        name for name in {*old["columns"], *new["columns"]} if _column(old, name) != _column(new, name)
    }
    others = [key for key in ("where", "include", "exclude", "python") if old.get(key) != new.get(key)]
    return [*(f"mask of {name}" for name in sorted(columns)), *others]


def key_differs(before: str, now: str, key: Collection[str]) -> bool:
    """Return whether a column of the key is captured differently: then rows are found by other values than
    before.

    `key` has the names that the columns have in the log, or will have.
    """
    old, new = _parse(before), _parse(now)
    changed = [
        name for name in {*old["columns"], *new["columns"]} if _column(old, name) != _column(new, name)
    ]
    wanted = {name.lower() for name in key}
    return any(
        {name, _column(old, name)[1].lower(), _column(new, name)[1].lower()} & wanted for name in changed
    )


def _parse(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text) if text else {"columns": {}}
    return found


def _column(record: dict[str, Any], name: str) -> list[str]:
    found: list[str] = record["columns"].get(name, ["", ""])
    return found
