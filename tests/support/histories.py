"""Random changes of one table, as a source could send them, for properties of what becomes of them."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa

COLUMNS = {
    "k1": pa.int64(),
    "k2": pa.string(),
    "v": pa.int32(),
    "big": pa.string(),
    "tags": pa.list_(pa.int32()),
}

Key = tuple[Any, Any]
Row = dict[str, Any]
Change = tuple[str, Row, Row | None, list[str] | None]


class History:
    """Random changes that a source could have sent, and the rows that they leave.

    `full`: old and new images are whole. `partial`: an old image holds the key and any other columns, and
    the new one may lack what the old one lacks (MySQL's row images MINIMAL and NOBLOB).
    """

    def __init__(self, seed: int, *, full: bool = False, partial: bool = False) -> None:
        self.random = random.Random(seed)
        self.full = full
        self.partial = partial
        self.rows: dict[Key, Row] = {}
        self.made: list[Change] = []
        self.after: list[list[Row]] = []
        self.stranger = 100

    def run(self, steps: int) -> list[Change]:
        actions = (
            [self._insert] * 4 + [self._update] * 5 + [self._move] * 4 + [self._delete] * 2 + [self._upsert]
        )
        for _ in range(steps):
            self._truncate() if self.random.random() < 0.03 else self.random.choice(actions)()
            if len(self.made) > len(self.after):
                self.after.append(list(self.rows.values()))
        return self.made

    def _free(self) -> Key:
        free = [k for k in ((i, p) for i in range(4) for p in (None, "x")) if k not in self.rows]
        self.stranger += 1
        return self.random.choice(free) if free else (self.stranger, None)

    def _row(self, key: Key) -> Row:
        values = (
            self.random.randrange(3),
            self.random.choice(["s", "L" * 9, None]),
            self.random.choice([None, [], [1]]),
        )
        return dict(zip(COLUMNS, (*key, *values), strict=True))

    def _insert(self) -> None:
        key = self._free()
        self.rows[key] = self._row(key)
        self.made.append((self.random.choice("cr"), self.rows[key], None, None))

    def _upsert(self) -> None:
        """An update of a row that isn't stored anywhere (its insert was before our time)."""
        self.stranger += 1
        self._send_update((self.stranger, None), (self.stranger, None), dict.fromkeys(COLUMNS))

    def _update(self) -> None:
        if self.rows:
            key = self.random.choice(list(self.rows))
            self._send_update(key, key, self.rows[key])

    def _move(self) -> None:
        if self.rows:
            old = self.random.choice(list(self.rows))
            self._send_update(old, self._free(), self.rows[old])

    def _send_update(self, old: Key, new: Key, stored: Row) -> None:
        row = self._row(new)
        names = [] if self.full else [n for n in ("big", "tags") if self.random.random() < 0.6]
        if self.partial:
            # The decoder takes over from the old image what the new one lacks.
            held = {n for n in ("v", "big", "tags") if self.random.random() < 0.3}
            names = [n for n in ("v", "big", "tags") if n not in held and self.random.random() < 0.6]
        sent = {n: None if n in names else v for n, v in row.items()}
        key = {"k1": old[0], "k2": old[1]}
        before = {**stored, **key} if self.full else key if old != new else None
        if self.partial and before is not None:
            before |= {n: stored[n] for n in held}
        self.made.append(("u", sent, before, names or None))
        self.rows.pop(old, None)
        self.rows[new] = {**row, **{n: stored[n] for n in names}}

    def _delete(self) -> None:
        if self.rows:
            key = self.random.choice(list(self.rows))
            image = self.rows.pop(key)
            if self.full:
                self.made.append(("d", image, None, None))
            else:
                self.made.append(("d", {"k1": key[0], "k2": key[1]}, None, ["v", "big", "tags"]))

    def _truncate(self) -> None:
        self.rows.clear()
        self.made.append(("t", {}, None, None))
