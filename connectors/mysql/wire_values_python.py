"""One column's values decoded in pure Python: the twin of `wire_values.pyx` and the modules of its fields."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from cdc.errors import DecodeError
from cdc.native.columns_python import build_array
from cdc.native.cursor_python import Cursor
from cdc.native.refusals import Refusals


class Field:
    """The values of one column in the order they came."""

    def __init__(self, plan: Any, refusals: Refusals) -> None:
        self._plan = plan
        self._refusals = refusals
        self._values: list[Any] = []

    @property
    def length(self) -> int:
        return len(self._values)

    def null(self) -> None:
        self._values.append(None)

    def value(self, cursor: Cursor) -> None:
        """Exactly one value as rows events hold it, its length prefix included."""
        raise NotImplementedError

    def span(self, cursor: Cursor) -> bytes:
        """The same value without decoding it: its bytes without the length prefix."""
        raise NotImplementedError

    def partial(self, before: bytes, diffs: bytes) -> None:
        """A JSON value: the document `before` with the sequence of diffs applied."""
        message = "a partial update of a column that is not JSON"
        raise DecodeError(message)

    def result(self, data: bytes) -> None:
        """A value of the binary result-set protocol, without any length prefix."""
        raise NotImplementedError

    def finish(self) -> pa.Array:
        """Everything so far as an array; begins anew."""
        values, self._values = self._values, []
        return build_array(self._plan.arrow, values)


def make_field(plan: Any, refusals: Refusals) -> Field:
    """The field that decodes a column's values by its plan."""
    return Field(plan, refusals)
