"""What a table of the workload is, whatever the database."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.workload.values import ColumnSpec

SCHEMA = "app"
# Small enough that writers meet on the same rows, large enough that most updates find one.
KEY_SPACE = 400
# Rows before the daemon starts in the table that is large enough for a snapshot of several chunks.
BULK_ROWS = 60_000


def _always_one(_old: tuple[str, ...], _new: tuple[str, ...]) -> int:
    return 1


@dataclass(frozen=True)
class TableSpec:
    """One table. `key` holds the columns that identify a row; empty for a multiset of rows."""

    name: str
    key: tuple[ColumnSpec, ...]
    columns: tuple[ColumnSpec, ...]
    tail: str = ""
    after: tuple[str, ...] = ()
    truncates: bool = False
    # How many events an update of the key is decoded into: an update that moves a row between partitions is
    # two.
    moves: Callable[[tuple[str, ...], tuple[str, ...]], int] = field(default=_always_one)

    @property
    def sql_name(self) -> str:
        return f'{SCHEMA}."{self.name}"'

    @property
    def all_columns(self) -> tuple[ColumnSpec, ...]:
        return (*self.key, *self.columns)

    def new_key(self, rng: random.Random) -> tuple[str, ...]:
        return tuple(column.make(rng) for column in self.key)

    def create_statements(self, primary_key: bool = True) -> list[str]:
        parts = [f"{c.declaration}{'' if c.nullable else ' not null'}" for c in self.all_columns]
        if self.key and primary_key:
            parts.append(f"primary key ({', '.join(c.sql_name for c in self.key)})")
        return [f"create table {self.sql_name} ({', '.join(parts)}) {self.tail}", *self.after]
