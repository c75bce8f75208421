"""Geometric types as text, exactly as the server renders them."""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor
from cdc_source_postgres.wire.render.floats import float8_text

_POINT_BYTES = 16


def point_text(data: bytes) -> str:
    return _exact(data, 1)[0]


def lseg_text(data: bytes) -> str:
    return f"[{','.join(_exact(data, 2))}]"


def box_text(data: bytes) -> str:
    return ",".join(_exact(data, 2))


def path_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    closed, count = cursor.u8(), cursor.i32()
    points = ",".join(_points(cursor, count))
    return f"({points})" if closed else f"[{points}]"


def polygon_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    return f"({','.join(_points(cursor, cursor.i32()))})"


def line_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    coefficients = [float8_text(cursor.f64()) for _ in range(3)]
    cursor.finish()
    return f"{{{','.join(coefficients)}}}"


def circle_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    x, y, radius = (float8_text(cursor.f64()) for _ in range(3))
    cursor.finish()
    return f"<({x},{y}),{radius}>"


def _exact(data: bytes, count: int) -> list[str]:
    return _points(BigEndianCursor(data), count)


def _points(cursor: BigEndianCursor, count: int) -> list[str]:
    """The rest of the value: `count` points and nothing more."""
    if count * _POINT_BYTES != cursor.left:
        message = f"a shape of {count} points in {cursor.left} bytes"
        raise DecodeError(message)
    return [f"({float8_text(cursor.f64())},{float8_text(cursor.f64())})" for _ in range(count)]
