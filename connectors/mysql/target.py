"""Where the rows of a table go: what a decoder is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connectors.mysql.type_plan import ColumnPlan


@dataclass(frozen=True, slots=True)
class Target:
    """One plan per column of its table map, in that order; `key` are indices of columns.

    `handle` is the caller's own number: batches come out of `take` under it. `row_end` is the column that
    ends a row of a MariaDB system-versioned table: rows of history are dropped, and an update that ends a row
    is a delete.
    """

    handle: int
    table: str
    plans: tuple[ColumnPlan, ...]
    key: tuple[int, ...] = ()
    row_end: int | None = None
