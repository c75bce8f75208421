"""How the rows of one table are read from row events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdc_source_mysql.schema.type_plan import ColumnPlan

# The values of a system-versioned table's row end that say "still there", as they lie in the binlog:
# TIMESTAMP(6) 2038-01-19 03:14:07.999999, from MariaDB 11.5 on 2106-02-07 06:28:15.999999, and the largest
# transaction number.
LIVE_ROW_ENDS = frozenset({b"\x7f\xff\xff\xff\x0f\x42\x3f", b"\xff\xff\xff\xff\x0f\x42\x3f", b"\xff" * 8})


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One plan per column of its table map, in that order; `key` are indices of columns.

    `handle` is the caller's own number: batches come out of `take` under it. A batch ends where another
    plan of the same `table` begins. `row_end` is the column that ends a row of a MariaDB system-versioned
    table: rows of history are dropped, and an update that ends a row is a delete. `defaults` are scalars of
    the plans' Arrow types, one per column: what an INSERT put into a column that it left out; None where that
    isn't known, () where it isn't of any column. `derived` are MariaDB's generated columns: a new image may
    lack a virtual one that has changed. `is_annotated`: partial new images need the statement that they come
    from (MariaDB). `omitted` are those that aren't delivered: whether an image has them
    or not, they are null and count as there.
    """

    handle: int
    table: str
    columns: tuple[ColumnPlan, ...]
    key: tuple[int, ...] = ()
    row_end: int | None = None
    defaults: tuple[Any, ...] = ()
    derived: tuple[int, ...] = ()
    omitted: tuple[int, ...] = ()
    is_annotated: bool = False
