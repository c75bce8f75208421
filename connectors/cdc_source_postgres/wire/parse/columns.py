"""Whole columns of text to Arrow at once: the fast way for the common shapes of common types.

Each type has a pattern that all values must match, so that Arrow's own, more generous parsers never decide
what is valid; anything else goes to `parse_text`, value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc_source_postgres.schema.codec import Codec

_DATE = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_FLOAT = r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?"
_PATTERNS = {
    "bool": "[tf]",
    **dict.fromkeys(("int2", "int4", "int8"), "-?[0-9]{1,19}"),
    **dict.fromkeys(("uint4", "uint8"), "[0-9]{1,20}"),
    **dict.fromkeys(("float4", "float8"), _FLOAT),
    "numeric": r"-?[0-9]+(\.[0-9]+)?",
    "date": _DATE,
    "time": _CLOCK,
    "timestamp": f"{_DATE} {_CLOCK}",
    "uuid": "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "bytes": r"\\x([0-9a-f]{2})*",
}


def convert_column(codec: Codec, values: Sequence[bytes]) -> pa.Array | None:
    """The values as the column's array, or None where they need a closer look."""
    pattern = _PATTERNS.get(codec.kind)
    if pattern is None:
        return None
    if codec.kind == "timestamp" and codec.arrow.tz:
        pattern += r"\+00"
    try:
        texts = pa.array(values, pa.binary()).cast(pa.string())
        if not pc.all(pc.match_substring_regex(texts, rf"\A(?:{pattern})\z")).as_py():
            return None
        return _CONVERTERS.get(codec.kind, _cast)(texts, codec)
    except pa.ArrowInvalid:
        # Not UTF-8, out of range, no such day: the closer look says which value, and why.
        return None


def _cast(texts: Any, codec: Codec) -> pa.Array:
    return texts.cast(codec.arrow)


def _bool(texts: Any, codec: Codec) -> pa.Array:
    return pc.equal(texts, "t")


def _time(texts: Any, codec: Codec) -> pa.Array | None:
    """Arrow reads a time's fraction only with 6 digits; a timestamp's with any number."""
    return pc.binary_join_element_wise("1970-01-01", texts, " ").cast(pa.timestamp("us")).cast(codec.arrow)


def _timestamp(texts: Any, codec: Codec) -> pa.Array | None:
    """The year 0 is no year of the server's; Arrow has one."""
    if pc.any(pc.starts_with(texts, "0000")).as_py():
        return None
    local = pc.utf8_slice_codeunits(texts, 0, -3) if codec.arrow.tz else texts
    return local.cast(pa.timestamp("us")).cast(pa.int64()).cast(codec.arrow)


def _date(texts: Any, codec: Codec) -> pa.Array | None:
    return None if pc.any(pc.starts_with(texts, "0000")).as_py() else texts.cast(codec.arrow)


def _uuid(texts: Any, codec: Codec) -> pa.Array:
    raw = bytes.fromhex("".join(pc.replace_substring(texts, "-", "").to_pylist()))
    storage = pa.Array.from_buffers(pa.binary(16), len(texts), [None, pa.py_buffer(raw)])
    return pa.ExtensionArray.from_storage(codec.arrow, storage)


def _bytes(texts: Any, codec: Codec) -> pa.Array:
    return pa.array([bytes.fromhex(text[2:]) for text in texts.to_pylist()], codec.arrow)


_CONVERTERS: dict[str, Callable[[Any, Codec], pa.Array | None]] = {
    "bool": _bool,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "uuid": _uuid,
    "bytes": _bytes,
}
