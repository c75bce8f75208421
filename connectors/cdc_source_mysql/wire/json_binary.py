"""MySQL's binary JSON to the text that the server itself writes, and partial updates of it; the compiled twin
is `json.pyx`.

A document is a type byte and a body. Offsets count from the byte after the type, are not contiguous (updates
in place leave holes), and are checked against the enclosing value's size. No value is longer than what it is
made of: a document whose parts overlap is refused, so the text is never much longer than the document.

For a partial update, a row of PARTIAL_UPDATE_ROWS holds a sequence of diffs, all of which apply, in their
order: an operation, a path (`$.a[3]."k x"`), and for replace and insert a value in binary form. A path that
leads nowhere means that the document is not the one that the server had: DecodeError.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import orjson

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor
from cdc_source_mysql.wire.calendar import packed_date_text, packed_datetime_text, packed_time_text
from cdc_source_mysql.wire.decimals import decimal_text

# What the server itself allows.
MAX_DEPTH = 100
SMALL_OBJECT, LARGE_OBJECT, SMALL_ARRAY, LARGE_ARRAY, LITERAL = range(5)
INT16, UINT16, INT32, UINT32, INT64, UINT64, DOUBLE, STRING = range(5, 13)
OPAQUE = 15
# Types of the field that an opaque value came from.
_TIMESTAMP, _DATE, _TIME, _DATETIME, _DECIMAL = 7, 10, 11, 12, 246
_LITERALS = (b"null", b"true", b"false")
# Numbers outside are written with an exponent, unless they have digits after the point.
_MAX_POINT = 15
# The server breaks base64 into lines of 76 characters, and escapes the breaks as in any string.
_BASE64_LINE_BYTES = 57
_MAX_VARINT_BYTES = 5
_MAX_SIZE = 2**32 - 1

_NUMBERS = {
    INT16: struct.Struct("<h"),
    UINT16: struct.Struct("<H"),
    INT32: struct.Struct("<i"),
    UINT32: struct.Struct("<I"),
    INT64: struct.Struct("<q"),
    UINT64: struct.Struct("<Q"),
}
_TEMPORALS = {_DATE: packed_date_text, _TIME: packed_time_text}
_FLOAT8 = struct.Struct("<d")
_ESCAPED = re.compile(rb'["\\\x00-\x1f]')
_ESCAPES = {bytes([code]): b"\\u%04x" % code for code in range(0x20)}
_ESCAPES |= {b'"': b'\\"', b"\\": b"\\\\"}
_ESCAPES |= {b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}


class JsonObject:
    """Members in the order that the server keeps: by the key's length, then by its bytes."""

    __slots__ = ("members",)

    def __init__(self, members: list[tuple[bytes, Node]]) -> None:
        self.members = members


# A scalar is its text.
Node = bytes | list[Any] | JsonObject


def json_text(data: bytes) -> bytes:
    """The text of a document in binary form, as `cast(… as char)` gives it, in UTF-8 that isn't checked."""
    return render(parse(data))


def parse(data: bytes) -> Node:
    """The document as nodes. No bytes at all are null, as for the server."""
    if not data:
        return _LITERALS[0]
    return _Document(data).value(data[0], 1, len(data), 0)


def render(node: Node) -> bytes:
    parts: list[bytes] = []
    _render(node, parts)
    return b"".join(parts)


def quote(text: bytes) -> bytes:
    """The text as a JSON string."""
    return b'"%b"' % _ESCAPED.sub(lambda match: _ESCAPES[match[0]], text)


def _render(node: Node, parts: list[bytes]) -> None:
    if isinstance(node, bytes):
        parts.append(node)
    elif isinstance(node, list):
        parts.append(b"[")
        for index, item in enumerate(node):
            if index:
                parts.append(b", ")
            _render(item, parts)
        parts.append(b"]")
    else:
        parts.append(b"{")
        for index, (key, item) in enumerate(node.members):
            parts.append(b", " if index else b"")
            parts.append(quote(key))
            parts.append(b": ")
            _render(item, parts)
        parts.append(b"}")


class _Document:
    """One document; `value` reads the value of a type that lies between two offsets."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        # Every byte belongs to one value, so what is spent is never more than there is.
        self._budget = len(data)

    def value(self, kind: int, start: int, end: int, depth: int) -> Node:
        """The value whose body begins at `start`; it ends before `end`."""
        if kind <= LARGE_ARRAY:
            return self._container(kind, start, end, depth)
        if kind == LITERAL:
            return self._literal(self._take(start, 1, end)[0])
        number = _NUMBERS.get(kind)
        if number is not None:
            return b"%d" % number.unpack(self._take(start, number.size, end))[0]
        if kind == DOUBLE:
            return double_text(_FLOAT8.unpack(self._take(start, 8, end))[0])
        if kind == STRING:
            return quote(self._sized(start, end))
        if kind == OPAQUE:
            field_type = self._take(start, 1, end)[0]
            return opaque_text(field_type, self._sized(start + 1, end))
        message = f"a JSON value of the unknown type {kind}"
        raise DecodeError(message)

    def _container(self, kind: int, start: int, end: int, depth: int) -> Node:
        if depth >= MAX_DEPTH:
            message = f"a JSON document of more than {MAX_DEPTH} levels"
            raise DecodeError(message)
        width = 4 if kind in {LARGE_OBJECT, LARGE_ARRAY} else 2
        head = self._take(start, 2 * width, end)
        count = int.from_bytes(head[:width], "little")
        size = int.from_bytes(head[width:], "little")
        if size > end - start:
            message = "a JSON object or array that is longer than its place"
            raise DecodeError(message)
        end = start + size
        is_object = kind in {SMALL_OBJECT, LARGE_OBJECT}
        entries = start + 2 * width
        if not is_object:
            return [self._entry(entries + i * (1 + width), start, end, width, depth) for i in range(count)]
        values = entries + count * (width + 2)
        members = []
        for i in range(count):
            key = self._key(entries + i * (width + 2), start, end, width)
            members.append((key, self._entry(values + i * (1 + width), start, end, width, depth)))
        return JsonObject(members)

    def _key(self, at: int, start: int, end: int, width: int) -> bytes:
        entry = self._take(at, width + 2, end)
        offset = int.from_bytes(entry[:width], "little")
        return self._take(start + offset, int.from_bytes(entry[width:], "little"), end)

    def _entry(self, at: int, start: int, end: int, width: int, depth: int) -> Node:
        entry = self._take(at, 1 + width, end)
        kind = entry[0]
        if kind == LITERAL:
            return self._literal(entry[1])
        if kind in {INT16, UINT16} or (width == 4 and kind in {INT32, UINT32}):
            return b"%d" % _NUMBERS[kind].unpack_from(entry, 1)[0]
        return self.value(kind, start + int.from_bytes(entry[1:], "little"), end, depth + 1)

    def _literal(self, code: int) -> bytes:
        if code >= len(_LITERALS):
            message = f"the unknown JSON literal {code}"
            raise DecodeError(message)
        return _LITERALS[code]

    def _sized(self, start: int, end: int) -> bytes:
        """Bytes after a length of seven bits a byte."""
        size = 0
        for i in range(_MAX_VARINT_BYTES):
            byte = self._take(start + i, 1, end)[0]
            size |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                break
        else:
            size = _MAX_SIZE + 1
        if size > _MAX_SIZE:
            message = "a JSON string whose length has more than 32 bits"
            raise DecodeError(message)
        return self._take(start + i + 1, size, end)

    def _take(self, start: int, count: int, end: int) -> bytes:
        if count > end - start:
            message = f"{count} bytes of a JSON value expected, {max(end - start, 0)} are left"
            raise DecodeError(message)
        self._budget -= count
        if self._budget < 0:
            message = "a JSON document whose parts overlap"
            raise DecodeError(message)
        return self._data[start : start + count]


def double_text(value: float) -> bytes:
    """The shortest digits that give the number again, always with a point or an exponent."""
    if not math.isfinite(value):
        message = "a JSON number that is not finite"
        raise DecodeError(message)
    sign, digits, point = _shortest(value)
    if -_MAX_POINT < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    elif 0 < point <= _MAX_POINT or 0 < point < len(digits):
        whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
        text = f"{whole}.{fraction or '0'}"
    else:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        text = f"{digits[0]}{fraction}e{point - 1}"
    return f"{sign}{text}".encode()


def _shortest(value: float) -> tuple[str, str, int]:
    """Sign, significant digits, and the power of ten of the point before them."""
    mantissa, exponent = f"{value!r}e0".split("e")[:2]
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) + int(exponent)
    digits = digits.rstrip("0")
    return (sign, digits, point) if digits else (sign, "0", 1)


def opaque_text(field_type: int, data: bytes) -> bytes:
    """A value of a type that JSON doesn't have."""
    if field_type == _DECIMAL:
        if len(data) < 2:
            message = "a JSON decimal without its precision and scale"
            raise DecodeError(message)
        return decimal_text(data[2:], data[0], data[1])
    if field_type in {_TIMESTAMP, _DATETIME, _DATE, _TIME}:
        if len(data) != 8:
            message = f"8 bytes expected, {len(data)} came"
            raise DecodeError(message)
        packed = int.from_bytes(data, "little", signed=True)
        render_packed = _TEMPORALS.get(field_type, packed_datetime_text)
        return f'"{render_packed(packed)}"'.encode()
    lines = [
        base64.b64encode(data[at : at + _BASE64_LINE_BYTES]) for at in range(0, len(data), _BASE64_LINE_BYTES)
    ]
    return b'"base64:type%d:%b"' % (field_type, b"\\n".join(lines))


_REPLACE, _INSERT, _REMOVE = range(3)
_LEG = re.compile(
    rb'\.\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>[^.\[\s"*]+))|\[\s*(?P<last>last\s*(?:-\s*)?)?(?P<cell>[0-9]*)\s*\]',
    re.DOTALL,
)
# Lengths over 250 have a marker and so many bytes.
_LENGTH_BYTES = {252: 2, 253: 3, 254: 8}

# A member's name; or a cell's number and whether it counts from the end.
Leg = bytes | tuple[int, bool]


def patched_text(before: bytes, diffs: bytes) -> bytes:
    """The text of the document `before` (binary form) with the diffs applied; both without their lengths."""
    root = parse(before)
    cursor = BigEndianCursor(diffs)
    while cursor.left:
        operation = cursor.u8()
        legs = parse_path(cursor.take(_length(cursor)))
        value = parse(cursor.take(_length(cursor))) if operation in {_REPLACE, _INSERT} else None
        root = _apply(root, operation, legs, value)
    return render(root)


def parse_path(path: bytes) -> list[Leg]:
    """The legs of a path that the server wrote."""
    if path[:1] != b"$":
        raise _unreadable()
    return list(_legs(path))


def _legs(path: bytes) -> Iterator[Leg]:
    at = 1
    while at < len(path):
        match = _LEG.match(path, at)
        if match is None:
            raise _unreadable()
        at = match.end()
        if match["name"] is not None:
            yield match["name"]
        elif match["quoted"] is not None:
            yield _unquoted(match["quoted"])
        elif match["last"] is not None:
            yield int(match["cell"] or b"0"), True
        elif match["cell"]:
            yield int(match["cell"]), False
        else:
            raise _unreadable()


def _unquoted(text: bytes) -> bytes:
    try:
        name = orjson.loads(b'"%b"' % text)
    except orjson.JSONDecodeError:
        raise _unreadable() from None  # The cause would carry the value.
    return str(name).encode()


def _unreadable() -> DecodeError:
    return DecodeError("a JSON path that is not in the server's form")


def _misled() -> DecodeError:
    return DecodeError("a partial update of a JSON document that is not the one before it")


def _apply(root: Node, operation: int, legs: list[Leg], value: Node | None) -> Node:
    """The root after one diff."""
    if operation > _REMOVE:
        message = f"the unknown JSON operation {operation}"
        raise DecodeError(message)
    if not legs:
        if operation != _REPLACE or value is None:
            raise _misled()
        return value
    parent = root
    for leg in legs[:-1]:
        parent = _step(parent, leg)
    if operation == _REPLACE and _is_itself(parent, legs[-1]):
        return _apply(root, operation, legs[:-1], value)
    if isinstance(parent, list):
        _change_array(parent, operation, legs[-1], value)
    elif isinstance(parent, JsonObject):
        _change_object(parent, operation, legs[-1], value)
    else:
        raise _misled()
    return root


def _step(node: Node, leg: Leg) -> Node:
    if isinstance(node, list) and isinstance(leg, tuple):
        index = _position(node, leg)
        if index < len(node):
            return node[index]
    elif isinstance(node, JsonObject) and isinstance(leg, bytes):
        index = _find(node, leg)
        if index < len(node.members) and node.members[index][0] == leg:
            return node.members[index][1]
    elif _is_itself(node, leg):
        return node
    raise _misled()


def _is_itself(node: Node, leg: Leg) -> bool:
    """Return whether the leg means the node itself: a node that is no array counts as an array of one."""
    return not isinstance(node, list) and isinstance(leg, tuple) and leg[0] == 0


def _change_array(array: list[Node], operation: int, leg: Leg, value: Node | None) -> None:
    if not isinstance(leg, tuple):
        raise _misled()
    index = _position(array, leg)
    if operation == _INSERT and value is not None:
        # Beyond the end is at the end.
        array.insert(index, value)
    elif index >= len(array):
        raise _misled()
    elif value is None:
        del array[index]
    else:
        array[index] = value


def _change_object(owner: JsonObject, operation: int, leg: Leg, value: Node | None) -> None:
    if not isinstance(leg, bytes):
        raise _misled()
    index = _find(owner, leg)
    is_there = index < len(owner.members) and owner.members[index][0] == leg
    if is_there == (operation == _INSERT):
        raise _misled()
    if operation == _INSERT and value is not None:
        owner.members.insert(index, (leg, value))
    elif value is None:
        del owner.members[index]
    else:
        owner.members[index] = (leg, value)


def _position(array: list[Node], leg: tuple[int, bool]) -> int:
    cell, is_from_end = leg
    return max(len(array) - 1 - cell, 0) if is_from_end else cell


def _find(owner: JsonObject, key: bytes) -> int:
    """Where the key is, or would be."""
    return bisect_left(owner.members, (len(key), key), key=lambda member: (len(member[0]), member[0]))


def _length(cursor: BigEndianCursor) -> int:
    """A length in the protocol's form."""
    first = cursor.u8()
    if first < 251:
        return first
    size = _LENGTH_BYTES.get(first)
    if size is None:
        message = f"a length that begins with {first:#x}"
        raise DecodeError(message)
    return int.from_bytes(cursor.take(size), "little")
