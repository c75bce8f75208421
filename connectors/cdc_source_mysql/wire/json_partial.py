"""Partial updates of JSON columns: diffs applied to the document before, which gives the one after.

A row of PARTIAL_UPDATE_ROWS holds for such a column a sequence of diffs, all of which apply, in their order:
an operation, a path (`$.a[3]."k x"`), and for replace and insert a value in binary form. A path that leads
nowhere means that the document is not the one that the server had: DecodeError.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

import orjson

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor
from cdc_source_mysql.wire.json_binary import JsonObject, Node, parse, render

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
