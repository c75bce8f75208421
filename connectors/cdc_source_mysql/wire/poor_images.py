"""Row images that lack columns: those that the rows cannot be followed without, and the defaults of the
others.

MariaDB's REPLACE over an existing row may be logged as an update, whose image holds the columns that the
statement names: all others have their defaults now, though the event reads as if they were unchanged. With
full images nothing is missing. Of other images only the statement shows which of the two they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.errors import UnsupportedSchema
from cdc.native.record_batches import CREATE, TakenRows
from cdc_source_mysql.schema.type_plan import TablePlan

# The statement's beginning is enough, and a bulk INSERT has megabytes.
KEPT_BYTES = 512
# Of a rows event: its statement has no further one.
STATEMENT_END = 0x01
# The server itself carries out foreign keys (MySQL 9.6 and newer): what they change has events of its own.
SQL_FOREIGN_KEYS = 0x10
_NAME = rb'(?:`(?:[^`]|``)+`|"(?:[^"]|"")+"|[0-9A-Za-z_$\x80-\xff]+)'
# An UPDATE, or an INSERT (with ON DUPLICATE KEY UPDATE), and the first table that it names.
_CHANGES = re.compile(
    rb"(?:\s|/\*[^!M].*?\*/|--\s[^\n]*\n|#[^\n]*\n)*"
    rb"(?:update(?:\s+(?:low_priority|ignore))*|insert(?:\s+(?:low_priority|delayed|high_priority|ignore))*(?:\s+into)?)"
    rb"\s*(?:(" + _NAME + rb")\s*\.\s*)?(" + _NAME + rb")(?=[\s(]|$)",
    re.IGNORECASE | re.DOTALL,
)


def is_update_of(statement: bytes, table: str) -> bool:
    """Whether the statement updates this table (`database.name`) itself, and so all that it does to it is in
    the images: no trigger or function may change a table that its statement uses.
    """
    found = _CHANGES.match(statement)
    if found is None:
        return False
    database, _, name = table.partition(".")
    said = _plain(found[1]) if found[1] else database.lower()
    return (said, _plain(found[2])) == (database.lower(), name.lower())


def _plain(name: bytes) -> str:
    quote = name[:1] if name[:1] in b'`"' else b""
    bare = name[1:-1].replace(quote * 2, quote) if quote else name
    return bare.decode("utf-8", "replace").lower()


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
    MariaDB, whatever a REPLACE does not name. `statement` is its beginning, empty where it is not known.
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


def with_defaults(taken: TakenRows, columns: list[pa.Array], defaults: Sequence[Any]) -> list[pa.Array]:
    """Put the defaults, which must be known, into the inserted rows that left out these columns
    (binlog_row_image=MINIMAL); `taken` no longer has marks for the rows.

    Until here such a row is gathered like an updated one: null in the columns that its image lacks, and
    marked with them.
    """
    marks = np.frombuffer(taken.unchanged, np.int32)
    inserted = (np.frombuffer(taken.ops, np.int8) == CREATE) & (marks >= 0)
    if not inserted.any():
        return columns
    filled = list(columns)
    for code in np.unique(marks[inserted]):
        rows = inserted & (marks == code)
        for at in taken.unchanged_sets[code]:
            filled[at] = _put(filled[at], rows, defaults[at])
    rest = np.where(inserted, np.int32(-1), marks)
    taken.unchanged = rest.tobytes() if (rest >= 0).any() else None
    return filled


def _put(column: pa.Array, rows: Any, value: Any) -> pa.Array:
    """The column with the value in these rows, which are null there."""
    if not value.is_valid:
        return column
    places = np.where(rows, len(column), np.arange(len(column)))
    return pa.concat_arrays([column, pa.array([value.as_py()], value.type)]).take(pa.array(places))
