"""Drives the fields of the binlog decoders by themselves: plans made by hand, rows fed value by value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import pyarrow as pa

from cdc.native import implementation
from cdc.native.unrepresentable import UnrepresentablePolicy
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire import values_python as wire_values_python

WRITES = (23, 30)
PARTIAL_UPDATE = 39
_EXTRA_LENGTH_EVENTS = (30, 31, 32, PARTIAL_UPDATE)


def field_modules() -> list[ModuleType]:
    """Each implementation of the fields that can be used here."""
    if implementation() != "c":
        return [wire_values_python]
    from cdc_source_mysql.wire import values as wire_values

    return [wire_values, wire_values_python]


def plan(kind: str, arrow: Any, **attributes: Any) -> ColumnPlan:
    """A column's plan as `cdc_source_mysql.schema.type_plan` would make it."""
    return ColumnPlan("v", arrow, kind, kind, type_code=0, meta=0, **attributes)


def int_plan(kind: str = "int32", arrow: Any = None, **attributes: Any) -> ColumnPlan:
    return plan(kind, pa.int32() if arrow is None else arrow, **attributes)


def json_plan() -> ColumnPlan:
    return plan("json", pa.json_(), prefix_bytes=4)


def feed_inserts(events: Iterable[tuple[int, bytes]], fields: Sequence[Any]) -> None:
    """Append every row that WRITE_ROWS events hold, all columns present, to the columns' fields."""
    for kind, body in events:
        if kind not in WRITES:
            continue
        at = _row_start(kind, body, len(fields))
        while at < len(body):
            at = _feed_row(body, at, fields)


def feed_partial_updates(events: Iterable[tuple[int, bytes]], before: Any, after: Any) -> None:
    """The column `v json` of a table `(id int primary key, v json)`, from PARTIAL_UPDATE_ROWS events."""
    for kind, body in events:
        if kind != PARTIAL_UPDATE:
            continue
        at = _row_start(kind, body, 2) + 1  # One more bitmap: an update has two images.
        while at < len(body):
            document, at = _whole(body, at + 1 + 4)  # The nulls, and the id.
            before.append(_prefixed(document))
            options, at = body[at], at + 1
            is_partial = False
            if options:
                is_partial, at = bool(body[at] & 1), at + 1
            content, at = _whole(body, at + 1 + 4)
            if is_partial:
                after.append_partial(document, content)
            else:
                after.append(_prefixed(content))


def decoded(
    module: ModuleType, column: ColumnPlan, values: Iterable[bytes | None], policy: str = "error"
) -> Any:
    """The values as an array; each must be consumed whole."""
    field = module.make_field(column, UnrepresentablePolicy(policy))
    for value in values:
        if value is None:
            field.append_null()
        else:
            assert field.append(value) == len(value)
    return field.finish()


def _row_start(kind: int, body: bytes, columns: int) -> int:
    """Behind the first bitmap of the columns present."""
    at = 8
    if kind in _EXTRA_LENGTH_EVENTS:
        at += int.from_bytes(body[at : at + 2], "little")
    assert body[at] == columns
    return at + 1 + (columns + 7) // 8


def _feed_row(body: bytes, at: int, fields: Sequence[Any]) -> int:
    nulls = int.from_bytes(body[at : at + (len(fields) + 7) // 8], "little")
    at += (len(fields) + 7) // 8
    for index, field in enumerate(fields):
        if nulls >> index & 1:
            field.append_null()
        else:
            at += field.append(body[at:])
    return at


def _whole(body: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(body[at : at + 4], "little")
    return body[at + 4 : at + 4 + size], at + 4 + size


def _prefixed(document: bytes) -> bytes:
    return len(document).to_bytes(4, "little") + document
