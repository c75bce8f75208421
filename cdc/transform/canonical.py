"""The one text of a value, whatever type a column has: what is hashed, and what is shown a part of.

Equal values have equal texts across types that hold the same thing, so that a key and its foreign keys hash
alike: 5 as int16, int64 and text; 1.5 as decimal(3,1) and decimal(9,4); a uuid as uuid and text.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.native.iso import iso_text, with_text_times

# Arrow's name of an extension type, whose storage no message needs.
_EXTENSION = re.compile(r"extension<(?:arrow\.)?([\w.]+)[^<>]*>")


def name_of(type_: pa.DataType) -> str:
    """Return the type's name for messages: uuid, where Arrow prints extension<arrow.uuid>."""
    return _EXTENSION.sub(r"\1", str(type_))


def has_text(type_: pa.DataType) -> bool:
    """Return whether the values are single ones that people know a text of."""
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_decimal,
        pa.types.is_date,
        pa.types.is_time,
        pa.types.is_timestamp,
    )
    return type_ == pa.uuid() or any(test(type_) for test in tests)


def distinct(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The distinct values without null, and for each row the index of its value; null where it is null."""
    plain = values.storage if isinstance(values, pa.ExtensionArray) else values
    if pa.types.is_dictionary(plain.type):
        plain = plain.dictionary_decode()
    if pa.types.is_nested(plain.type) or pa.types.is_null(plain.type):
        # Arrow finds no duplicates among these.
        valid = plain.is_valid()
        indices = pc.cumulative_sum(valid.cast(pa.int32()))
        places = pc.if_else(
            valid, pc.subtract(indices, pa.scalar(1, pa.int32())), pa.scalar(None, pa.int32())
        )
        return plain.filter(valid), places
    encoded = plain.dictionary_encode()
    return encoded.dictionary, encoded.indices


def texts(values: pa.Array, type_: pa.DataType) -> list[bytes]:
    """The canonical texts of values without nulls, as UTF-8; `type_` is that of their column."""
    if type_ == pa.uuid():
        return [str(uuid.UUID(bytes=value)).encode() for value in values.to_pylist()]
    types = pa.types
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    if types.is_binary(storage) or types.is_large_binary(storage) or types.is_fixed_size_binary(storage):
        return list(values.to_pylist())
    if types.is_string(storage) or types.is_large_string(storage):
        return list(values.cast(pa.large_binary()).to_pylist())
    return [text.encode() for text in _printed(values, storage)]


def _printed(values: pa.Array, type_: pa.DataType) -> Iterable[str]:
    if pa.types.is_floating(type_):
        # Adding zero makes one of the two zeros.
        return (_number(value + 0.0) for value in values.to_pylist())
    if pa.types.is_decimal(type_):
        return (_trimmed(format(value, "f")) for value in values.to_pylist())
    if pa.types.is_temporal(type_) and not pa.types.is_duration(type_):
        return iter(_moments(values).to_pylist())
    if pa.types.is_boolean(type_) or pa.types.is_integer(type_):
        return iter(values.cast(pa.string()).to_pylist())
    plain = with_text_times(values, _moments).to_pylist()
    return (json.dumps(value, default=_plain, sort_keys=True) for value in plain)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _trimmed(digits: str) -> str:
    text = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if text in ("-0", "") else text


def _moments(values: pa.Array) -> pa.Array:
    """Dates and times as text, without the zeros at the end of a second's fraction."""
    if pa.types.is_duration(values.type):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())
    whole = pc.replace_substring_regex(iso_text(values), r"\.0+(Z?)$", r"\1")
    return pc.replace_substring_regex(whole, r"(\.\d*[1-9])0+(Z?)$", r"\1\2")


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
