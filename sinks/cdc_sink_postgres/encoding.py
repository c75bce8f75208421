"""Arrow columns in the binary format of COPY, a whole column at once, without a Python object per row."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc import native
from cdc.deferred import compute as pc
from cdc.errors import SinkRefused
from cdc.native.rowwise_python import Offsets, RowField
from cdc_sink_postgres.numerics import from_decimals, from_uint64

HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!ii", 0, 0)
TRAILER = struct.pack("!h", -1)
# Rows that are encoded together: enough for numpy, few enough to stay in the processor's cache.
BLOCK_ROWS = 8192
# So much of wide rows is in memory twice at a time, beside one row that is wider.
BLOCK_BYTES = 8 * 2**20
# Postgres counts from 2000-01-01, Arrow from 1970-01-01.
_EPOCH_DAYS = 10_957
_EPOCH_US = _EPOCH_DAYS * 86_400_000_000
_JSONB_VERSION = b"\x01"
_NUL = re.compile(b"\x00")
# What replaces a NUL character with the option `nul: replace`.
NUL_SYMBOL = "\u2400"
_MODIFIER = re.compile(r"\([^)]*\)")
# Element type → its oid, which an array's binary form contains.
_OIDS = {
    "boolean": 16,
    "bytea": 17,
    "bigint": 20,
    "smallint": 21,
    "integer": 23,
    "text": 25,
    "json": 114,
    "real": 700,
    "double precision": 701,
    "date": 1082,
    "time": 1083,
    "timestamp": 1114,
    "timestamptz": 1184,
    "interval": 1186,
    "numeric": 1700,
    "uuid": 2950,
    "jsonb": 3802,
}
_MOST_DIMENSIONS = 6
_US_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}

# Takes an array without an offset of its own and gives its field, whose nulls the caller marks.
_Encoder = Callable[[Any], RowField]


def simple(kind: str) -> str:
    """Return the name of a type without its modifier: `numeric[]` for `numeric(12,2)[]`."""
    return _MODIFIER.sub("", kind)


def given_kind(of: pa.DataType) -> str | None:
    """Return the Postgres type that values of an Arrow type are staged in; None if there is none."""
    if isinstance(of, pa.BaseExtensionType):
        # Not as json, whose values the server cannot compare.
        return {"arrow.uuid": "uuid", "arrow.json": "text"}.get(of.extension_name)
    if pa.types.is_dictionary(of):
        return given_kind(of.value_type)
    if pa.types.is_decimal(of):
        return "numeric"
    if pa.types.is_timestamp(of) and of.unit != "ns":
        return "timestamptz" if of.tz else "timestamp"
    if pa.types.is_fixed_size_binary(of):
        return "bytea"
    if _is_list(of):
        depth, leaf = 0, of
        while _is_list(leaf):
            depth, leaf = depth + 1, leaf.value_type
        kind = given_kind(leaf)
        return None if kind is None or depth > _MOST_DIMENSIONS else f"{kind}[]"
    return _GIVEN.get(of)


_GIVEN: Mapping[Any, str] = {
    pa.null(): "text",
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.uint8(): "smallint",
    pa.int32(): "integer",
    pa.uint16(): "integer",
    pa.int64(): "bigint",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.large_string(): "text",
    pa.string_view(): "text",
    pa.binary(): "bytea",
    pa.large_binary(): "bytea",
    pa.binary_view(): "bytea",
    pa.date32(): "date",
    pa.time32("s"): "time",
    pa.time32("ms"): "time",
    pa.time64("us"): "time",
    pa.duration("s"): "interval",
    pa.duration("ms"): "interval",
    pa.duration("us"): "interval",
}


def is_direct(of: pa.DataType, kind: str) -> bool:
    """Return whether values of an Arrow type can be written as this Postgres type, without a cast."""
    given = given_kind(of)
    return given == simple(kind) or (given == "text" and kind in ("json", "jsonb"))


def encode(table: pa.Table, kinds: Sequence[str]) -> Iterator[bytes]:
    """Yield the data of a COPY of all rows into columns of these types.

    Raises:
        SinkRefused: a value has no binary form.
    """
    prefix = struct.pack("!h", table.num_columns)
    write = _writer()
    yield HEADER
    row_bytes = max(table.nbytes // max(table.num_rows, 1), 1)
    for batch in table.to_batches(max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes))):
        if batch.num_rows == 0:
            continue
        fields = [field_of(column, kind) for column, kind in zip(batch.columns, kinds, strict=True)]
        yield write(batch.num_rows, fields, prefix)[0]
    yield TRAILER


def field_of(array: Any, kind: str) -> RowField:
    """Return the values of an array as a field of a row."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        array = array.cast(pa.string())
    valid = None
    if array.null_count:
        valid = np.frombuffer(array.is_valid().cast(pa.uint8()).buffers()[1], np.uint8, len(array))
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    field = _encoder(array.type, kind)(array)
    return RowField(field.data, field.width, field.offsets, valid)


def _encoder(of: pa.DataType, kind: str) -> _Encoder:
    if kind.endswith("[]"):
        return lambda array: _lists(array, kind[:-2])
    found = _ENCODERS.get(simple(kind))
    if found is None or pa.types.is_nested(of):
        raise SinkRefused(f"values of the Arrow type {of} cannot be written as {kind}")
    return found


def _writer() -> Any:
    if native.implementation() == "c":
        from cdc.native.rowwise import rowwise  # noqa: PLC0415  (where it is built)

        return rowwise
    from cdc.native import rowwise_python  # noqa: PLC0415

    return rowwise_python.rowwise


def _fixed(values: npt.NDArray[Any]) -> RowField:
    return RowField(values.view(np.uint8).data if values.size else b"", values.dtype.itemsize)


def _plain(array: Any, dtype: Any) -> npt.NDArray[Any]:
    """Return the numbers of a primitive array; those of nulls are any."""
    size = np.dtype(dtype).itemsize
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(len(array), dtype)
    return np.frombuffer(buffer, dtype, len(array), array.offset * size)


def _number(wanted: str) -> _Encoder:
    def encode_numbers(array: Any) -> RowField:
        return _fixed(_plain(array, array.type.to_pandas_dtype()).astype(wanted))

    return encode_numbers


def _booleans(array: Any) -> RowField:
    return _fixed(_plain(array.cast(pa.uint8()), np.uint8))


def _dates(array: Any) -> RowField:
    days = _plain(array, np.int32)
    return _fixed(_shifted(days, array, _EPOCH_DAYS).astype(">i4"))


def _microseconds(array: Any) -> npt.NDArray[np.int64]:
    of = array.type
    values = _plain(array, np.int32 if pa.types.is_time32(of) else np.int64).astype(np.int64)
    factor = _US_PER[of.unit]
    if factor == 1:
        return values
    _require(array, np.abs(values) <= np.iinfo(np.int64).max // factor, "a time of more than 64 bits")
    return values * factor


def _timestamps(array: Any) -> RowField:
    return _fixed(_shifted(_microseconds(array), array, _EPOCH_US).astype(">i8"))


def _times(array: Any) -> RowField:
    return _fixed(_microseconds(array).astype(">i8"))


def _durations(array: Any) -> RowField:
    made = np.zeros((len(array), 2), ">i8")
    made[:, 0] = _microseconds(array)
    return RowField(made.tobytes(), 16)


def _shifted(values: npt.NDArray[Any], array: Any, epoch: int) -> npt.NDArray[Any]:
    """Count from the server's epoch; what would overflow, or be taken for infinity, is refused."""
    lowest = np.iinfo(values.dtype).min + epoch
    _require(array, values > lowest, "a time before those that PostgreSQL can store")
    return values - values.dtype.type(epoch)


def _require(array: Any, fine: npt.NDArray[np.bool_], what: str) -> None:
    if fine.all():
        return
    there = np.asarray(array.is_valid())
    if not (fine | ~there).all():
        raise SinkRefused(f"the column has {what}", remedy="Correct the value at the source.")


def _numerics(array: Any) -> RowField:
    if array.type == pa.uint64():
        return RowField(*from_uint64(_plain(array, np.uint64)))
    return RowField(*from_decimals(array))


def _texts(array: Any) -> RowField:
    field = _bytes(array)
    assert field.offsets is not None
    if _NUL.search(field.data, int(field.offsets[0]), int(field.offsets[-1])):
        raise has_nul()
    return field


def has_nul() -> SinkRefused:
    """Return the error for a text with a NUL character."""
    return SinkRefused(
        "a text has a NUL character, which PostgreSQL cannot store",
        remedy="Set `nul: replace` for this sink (each becomes ␀, U+2400), or exclude the column.",
    )


def _bytes(array: Any) -> RowField:
    of = array.type
    if pa.types.is_fixed_size_binary(of):
        buffer = array.buffers()[1]
        start = array.offset * of.byte_width
        end = start + len(array) * of.byte_width
        data = b"" if buffer is None else np.frombuffer(buffer, np.uint8)[start:end]
        return RowField(data, of.byte_width)
    if of in (pa.string_view(), pa.binary_view()):
        array = array.cast(pa.large_binary() if of == pa.binary_view() else pa.large_string())
        of = array.type
    is_large = pa.types.is_large_string(of) or pa.types.is_large_binary(of)
    return RowField(_data(array), offsets=_offsets(array, np.int64 if is_large else np.int32))


def _data(array: Any) -> Any:
    buffer = array.buffers()[-1]
    return b"" if buffer is None else np.frombuffer(buffer, np.uint8)


def _offsets(array: Any, dtype: Any) -> Offsets:
    buffer = array.buffers()[1]
    if buffer is None or buffer.size == 0:
        return np.zeros(len(array) + 1, np.int64)
    found = np.frombuffer(buffer, dtype, len(array) + 1, array.offset * np.dtype(dtype).itemsize)
    return found.astype(np.int64, copy=False)


def _jsonb(array: Any) -> RowField:
    marked = pc.binary_join_element_wise(
        pa.scalar(_JSONB_VERSION, pa.large_binary()),
        array.cast(pa.large_binary()),
        pa.scalar(b"", pa.large_binary()),
    )
    return _bytes(marked)


def _lists(array: Any, kind: str) -> RowField:
    """Arrays: their dimensions, then the elements, each with its length in front."""
    levels, leaf = _levels(array)
    dimensions = _dimensions(levels, array)
    starts = levels[0]
    for level in levels[1:]:
        starts = level[starts]
    first, last = int(starts[0]), int(starts[-1])
    elements = field_of(leaf.slice(first, last - first), kind)
    data, offsets = _writer()(last - first, [elements], b"", measured=True)
    assert offsets is not None
    bodies = pa.Array.from_buffers(
        pa.large_binary(),
        len(array),
        [None, pa.py_buffer(np.ascontiguousarray(offsets[starts - first])), pa.py_buffer(data)],
    )
    joined = pc.binary_join_element_wise(
        _array_headers(dimensions, starts, kind), bodies, pa.scalar(b"", pa.large_binary())
    )
    return _bytes(joined)


def _levels(array: Any) -> tuple[list[Offsets], Any]:
    """Return the offsets of each level of lists into the next, and the elements."""
    levels: list[Offsets] = []
    while _is_list(array.type):
        if pa.types.is_fixed_size_list(array.type):
            array = array.cast(pa.large_list(array.type.value_type))
        is_large = pa.types.is_large_list(array.type)
        if levels and array.null_count:
            raise _ragged()
        levels.append(_offsets(array, np.int64 if is_large else np.int32))
        array = array.values
    return levels, array


def _dimensions(levels: Sequence[Offsets], array: Any) -> npt.NDArray[np.int64]:
    """Return the lengths of each array in each of its dimensions, which are equal all over it."""
    outer = levels[0]
    count = len(outer) - 1
    made = np.zeros((count, len(levels)), np.int64)
    made[:, 0] = np.diff(outer)
    if array.null_count:
        made[~np.asarray(array.is_valid()), 0] = 0
    starts = outer
    for place, level in enumerate(levels[1:], 1):
        lengths = np.diff(level)
        here = starts[:-1][made[:, 0] > 0]
        made[made[:, 0] > 0, place] = lengths[here]
        whole = np.repeat(made[:, place], np.diff(starts))
        if (lengths[starts[0] : starts[-1]] != whole).any() or (made[made[:, 0] > 0, place] == 0).any():
            raise _ragged()
        starts = level[starts]
    return made


def _array_headers(dimensions: npt.NDArray[np.int64], starts: Offsets, kind: str) -> Any:
    depth = dimensions.shape[1]
    filled = np.diff(starts) > 0
    made = np.zeros((len(filled), 3 + 2 * depth), ">i4")
    made[:, 0] = np.where(filled, depth, 0)
    made[:, 2] = _OIDS[simple(kind)]
    made[:, 3::2] = dimensions
    made[:, 4::2] = 1
    # An empty array has no dimension.
    sizes = np.where(filled, 4 * made.shape[1], 12)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    rows = made.view(np.uint8).reshape(len(filled), 4 * made.shape[1])
    kept = np.arange(rows.shape[1])[None, :] < sizes[:, None]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(rows[kept].tobytes())]
    return pa.Array.from_buffers(pa.large_binary(), len(filled), buffers)


def _ragged() -> SinkRefused:
    return SinkRefused(
        "an array has inner arrays of different lengths, which PostgreSQL cannot store",
        remedy="Exclude the column at the source.",
    )


def _is_list(of: pa.DataType) -> bool:
    return bool(pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of))


_ENCODERS: Mapping[str, _Encoder] = {
    "boolean": _booleans,
    "smallint": _number(">i2"),
    "integer": _number(">i4"),
    "bigint": _number(">i8"),
    "real": _number(">f4"),
    "double precision": _number(">f8"),
    "numeric": _numerics,
    "text": _texts,
    "bytea": _bytes,
    "json": _texts,
    "jsonb": _jsonb,
    "date": _dates,
    "time": _times,
    "timestamp": _timestamps,
    "timestamptz": _timestamps,
    "interval": _durations,
    "uuid": _bytes,
}
