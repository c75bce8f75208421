"""What happens to a value that Arrow can't hold: the policy `unrepresentable`, and the words for each
case.
"""

from __future__ import annotations

from cdc.errors import CdcError, UnrepresentableValue

INFINITY = "infinity"
NOT_A_NUMBER = "NaN"
BEFORE_YEAR_1 = "a year before 1 (BC)"
BEYOND_RANGE = "a timestamp beyond the year 294246"
MIDNIGHT_24 = "the time 24:00:00"
ARRAY_DIMENSIONS = "an array whose number of dimensions differs from the column's declaration"
ARRAY_BOUNDS = "an array whose lower bound is not 1"
OBJECT_NAME = "the name of an object, where its oid is needed (the server sends it so in text form)"
REMEDY = (
    "Set `unrepresentable: null` to deliver nulls (counted), or `unrepresentable: string` to deliver such "
    "columns as text."
)


class Refusals:
    """Decides for one column: `refuse(what)` gives None and counts, or raises, by the policy."""

    def __init__(self, policy: str) -> None:
        self.is_lenient = policy == "null"
        self.count = 0

    def refuse(self, what: str) -> None:
        if not self.is_lenient:
            message = f"{what} has no counterpart in the column's type"
            raise UnrepresentableValue(message, remedy=REMEDY)
        self.count += 1


def locate(error: CdcError, where: str) -> CdcError:
    """The same error with its place, unless it has one."""
    if not error.where:
        error = type(error)(error.message, where=where, remedy=error.remedy)
    return error
