"""One column's values decoded in pure Python: the twin of `fields.pyx`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from cdc.errors import DecodeError
from cdc.native.columns_python import build_array
from cdc.native.cursor_python import BigEndianCursor, decode_utf8
from cdc.native.unrepresentable import UnrepresentablePolicy
from cdc_source_postgres.schema.codec import TEXT_IS_VALUE, Codec
from cdc_source_postgres.wire import codes
from cdc_source_postgres.wire.calendar import (
    DATE_INFINITIES,
    EPOCH_DAYS,
    EPOCH_MICROSECONDS,
    TIMESTAMP_INFINITIES,
)
from cdc_source_postgres.wire.decimals import checked_decimal
from cdc_source_postgres.wire.parse.clock import checked_days, checked_time, checked_timestamp
from cdc_source_postgres.wire.parse.text import unreadable
from cdc_source_postgres.wire.pending_values import PendingValues
from cdc_source_postgres.wire.render.nested import array_shape
from cdc_source_postgres.wire.render.scalar import (
    NUMERIC_NEGATIVE,
    NUMERIC_SPECIALS,
    bool_value,
    char_text,
    numeric_digits,
    numeric_text,
    versioned_text,
)

UUID_BYTES = 16

# A pending value is converted when the column is complete; until then a null has its place.
_PENDING = None


class Field:
    """The values of one column, or of the elements of a list column, in the order they came."""

    def __init__(self, codec: Codec, policy: UnrepresentablePolicy) -> None:
        self._codec = codec
        self._policy = policy
        self._values: list[Any] = []
        self._pending = PendingValues(codec, policy)
        self._is_text_value = codec.kind in TEXT_IS_VALUE
        self._decode = _decoder(codec, policy)

    @property
    def length(self) -> int:
        return len(self._values)

    def null(self) -> None:
        self._values.append(None)

    def binary(self, data: bytes) -> None:
        if self._codec.kind == "render":
            if self._codec.render is None:
                unreadable()
            self._pending.add(len(self._values), data)
            self._values.append(_PENDING)
        else:
            self._values.append(self._decode(data))

    def text(self, data: bytes) -> None:
        if self._is_text_value:
            self._values.append(decode_utf8(data))
        else:
            self._pending.add(len(self._values), data)
            self._values.append(_PENDING)

    def finish(self) -> pa.Array:
        """Return everything so far as an array, and start an empty one."""
        values, self._values = self._values, []
        return self._pending.merge(build_array(self._codec.arrow, values))


make_field = Field


def _decoder(codec: Codec, policy: UnrepresentablePolicy) -> Callable[[bytes], Any]:
    return _DECODERS[codec.kind](codec, policy)


def _reads(
    read: Callable[[BigEndianCursor], Any],
) -> Callable[[Codec, UnrepresentablePolicy], Callable[[bytes], Any]]:
    """A decoder that reads one value of fixed width."""

    def decode(data: bytes) -> Any:
        cursor = BigEndianCursor(data)
        value = read(cursor)
        cursor.finish()
        return value

    return lambda codec, policy: decode


def _calls(
    function: Callable[[bytes], Any],
) -> Callable[[Codec, UnrepresentablePolicy], Callable[[bytes], Any]]:
    return lambda codec, policy: function


def _date(codec: Codec, policy: UnrepresentablePolicy) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> int | None:
        cursor = BigEndianCursor(data)
        days = cursor.i32()
        cursor.finish()
        if days in DATE_INFINITIES:
            return policy.refuse(codes.INFINITY)
        return checked_days(days + EPOCH_DAYS, policy)

    return decode


def _time(codec: Codec, policy: UnrepresentablePolicy) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> int | None:
        cursor = BigEndianCursor(data)
        value = cursor.i64()
        cursor.finish()
        return checked_time(value, policy)

    return decode


def _timestamp(codec: Codec, policy: UnrepresentablePolicy) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> int | None:
        cursor = BigEndianCursor(data)
        value = cursor.i64()
        cursor.finish()
        if value in TIMESTAMP_INFINITIES:
            return policy.refuse(codes.INFINITY)
        return checked_timestamp(value + EPOCH_MICROSECONDS, policy)

    return decode


def _numeric(codec: Codec, policy: UnrepresentablePolicy) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> int | None:
        digits, weight, sign, _ = numeric_digits(data)
        special = NUMERIC_SPECIALS.get(sign)
        if special is not None:
            return policy.refuse(codes.NOT_A_NUMBER if special == "NaN" else codes.INFINITY)
        value = 0
        for digit in digits:
            value = value * 10_000 + digit
        if value == 0:
            return 0
        after_point = 4 * (len(digits) - 1 - weight)
        if after_point < 0:
            value, after_point = value * 10**-after_point, 0
        value = checked_decimal(value, after_point, codec.precision, codec.scale)
        return -value if sign == NUMERIC_NEGATIVE else value

    return decode


def _uuid(data: bytes) -> bytes:
    if len(data) != UUID_BYTES:
        message = f"{UUID_BYTES} bytes expected, {len(data)} came"
        raise DecodeError(message)
    return data


def _list(codec: Codec, policy: UnrepresentablePolicy) -> Callable[[bytes], Any]:
    element = codec.element
    if element is None:
        return unsupported
    decode_element = _element_decoder(element, policy)

    def decode(data: bytes) -> list[Any] | None:
        cursor = BigEndianCursor(data)
        oid, shape = array_shape(cursor)
        if oid != codec.element_oid:
            message = f"an array of elements of type oid {oid} where {codec.element_oid} is declared"
            raise DecodeError(message)
        if not shape:
            cursor.finish()
            return []
        if len(shape) != codec.dims:
            return policy.refuse(codes.ARRAY_DIMENSIONS)
        if any(low != 1 for _, low in shape):
            return policy.refuse(codes.ARRAY_BOUNDS)
        values = _nested(cursor, [length for length, _ in shape], decode_element)
        cursor.finish()
        return values

    return decode


def _element_decoder(element: Codec, policy: UnrepresentablePolicy) -> Callable[[bytes], Any]:
    if element.kind == "render":
        render = element.render
        return unsupported if render is None else render
    return _decoder(element, policy)


def _nested(cursor: BigEndianCursor, lengths: list[int], decode: Callable[[bytes], Any]) -> list[Any]:
    if len(lengths) > 1:
        return [_nested(cursor, lengths[1:], decode) for _ in range(lengths[0])]
    values = []
    for _ in range(lengths[0]):
        length = cursor.i32()
        values.append(None if length == -1 else decode(cursor.take(length)))
    return values


def unsupported(data: bytes) -> Any:
    return unreadable()


_DECODERS: dict[str, Callable[[Codec, UnrepresentablePolicy], Callable[[bytes], Any]]] = {
    "bool": _calls(bool_value),
    "int2": _reads(BigEndianCursor.i16),
    "int4": _reads(BigEndianCursor.i32),
    "int8": _reads(BigEndianCursor.i64),
    "uint4": _reads(BigEndianCursor.u32),
    "uint8": _reads(BigEndianCursor.u64),
    "float4": _reads(BigEndianCursor.f32),
    "float8": _reads(BigEndianCursor.f64),
    "money": _reads(BigEndianCursor.i64),
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "numeric": _numeric,
    "numtext": _calls(numeric_text),
    "text": _calls(decode_utf8),
    "jsonb": _calls(versioned_text),
    "char": _calls(char_text),
    "bytes": _calls(bytes),
    "uuid": _calls(_uuid),
    "list": _list,
    "render": _calls(unsupported),
}
