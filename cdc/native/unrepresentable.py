"""The policy for values that Arrow cannot hold: `unrepresentable: null | string | error`.

With `string`, the columns that can have such values are text, so only the two others are applied here.
"""

from __future__ import annotations

from cdc.errors import CdcError, UnrepresentableValue

COUNTER = "unrepresentable_values"
REMEDY = (
    "Set `unrepresentable: null` to deliver nulls (counted), or `unrepresentable: string` to deliver such "
    "columns as text."
)


class UnrepresentablePolicy:
    """Decides for one column: `refuse(what)` gives None and counts, or raises, by the policy."""

    def __init__(self, policy: str) -> None:
        self.is_lenient = policy == "null"
        self.count = 0

    def refuse(self, what: str) -> None:
        if not self.is_lenient:
            message = f"{what} has no counterpart in the column's type"
            raise UnrepresentableValue(message, remedy=REMEDY)
        self.count += 1


class RowError(Exception):
    """The value in row `row` of a column can't be converted; `cause` says why."""

    def __init__(self, row: int, cause: CdcError) -> None:
        super().__init__(row)
        self.row = row
        self.cause = cause
