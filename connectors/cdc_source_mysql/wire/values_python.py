"""One column's values decoded in pure Python: the twin of `values.pyx` and the modules of its fields."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Literal

import pyarrow as pa

from cdc.errors import DecodeError
from cdc.native.calendar import MICROSECONDS_PER_SECOND, days_from_civil
from cdc.native.columns_python import build_array
from cdc.native.cursor_python import BigEndianCursor
from cdc.native.unrepresentable import UnrepresentablePolicy
from cdc_source_mysql.schema.charsets import NATIVE, convert_texts, decode_text
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.calendar import (
    FSP_MAX,
    YEAR_BASE,
    Moment,
    checked_moment,
    date_fault,
    date_text,
    moment_microseconds,
    moment_of_epoch,
    moment_of_packed,
    moment_text,
    time_text,
)
from cdc_source_mysql.wire.compressed import inflate
from cdc_source_mysql.wire.decimals import stored_bytes, unscaled
from cdc_source_mysql.wire.json_binary import json_text, patched_text

ClockDecoder = Callable[[bytes], int | str | None]

_DATETIME_SIGN = 1 << 39
_TIME_SIGN = 1 << 23
# Bytes in front of the fraction.
_WHOLE_BYTES = {
    "date": 3,
    "datetime": 5,
    "datetime_old": 8,
    "timestamp": 4,
    "timestamp_old": 4,
    "time": 3,
    "time_old": 3,
}
_WITH_FRACTION = frozenset({"datetime", "timestamp", "time"})
_DATETIME_BYTES = _WHOLE_BYTES["datetime"]
_TIMESTAMP_BYTES = _WHOLE_BYTES["timestamp"]


def clock_bytes(plan: ColumnPlan) -> int:
    """The size of every value."""
    if not 0 <= plan.fsp <= FSP_MAX:
        message = f"{plan.fsp} digits of fraction where 0 to {FSP_MAX} are expected"
        raise DecodeError(message)
    return _WHOLE_BYTES[plan.kind] + (_fraction_bytes(plan) if plan.kind in _WITH_FRACTION else 0)


def _fraction_bytes(plan: ColumnPlan) -> int:
    return (plan.fsp + 1) // 2


def _microseconds(number: int, size: int) -> int:
    """A fraction of `size` bytes counts units of 100^-size seconds."""
    limit: int = 100**size
    if number >= limit:
        message = "a fraction of a second that is not less than 1"
        raise DecodeError(message)
    return number * (MICROSECONDS_PER_SECOND // limit)


def _date(plan: ColumnPlan, policy: UnrepresentablePolicy) -> ClockDecoder:
    def decode(data: bytes) -> int | str | None:
        packed = int.from_bytes(data, "little")
        year, month, day = packed >> 9, packed >> 5 & 15, packed & 31
        checked_moment((year, month, day, 0, 0, 0, 0))
        if plan.as_text:
            return date_text(year, month, day)
        fault = date_fault(year, month, day)
        return policy.refuse(fault) if fault else days_from_civil(year, month, day)

    return decode


def _moment(moment: Moment, plan: ColumnPlan, policy: UnrepresentablePolicy) -> int | str | None:
    if plan.as_text:
        return moment_text(moment, plan.fsp)
    fault = date_fault(*moment[:3])
    return policy.refuse(fault) if fault else moment_microseconds(moment)


def _datetime(plan: ColumnPlan, policy: UnrepresentablePolicy) -> ClockDecoder:
    size = _fraction_bytes(plan)

    def decode(data: bytes) -> int | str | None:
        packed = int.from_bytes(data[:_DATETIME_BYTES], "big") - _DATETIME_SIGN
        if packed < 0:
            message = "a DATETIME before the year 0"
            raise DecodeError(message)
        fraction = _microseconds(int.from_bytes(data[_DATETIME_BYTES:], "big"), size)
        return _moment(moment_of_packed(packed, fraction), plan, policy)

    return decode


def _datetime_old(plan: ColumnPlan, policy: UnrepresentablePolicy) -> ClockDecoder:
    def decode(data: bytes) -> int | str | None:
        date, clock = divmod(int.from_bytes(data, "little"), 1_000_000)
        moment = (date // 10_000, date // 100 % 100, date % 100)
        checked = checked_moment((*moment, clock // 10_000, clock // 100 % 100, clock % 100, 0))
        return _moment(checked, plan, policy)

    return decode


def _epoch(seconds: int, fraction: int, plan: ColumnPlan, policy: UnrepresentablePolicy) -> int | str | None:
    if plan.as_text:
        return moment_text(moment_of_epoch(seconds, fraction), plan.fsp)
    count = seconds * MICROSECONDS_PER_SECOND + fraction
    return count or policy.refuse(codes.ZERO_DATE)


def _timestamp(plan: ColumnPlan, policy: UnrepresentablePolicy) -> ClockDecoder:
    size = _fraction_bytes(plan)

    def decode(data: bytes) -> int | str | None:
        seconds = int.from_bytes(data[:_TIMESTAMP_BYTES], "big")
        fraction = _microseconds(int.from_bytes(data[_TIMESTAMP_BYTES:], "big"), size)
        return _epoch(seconds, fraction, plan, policy)

    return decode


def _timestamp_old(plan: ColumnPlan, policy: UnrepresentablePolicy) -> ClockDecoder:
    return lambda data: _epoch(int.from_bytes(data, "little"), 0, plan, policy)


def _time(plan: ColumnPlan, policy: UnrepresentablePolicy) -> ClockDecoder:
    size = _fraction_bytes(plan)
    bits = 8 * size

    def decode(data: bytes) -> str:
        packed = int.from_bytes(data, "big") - (_TIME_SIGN << bits)
        whole, fraction = divmod(abs(packed), 1 << bits)
        microsecond = _microseconds(fraction, size)
        sign = "-" if packed < 0 else ""
        return time_text(sign, whole >> 12, whole >> 6 & 63, whole & 63, microsecond, plan.fsp)

    return decode


def _time_old(plan: ColumnPlan, policy: UnrepresentablePolicy) -> ClockDecoder:
    def decode(data: bytes) -> str:
        number = int.from_bytes(data, "little", signed=True)
        whole = abs(number)
        sign = "-" if number < 0 else ""
        return time_text(sign, whole // 10_000, whole // 100 % 100, whole % 100, 0, plan.fsp)

    return decode


CLOCK_DECODERS: dict[str, Callable[[ColumnPlan, UnrepresentablePolicy], ClockDecoder]] = {
    "date": _date,
    "datetime": _datetime,
    "datetime_old": _datetime_old,
    "timestamp": _timestamp,
    "timestamp_old": _timestamp_old,
    "time": _time,
    "time_old": _time_old,
}


_WORDS = 8
_IPV4_WORDS = 2


def inet4_text(data: bytes) -> str:
    return ".".join(map(str, data))


def inet6_text(data: bytes) -> str:
    """The first longest run of zeros is `::`, even if it is one; IPv4 within has dots."""
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    gap, length = _longest_zeros(words)
    if length == 0:
        return _hex(words)
    if gap == 0 and (length == 6 or (length == 5 and words[5] == 0xFFFF)):
        head = "::" + "".join(f"{word:x}:" for word in words[length : _WORDS - _IPV4_WORDS])
        return head + inet4_text(data[-4:])
    return f"{_hex(words[:gap])}::{_hex(words[gap + length :])}"


def _hex(words: list[int]) -> str:
    return ":".join(f"{word:x}" for word in words)


def _longest_zeros(words: list[int]) -> tuple[int, int]:
    """Where the first longest run of zeros begins, and its length."""
    gap, longest, run = 0, 0, 0
    for index, word in enumerate(words):
        run = 0 if word else run + 1
        if run > longest:
            gap, longest = index + 1 - run, run
    return gap, longest


Decoder = Callable[[bytes], Any]

_NUMBERS = {
    "int8": ("<b", "<B"),
    "int16": ("<h", "<H"),
    "int32": ("<i", "<I"),
    "int64": ("<q", "<Q"),
    "float32": ("<f", "<f"),
    "float64": ("<d", "<d"),
}
_INT24_BYTES = 3
_UUID_BYTES = 16
_INET4_BYTES = 4
_INET6_BYTES = 16
_FLOAT_BYTES = 4
_MAX_WORD_BYTES = 8
_MAX_PREFIX_BYTES = 4
_MAX_SET_LABELS = 64


class Field:
    """The values of one column in the order they came.

    `size` is the number of bytes of every value; 0 where a length is in front of it.
    """

    def __init__(self, plan: ColumnPlan, policy: UnrepresentablePolicy) -> None:
        self._plan = plan
        self._policy = policy
        self._values: list[Any] = []
        self.size, self._decode = _decoder(plan, policy)
        self._is_piled = plan.kind == "string" and plan.charset not in NATIVE - {"binary"}
        if not self.size and not 1 <= plan.prefix_bytes <= _MAX_PREFIX_BYTES:
            message = f"a length of {plan.prefix_bytes} bytes where 1 to 4 are expected"
            raise DecodeError(message)

    @property
    def length(self) -> int:
        return len(self._values)

    def null(self) -> None:
        self._values.append(None)

    def value(self, cursor: BigEndianCursor) -> None:
        """Exactly one value as rows events hold it, its length prefix included."""
        data = self.span(cursor)
        self._values.append(self._decode(inflate(data) if self._plan.compressed else data))

    def span(self, cursor: BigEndianCursor) -> bytes:
        """The same value without decoding it: its bytes without the length prefix."""
        size = self.size or int.from_bytes(cursor.take(self._plan.prefix_bytes), "little")
        return cursor.take(size)

    def partial(self, before: bytes, diffs: bytes) -> None:
        """A JSON value: the document `before` with the sequence of diffs applied."""
        if self._plan.kind != "json":
            message = "a partial update of a column that is not JSON"
            raise DecodeError(message)
        self._values.append(_utf8(patched_text(before, diffs), self._policy))

    def append(self, data: bytes) -> int:
        """One value from the start of `data`: how many bytes it had."""
        cursor = BigEndianCursor(data)
        self.value(cursor)
        return len(data) - cursor.left

    append_null = null
    append_partial = partial

    def finish(self) -> pa.Array:
        """Return everything so far as an array, and start an empty one."""
        values, self._values = self._values, []
        if not self._is_piled:
            return build_array(self._plan.arrow, values)
        stored = build_array(pa.binary(), values)
        return convert_texts(stored, self._plan.charset, self._plan.arrow, self._policy)


def make_field(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Field:
    """The field that decodes a column's values by its plan."""
    return Field(plan, policy)


def _decoder(plan: ColumnPlan, policy: UnrepresentablePolicy) -> tuple[int, Decoder]:
    """The size of every value (0: after a length), and what decodes one."""
    if plan.kind in CLOCK_DECODERS:
        return clock_bytes(plan), CLOCK_DECODERS[plan.kind](plan, policy)
    if plan.kind in _NUMBERS:
        number = struct.Struct(_NUMBERS[plan.kind][plan.unsigned])
        return number.size, lambda data: number.unpack(data)[0]
    if plan.kind in _SIZED:
        return _SIZED[plan.kind](plan)
    return 0, _PREFIXED[plan.kind](plan, policy)


def _int24(plan: ColumnPlan) -> tuple[int, Decoder]:
    return _INT24_BYTES, lambda data: int.from_bytes(data, "little", signed=not plan.unsigned)


def _decimal(plan: ColumnPlan) -> tuple[int, Decoder]:
    precision, scale = plan.precision, plan.scale
    return stored_bytes(precision, scale), lambda data: unscaled(data, precision, scale)


def _year(plan: ColumnPlan) -> tuple[int, Decoder]:
    return 1, lambda data: data[0] + YEAR_BASE if data[0] else 0


def _bool(plan: ColumnPlan) -> tuple[int, Decoder]:
    def decode(data: bytes) -> bool:
        if data[0] > 1:
            message = "a bit that is neither 0 nor 1"
            raise DecodeError(message)
        return data[0] == 1

    return 1, decode


def _word_bytes(plan: ColumnPlan, what: str) -> int:
    if not 1 <= plan.size <= _MAX_WORD_BYTES:
        message = f"{what} {plan.size} bytes where 1 to {_MAX_WORD_BYTES} are expected"
        raise DecodeError(message)
    return plan.size


def _bit(plan: ColumnPlan) -> tuple[int, Decoder]:
    return _word_bytes(plan, "a bit value of"), lambda data: int.from_bytes(data, "big")


def _enum(plan: ColumnPlan) -> tuple[int, Decoder]:
    labels = ("", *plan.labels)

    def decode(data: bytes) -> str:
        number = int.from_bytes(data, "little")
        if number >= len(labels):
            message = f"label {number} of an ENUM of {len(plan.labels)} labels"
            raise DecodeError(message)
        return labels[number]

    return _word_bytes(plan, "labels chosen by"), decode


def _set(plan: ColumnPlan) -> tuple[int, Decoder]:
    labels = plan.labels
    if len(labels) > _MAX_SET_LABELS:
        message = f"a SET of {len(labels)} labels"
        raise DecodeError(message)

    def decode(data: bytes) -> str:
        bits = int.from_bytes(data, "little")
        if bits >> len(labels):
            message = f"a label beyond the {len(labels)} of a SET"
            raise DecodeError(message)
        return ",".join(label for index, label in enumerate(labels) if bits >> index & 1)

    return _word_bytes(plan, "labels chosen by"), decode


def _string(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    if plan.charset not in NATIVE or plan.charset == "binary":
        return bytes

    def decode(data: bytes) -> str | None:
        text = decode_text(data, "utf8mb4" if plan.charset == "utf8" else plan.charset)
        return policy.refuse(codes.UNDEFINED_BYTES) if text is None else text

    return decode


def _bytes(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    return bytes


def _binary(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    return lambda data: _padded(data, plan.size)


def _uuid(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    return lambda data: _padded(data, _UUID_BYTES)


def _inet4(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    return lambda data: inet4_text(_padded(data, _INET4_BYTES))


def _inet6(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    return lambda data: inet6_text(_padded(data, _INET6_BYTES))


def _json(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    return lambda data: _utf8(json_text(data), policy)


def _geometry(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    return _ewkb


def _vector(plan: ColumnPlan, policy: UnrepresentablePolicy) -> Decoder:
    def decode(data: bytes) -> list[float]:
        if len(data) % _FLOAT_BYTES:
            message = f"a vector of {len(data)} bytes, which is no whole number of floats"
            raise DecodeError(message)
        return list(struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data))

    return decode


def _padded(data: bytes, size: int) -> bytes:
    """Rows events leave out the zeros at the end of what is stored with a fixed width."""
    if len(data) > size:
        message = f"{len(data)} bytes where at most {size} are expected"
        raise DecodeError(message)
    return data.ljust(size, b"\0")


def _utf8(data: bytes, policy: UnrepresentablePolicy) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return policy.refuse(codes.UNDEFINED_BYTES)


_SIZED: dict[str, Callable[[ColumnPlan], tuple[int, Decoder]]] = {
    "int24": _int24,
    "decimal": _decimal,
    "year": _year,
    "bool": _bool,
    "bit": _bit,
    "enum": _enum,
    "set": _set,
}
_PREFIXED: dict[str, Callable[[ColumnPlan, UnrepresentablePolicy], Decoder]] = {
    "string": _string,
    "bytes": _bytes,
    "binary": _binary,
    "uuid": _uuid,
    "inet4": _inet4,
    "inet6": _inet6,
    "json": _json,
    "geometry": _geometry,
    "vector": _vector,
}


def _ewkb(data: bytes) -> bytes:
    """Return the server's geometry (SRID and WKB) as WKB if the SRID is 0, else as EWKB."""
    if not data:
        # A NOT NULL column that was given no value.
        return data
    if len(data) < codes.SRID_BYTES + codes.WKB_HEAD_BYTES or data[codes.SRID_BYTES] > 1:
        message = "a geometry that is not an SRID followed by WKB"
        raise DecodeError(message)
    srid, wkb = int.from_bytes(data[: codes.SRID_BYTES], "little"), data[codes.SRID_BYTES :]
    if srid == 0:
        return wkb
    order: Literal["little", "big"] = "little" if wkb[0] else "big"
    kind = int.from_bytes(wkb[1 : codes.WKB_HEAD_BYTES], order) | codes.SRID_FLAG
    return wkb[:1] + kind.to_bytes(4, order) + srid.to_bytes(4, order) + wkb[codes.WKB_HEAD_BYTES :]
