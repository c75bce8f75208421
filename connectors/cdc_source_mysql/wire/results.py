"""Decoding of binary result sets into Arrow: the contract, and the choice of its implementation.

A value of a result set is first given the form that it has in a rows event, and then decoded by the same
field: so a row that is read and a row that is streamed can't differ. Both implementations give equal batches
for equal input, or both raise. After an error a decoder is good for nothing more. No error carries a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import pyarrow as pa

from cdc.native import implementation
from cdc_source_mysql.schema.type_plan import ColumnPlan

__all__ = ["ResultDecoder", "Results", "comes_as_text", "result_plans"]


class Results(Protocol):
    """Rows of one response to COM_STMT_EXECUTE (without CLIENT_DEPRECATE_EOF, no compression), from the
    column count to the EOF after the last row.

    `byte_count` is about what the rows gathered take. `finished` says that the last EOF came: the result is
    whole. `error` is the payload of the ERR packet that ended it instead.
    """

    byte_count: int
    finished: bool
    error: bytes | None

    def __init__(
        self,
        table: str,
        plans: Sequence[ColumnPlan],
        unrepresentable: str,
        count: Callable[[str, int], None],
    ) -> None:
        """`plans` are those of `result_plans`; enum and set must have been selected as unsigned numbers, but
        for those of `comes_as_text`.
        """
        ...

    def feed(self, data: bytes | memoryview) -> None:
        """Consume bytes as the connection gives them, packets cut anywhere; nothing of `data` is kept."""
        ...

    def take(self) -> pa.RecordBatch | None:
        """The rows gathered, without any envelope; None when there are none."""
        ...


# BLOB with 4 bytes of length.
_LONG_TEXT_CODE, _LONG_PREFIX_BYTES = 252, 4


def result_plans(plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    """The same columns as a result set has them: JSON (and some labels) as text, nothing compressed."""
    return tuple(_result_plan(plan) for plan in plans)


def comes_as_text(plan: ColumnPlan) -> bool:
    """Whether an enum or set is read as the server's text and not as its number: information_schema shows `?`
    for each character beyond the basic plane in its labels, so a label with a `?` may be another one.
    """
    return plan.kind in {"enum", "set"} and any("?" in label for label in plan.labels)


def _result_plan(plan: ColumnPlan) -> ColumnPlan:
    if plan.kind == "json" or comes_as_text(plan):
        return replace(
            plan,
            kind="string",
            charset="utf8",
            size=0,
            type_code=_LONG_TEXT_CODE,
            meta=_LONG_PREFIX_BYTES,
            prefix_bytes=_LONG_PREFIX_BYTES,
        )
    return replace(plan, compressed=False) if plan.compressed else plan


ResultDecoder: type[Results]
if implementation() == "c":
    from cdc_source_mysql.wire import result_stream_native

    ResultDecoder = result_stream_native.ResultDecoder
else:
    from cdc_source_mysql.wire import result_stream

    ResultDecoder = result_stream.ResultDecoder
