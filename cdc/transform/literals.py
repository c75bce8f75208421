"""Literals of a condition, as Arrow scalars that compare exactly with a column of a given type."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import pyarrow as pa

# Of an Arrow decimal, and of the largest 64-bit number.
_MAX_DIGITS = 76
_INTEGER_DIGITS = 20
_INT64 = range(-(2**63), 2**63)


def kind_of(type_: pa.DataType) -> str:
    """Which types compare with each other; empty for those that compare with nothing."""
    tests = {
        "boolean": pa.types.is_boolean,
        "number": lambda t: pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t),
        "text": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
        "date": pa.types.is_date,
        "timestamp": pa.types.is_timestamp,
        "time": pa.types.is_time,
        "uuid": lambda t: t == pa.uuid(),
    }
    return next((kind for kind, test in tests.items() if test(type_)), "")


def shared_type(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """The type in which numbers of both types compare exactly; None if there is none (or no need: floats)."""
    if pa.types.is_floating(first) or pa.types.is_floating(second):
        return None
    (digits, scale), (other_digits, other_scale) = _digits(first), _digits(second)
    needed = max(scale, other_scale)
    if max(digits - scale, other_digits - other_scale) + needed > _MAX_DIGITS:
        message = f"numbers of the types {first} and {second} have too many digits to be compared"
        raise ValueError(message)
    return pa.decimal256(_MAX_DIGITS, needed)


def plain(values: Any) -> Any:
    """The values without an extension type, which no kernel knows."""
    return values.storage if isinstance(values, pa.ExtensionArray) else values


def _digits(type_: pa.DataType) -> tuple[int, int]:
    """All digits, and those after the point."""
    return (type_.precision, type_.scale) if pa.types.is_decimal(type_) else (_INTEGER_DIGITS, 0)


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal's value: None, bool, int, Decimal or text."""

    value: Any

    @classmethod
    def number(cls, text: str) -> Self:
        number = Decimal(text)
        return cls(
            int(number) if number == number.to_integral_value() and "e" not in text.lower() else number
        )

    def scalar(self, type_: pa.DataType, *, ordered: bool) -> pa.Scalar:
        """A scalar that compares with values of that type, decimals once both have their `shared_type`.

        ValueError if none does.
        """
        kind, value = kind_of(type_), self.value
        if value is None:
            return pa.scalar(None, type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_)
        if kind == "number" and isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            return _number(type_, value)
        if kind == "boolean" and isinstance(value, bool) and not ordered:
            return pa.scalar(value)
        if kind not in ("", "number", "boolean") and isinstance(value, str):
            return _from_text(type_, kind, value, ordered=ordered)
        message = f"a value of type {type_} is compared with {self._shown()}"
        raise ValueError(message)

    def _shown(self) -> str:
        if isinstance(self.value, bool):
            return "true or false"
        return "a text" if isinstance(self.value, str) else "a number"


def _number(type_: pa.DataType, value: int | Decimal) -> pa.Scalar:
    if pa.types.is_floating(type_):
        return pa.scalar(float(value))
    is_plain = pa.types.is_integer(type_) and not pa.types.is_uint64(type_)
    if is_plain and isinstance(value, int) and value in _INT64:
        return pa.scalar(value, pa.int64())
    return pa.scalar(Decimal(value))


def _from_text(type_: pa.DataType, kind: str, text: str, *, ordered: bool) -> pa.Scalar:
    if kind == "text":
        return pa.scalar(text, type_)
    try:
        if kind == "uuid" and not ordered:
            return pa.scalar(uuid.UUID(text).bytes, pa.binary(16))
        if kind == "date":
            return pa.scalar(datetime.date.fromisoformat(text), type_)
        if kind == "time":
            return pa.scalar(datetime.time.fromisoformat(text), type_)
        if kind == "timestamp":
            return pa.scalar(_moment(type_, text), type_)
    except ValueError:
        message = f"a text is compared with a value of type {type_}, and is none"
        raise ValueError(message) from None
    message = f"a value of type {type_} is compared by its order"
    raise ValueError(message)


def _moment(type_: pa.DataType, text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    if type_.tz is None:
        if moment.tzinfo is not None:
            raise ValueError(text)
        return moment
    # Without an offset UTC is meant, as everywhere here.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
