"""Array literals, `{1,NULL,"a b"}` or `[2:3]={…}`, to nested lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cdc.errors import DecodeError
from cdc.native.unrepresentable import UnrepresentablePolicy
from cdc_source_postgres.schema.codec import Codec
from cdc_source_postgres.wire import codes

_BOUNDS = re.compile(r"(?:\[(-?[0-9]+):(-?[0-9]+)\])+=")
_LOWER = re.compile(r"\[(-?[0-9]+):")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
MAX_DIMENSIONS = 6


def parse_array(text: str, codec: Codec, element: Callable[[str], Any], policy: UnrepresentablePolicy) -> Any:
    """Nested lists of parsed elements, `codec.dims` deep; other shapes are refused."""
    bounds = _BOUNDS.match(text)
    if bounds is not None and any(int(low) != 1 for low in _LOWER.findall(bounds[0])):
        return policy.refuse(codes.ARRAY_BOUNDS)
    body = text[bounds.end() :] if bounds is not None else text
    if body == "{}":
        return []
    depth = len(body) - len(body.lstrip("{"))
    if depth != codec.dims:
        if not 1 <= depth <= MAX_DIMENSIONS:
            raise _malformed()
        return policy.refuse(codes.ARRAY_DIMENSIONS)
    return _Parser(body, codec.delimiter, element, codec.dims).parse()


def _malformed() -> DecodeError:
    return DecodeError("text that is not an array")


class _Parser:
    """One pass over one literal."""

    def __init__(self, text: str, delimiter: str, element: Callable[[str], Any], dims: int) -> None:
        self._text = text
        self._at = 0
        self._delimiter = delimiter
        self._element = element
        self._dims = dims
        self._bare = re.compile(rf"[^{{}}\"\\{re.escape(delimiter)}\s]+", re.ASCII)
        # Arrays are rectangular: the length of each level, once seen, is that of all its lists.
        self._lengths: list[int | None] = [None] * dims

    def parse(self) -> list[Any]:
        values = self._level(0)
        if self._at != len(self._text):
            raise _malformed()
        return values

    def _level(self, level: int) -> list[Any]:
        self._expect("{")
        items: list[Any] = []
        while True:
            items.append(self._level(level + 1) if level + 1 < self._dims else self._item())
            if self._text.startswith("}", self._at):
                self._at += 1
                break
            self._expect(self._delimiter)
        expected = self._lengths[level]
        if expected is not None and expected != len(items):
            raise _malformed()
        self._lengths[level] = len(items)
        return items

    def _expect(self, sign: str) -> None:
        if not self._text.startswith(sign, self._at):
            raise _malformed()
        self._at += len(sign)

    def _item(self) -> Any:
        quoted = _QUOTED.match(self._text, self._at)
        if quoted is not None:
            self._at = quoted.end()
            return self._element(_ESCAPE.sub(r"\1", quoted[1]))
        bare = self._bare.match(self._text, self._at)
        if bare is None:
            raise _malformed()
        self._at = bare.end()
        return None if bare[0] == "NULL" else self._element(bare[0])
