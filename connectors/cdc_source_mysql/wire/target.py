"""Where the rows of a table go, and what makes its images too poor to be followed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdc.errors import UnsupportedSchema
from cdc_source_mysql.wire.annotations import is_update_of

if TYPE_CHECKING:
    from cdc_source_mysql.schema.type_plan import ColumnPlan

# The values of a system-versioned table's row end that say "still there", as they lie in the binlog:
# TIMESTAMP(6) 2038-01-19 03:14:07.999999, from MariaDB 11.5 on 2106-02-07 06:28:15.999999, and the largest
# transaction number.
LIVE_ROW_ENDS = frozenset({b"\x7f\xff\xff\xff\x0f\x42\x3f", b"\xff\xff\xff\xff\x0f\x42\x3f", b"\xff" * 8})
WANT_FULL_IMAGES = (
    "Run: set global binlog_row_image = full; and let no session set another. Open sessions keep"
    " theirs until they reconnect. The table is then copied again automatically."
)
WANT_WHOLE_DOCUMENTS = (
    "Run: set global binlog_row_value_options = ''; or set global binlog_row_image = full; and let no session"
    " set others. Open sessions keep theirs until they reconnect. The table is then copied again"
    " automatically."
)


class PoorImage(UnsupportedSchema):
    """A rows event leaves out what its table's rows can't be followed without; `handle` is the table's."""

    def __init__(
        self, message: str, *, where: str = "", remedy: str = WANT_FULL_IMAGES, handle: int = -1
    ) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.handle = handle


@dataclass(frozen=True, slots=True)
class Target:
    """One plan per column of its table map, in that order; `key` are indices of columns.

    `handle` is the caller's own number: batches come out of `take` under it. A batch ends where another
    target of the same `table` begins. `row_end` is the column that ends a row of a MariaDB system-versioned
    table: rows of history are dropped, and an update that ends a row is a delete. `defaults` are scalars of
    the plans' Arrow types, one per column: what an INSERT put into a column that it left out; None where that
    isn't known, () where it isn't of any column. `derived` are MariaDB's generated columns: a new image may
    lack a virtual one that has changed. `is_annotated`: partial new images need the statement that they come
    from (MariaDB). `left_out` are those that aren't delivered: whether an image has them
    or not, they are null and count as there.
    """

    handle: int
    table: str
    plans: tuple[ColumnPlan, ...]
    key: tuple[int, ...] = ()
    row_end: int | None = None
    defaults: tuple[Any, ...] = ()
    derived: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    is_annotated: bool = False


def diffs_without_document(target: Target) -> PoorImage:
    message = "an update of a JSON document in parts, without the document that the parts belong to"
    return PoorImage(message, remedy=WANT_WHOLE_DOCUMENTS, handle=target.handle)


def check_insert(target: Target, absent: Iterable[int]) -> None:
    """Refuse the rows of an INSERT that left out columns whose defaults aren't known."""
    unknown = [
        target.plans[i].name
        for i in absent
        if i not in target.left_out and (not target.defaults or target.defaults[i] is None)
    ]
    if unknown:
        message = (
            f"an inserted row without {', '.join(unknown)}: the event does not contain the value "
            "that the server stored"
        )
        raise PoorImage(message, handle=target.handle)


def check_update(target: Target, absent: Iterable[int], statement: bytes) -> None:
    """Refuse the new images of an UPDATE event that lack what may have changed: generated columns, or, on
    MariaDB, whatever a REPLACE does not name. `statement` is its beginning, empty where nothing tells it.
    """
    unknown = [target.plans[i].name for i in absent if i in target.derived]
    message = ""
    if unknown:
        message = (
            f"an updated row without {', '.join(unknown)}: generated columns may have changed without being"
            " sent"
        )
    elif target.is_annotated and not is_update_of(statement, target.table):
        message = (
            "an updated row without all of its columns, which may come from a REPLACE: MariaDB then leaves"
            " out columns that have changed"
        )
    if message:
        raise PoorImage(message, handle=target.handle)


def unidentified_row(target: Target) -> PoorImage:
    message = "an old row image that holds neither all columns nor the table's key"
    return PoorImage(message, handle=target.handle)
