"""Row images that lack columns which the rows cannot be followed without."""

from __future__ import annotations

from collections.abc import Iterable

from cdc.errors import UnsupportedSchema
from cdc_source_mysql.wire.annotations import is_update_of
from cdc_source_mysql.wire.table_plan import TablePlan

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


def diffs_without_document(plan: TablePlan) -> PoorImage:
    message = "an update of a JSON document in parts, without the document that the parts belong to"
    return PoorImage(message, remedy=WANT_WHOLE_DOCUMENTS, handle=plan.handle)


def check_insert(plan: TablePlan, absent: Iterable[int]) -> None:
    """Refuse the rows of an INSERT that left out columns whose defaults aren't known."""
    unknown = [
        plan.columns[i].name
        for i in absent
        if i not in plan.omitted and (not plan.defaults or plan.defaults[i] is None)
    ]
    if unknown:
        message = (
            f"an inserted row without {', '.join(unknown)}: the event does not contain the value "
            "that the server stored"
        )
        raise PoorImage(message, handle=plan.handle)


def check_update(plan: TablePlan, absent: Iterable[int], statement: bytes) -> None:
    """Refuse the new images of an UPDATE event that lack what may have changed: generated columns, or, on
    MariaDB, whatever a REPLACE does not name. `statement` is its beginning, empty where nothing tells it.
    """
    unknown = [plan.columns[i].name for i in absent if i in plan.derived]
    message = ""
    if unknown:
        message = (
            f"an updated row without {', '.join(unknown)}: generated columns may have changed without being"
            " sent"
        )
    elif plan.is_annotated and not is_update_of(statement, plan.table):
        message = (
            "an updated row without all of its columns, which may come from a REPLACE: MariaDB then leaves"
            " out columns that have changed"
        )
    if message:
        raise PoorImage(message, handle=plan.handle)


def unidentified_row(plan: TablePlan) -> PoorImage:
    message = "an old row image that holds neither all columns nor the table's key"
    return PoorImage(message, handle=plan.handle)
