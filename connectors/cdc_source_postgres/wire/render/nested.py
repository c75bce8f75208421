"""Arrays, composites, ranges and multiranges as text, exactly as the server renders them."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor
from cdc_source_postgres.schema.codec import Renderer

MAX_DIMENSIONS = 6
_COMPOSITE_SPECIAL = re.compile(r'["\\(),\s]', re.ASCII)
_RANGE_SPECIAL = re.compile(r'["\\()\[\],\s]', re.ASCII)
# Flags of a range: RANGE_EMPTY, RANGE_LB_INC, RANGE_UB_INC, RANGE_LB_INF, RANGE_UB_INF.
_EMPTY, _LOWER_INCLUSIVE, _UPPER_INCLUSIVE, _LOWER_INFINITE, _UPPER_INFINITE = 1, 2, 4, 8, 16
_RANGE_FLAGS = 0x1F


def array_shape(cursor: BigEndianCursor, *, shortest: int = 1) -> tuple[int, list[tuple[int, int]]]:
    """The element type's oid, and per dimension its length and lower bound; checked against the bytes left.

    An empty array has no dimensions; `shortest` is 0 for int2vector and oidvector, which then have one of
    length 0.
    """
    ndims, has_nulls, element = cursor.i32(), cursor.i32(), cursor.u32()
    if not 0 <= ndims <= MAX_DIMENSIONS or has_nulls not in {0, 1}:
        message = f"an array of {ndims} dimensions with flags {has_nulls}"
        raise DecodeError(message)
    shape = [(cursor.i32(), cursor.i32()) for _ in range(ndims)]
    # Every element has at least its length word, so a longer shape can't be true.
    if any(length < shortest for length, _ in shape) or _items(shape) * 4 > cursor.left:
        message = "an array whose dimensions do not fit its bytes"
        raise DecodeError(message)
    return element, shape


def _items(shape: list[tuple[int, int]]) -> int:
    return prod(length for length, _ in shape) if shape else 0


def array_renderer(element: Renderer, delimiter: str) -> Renderer:
    special = re.compile(rf'["\\{{}}{re.escape(delimiter)}\s]', re.ASCII)

    def render(data: bytes) -> str:
        cursor = BigEndianCursor(data)
        _, shape = array_shape(cursor)
        texts = [_array_element(cursor, element, special) for _ in range(_items(shape))]
        cursor.finish()
        if not shape:
            return "{}"
        bounds = "".join(f"[{low}:{low + length - 1}]" for length, low in shape)
        body = _braced(texts, [length for length, _ in shape], delimiter)
        return body if all(low == 1 for _, low in shape) else f"{bounds}={body}"

    return render


def _array_element(cursor: BigEndianCursor, element: Renderer, special: re.Pattern[str]) -> str:
    length = cursor.i32()
    if length == -1:
        return "NULL"
    text = element(cursor.take(length))
    if text and text.upper() != "NULL" and not special.search(text):
        return text
    doubled = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{doubled}"'


def _braced(texts: list[str], lengths: list[int], delimiter: str) -> str:
    for length in reversed(lengths):
        texts = ["{" + delimiter.join(texts[i : i + length]) + "}" for i in range(0, len(texts), length)]
    return texts[0]


def vector_renderer(element: Renderer) -> Renderer:
    """int2vector and oidvector: arrays that are written without braces."""

    def render(data: bytes) -> str:
        cursor = BigEndianCursor(data)
        _, shape = array_shape(cursor, shortest=0)
        texts = [element(cursor.take(cursor.i32())) for _ in range(_items(shape))]
        cursor.finish()
        return " ".join(texts)

    return render


def composite_renderer(renderer_of: Callable[[int], Renderer | None]) -> Renderer:
    """The fields' types come with the value, so that an attribute added later needs no new plan."""

    def render(data: bytes) -> str:
        cursor = BigEndianCursor(data)
        count = cursor.i32()
        # A field has at least its type and its length.
        if count < 0 or count * 8 > cursor.left:
            message = f"a composite of {count} fields in {cursor.left} bytes"
            raise DecodeError(message)
        fields = [_field(cursor, renderer_of) for _ in range(count)]
        cursor.finish()
        return f"({','.join(fields)})"

    return render


def _field(cursor: BigEndianCursor, renderer_of: Callable[[int], Renderer | None]) -> str:
    oid, length = cursor.u32(), cursor.i32()
    if length == -1:
        return ""
    data = cursor.take(length)
    renderer = renderer_of(oid)
    if renderer is None:
        message = f"a composite's field of type oid {oid}, whose binary form is not readable"
        raise DecodeError(message)
    return _doubled(renderer(data), _COMPOSITE_SPECIAL)


def _doubled(text: str, special: re.Pattern[str]) -> str:
    if text and not special.search(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '""')
    return f'"{escaped}"'


def range_renderer(bound: Renderer) -> Renderer:
    def render(data: bytes) -> str:
        cursor = BigEndianCursor(data)
        flags = cursor.u8()
        if flags & ~_RANGE_FLAGS:
            message = "a range with unknown flags"
            raise DecodeError(message)
        low = "" if flags & (_EMPTY | _LOWER_INFINITE) else _bound(cursor, bound)
        high = "" if flags & (_EMPTY | _UPPER_INFINITE) else _bound(cursor, bound)
        cursor.finish()
        if flags & _EMPTY:
            return "empty"
        left = "[" if flags & _LOWER_INCLUSIVE else "("
        right = "]" if flags & _UPPER_INCLUSIVE else ")"
        return f"{left}{low},{high}{right}"

    return render


def _bound(cursor: BigEndianCursor, bound: Renderer) -> str:
    return _doubled(bound(cursor.take(cursor.i32())), _RANGE_SPECIAL)


def multirange_renderer(range_: Renderer) -> Renderer:
    def render(data: bytes) -> str:
        cursor = BigEndianCursor(data)
        count = cursor.i32()
        # A range has at least its length and its flags.
        if count < 0 or count * 5 > cursor.left:
            message = f"a multirange of {count} ranges in {cursor.left} bytes"
            raise DecodeError(message)
        ranges = [range_(cursor.take(cursor.i32())) for _ in range(count)]
        cursor.finish()
        return f"{{{','.join(ranges)}}}"

    return render
