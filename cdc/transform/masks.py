"""Masks: Arrow column in, Arrow column out, null stays null.

`hash` and `tokenise` are keyed: without the key nobody can try which value gives a hash. They call Python
once for each distinct value of a batch, all else is Arrow's kernels.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.transform.canonical import distinct, has_text, name_of, texts
from cdc.transform.settings import KeepLast, Mask, TruncateMask

REDACTED = "REDACTED"
# Of one length for every value, so that it does not show how long the hidden part was.
HIDDEN = "***"
_BLOCK_BYTES = 64
_DIGITS, _LETTERS, _CAPITALS = string.digits, string.ascii_lowercase, string.ascii_uppercase
# Days since 1970 of the years that Arrow's calendar knows; it would wrap around beyond.
_CALENDAR_DAYS = (-12687428, 11248737)
_DAY_MICROSECONDS = 86_400_000_000

Kind = Literal["hash", "redact", "tokenise", "keep_last", "truncate"]


class KeyedHash:
    """HMAC-SHA-256, with the key's part of the work done once."""

    def __init__(self, key: bytes) -> None:
        padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def digest(self, value: bytes) -> bytes:
        """The HMAC of one value."""
        inner = self._inner.copy()
        inner.update(value)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def hashes(self, values: Sequence[bytes]) -> list[str]:
        """The HMAC of each value, in hexadecimal: `digest` without its calls."""
        fresh_inner, fresh_outer = self._inner.copy, self._outer.copy
        found = []
        for value in values:
            inner, outer = fresh_inner(), fresh_outer()
            inner.update(value)
            outer.update(inner.digest())
            found.append(outer.hexdigest())
        return found

    def tokens(self, values: Sequence[bytes]) -> list[str]:
        """Each text with every letter and digit replaced by one of its kind; all else stays where it is."""
        return [self._token(value) for value in values]

    def _token(self, text: bytes) -> str:
        shown = text.decode()
        choices = b""
        while len(choices) < len(shown):
            # The prefix keeps these apart from hashes of any value.
            choices += self.digest(b"token\0" + len(choices).to_bytes(4, "big") + text)
        return "".join(map(_replaced, shown, choices))


@dataclass(frozen=True, slots=True)
class ColumnMask:
    """A mask made for a column: the Arrow type of what comes out, and the function."""

    kind: Kind
    type: pa.DataType
    apply: Callable[[pa.Array], pa.Array]

    @property
    def is_injective(self) -> bool:
        """Whether different values stay different, so that a key can be masked so."""
        return self.kind == "hash"


def make_mask(mask: Mask, type_: pa.DataType, key: KeyedHash | None) -> ColumnMask:
    """ValueError says why a column of that type can't be masked so. `drop` is no mask of a column."""
    if isinstance(mask, KeepLast):
        _require_text(mask, type_)
        return ColumnMask("keep_last", pa.string(), lambda values: _keep_last(values, mask.keep_last))
    if isinstance(mask, TruncateMask):
        return _truncate(mask, type_)
    if mask == "redact":
        if pa.types.is_string(type_) or pa.types.is_large_string(type_):
            return ColumnMask("redact", pa.string(), _redact)
        return ColumnMask("redact", type_, lambda values: pa.nulls(len(values), type_))
    assert key is not None, "the configuration requires a key"
    if mask == "tokenise":
        if not (pa.types.is_string(type_) or pa.types.is_large_string(type_)):
            message = f"tokenise works on texts, not on {name_of(type_)}"
            raise ValueError(message)
        return ColumnMask("tokenise", pa.string(), lambda values: _by_value(values, key.tokens))
    assert mask == "hash", "all other masks are made above"
    return ColumnMask("hash", pa.string(), lambda values: _by_value(values, key.hashes))


def _by_value(values: pa.Array, replace: Callable[[list[bytes]], list[str]]) -> pa.Array:
    """Every distinct value replaced by what the function gives for its canonical text."""
    found, indices = distinct(values)
    return pa.array(replace(texts(found, values.type)), pa.string()).take(indices)


def _redact(values: pa.Array) -> pa.Array:
    return pc.if_else(values.is_valid(), pa.scalar(REDACTED), pa.scalar(None, pa.string()))


def _keep_last(values: pa.Array, count: int) -> pa.Array:
    shown = _as_text(values)
    is_longer = pc.greater(pc.utf8_length(shown), count)
    end = pc.if_else(is_longer, pc.utf8_slice_codeunits(shown, -count), pa.scalar(""))
    return pc.binary_join_element_wise(pa.scalar(HIDDEN), end, "")


def _truncate(mask: TruncateMask, type_: pa.DataType) -> ColumnMask:
    length = mask.truncate
    if isinstance(length, int):
        _require_text(mask, type_)
        return ColumnMask(
            "truncate", pa.string(), lambda values: pc.utf8_slice_codeunits(_as_text(values), 0, length)
        )
    if not (pa.types.is_timestamp(type_) or (pa.types.is_date(type_) and length != "hour")):
        message = f"truncate: {length} works on dates and timestamps, not on {name_of(type_)}"
        raise ValueError(message)
    return ColumnMask("truncate", type_, lambda values: _floor(values, length))


def _floor(values: pa.Array, unit: str) -> pa.Array:
    days = values.cast(pa.int32()) if pa.types.is_date32(values.type) else None
    if days is None:
        days = pc.divide(values.cast(pa.timestamp("us")).cast(pa.int64()), _DAY_MICROSECONDS)
    low, high = _CALENDAR_DAYS
    is_known = pc.and_kleene(pc.greater(days, low), pc.less(days, high))
    safe = pc.if_else(is_known, values, pa.scalar(None, values.type))
    return pc.floor_temporal(safe, 1, unit)


def _as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_string(values.type):
        return values
    return _by_value(values, lambda found: [text.decode() for text in found])


def _require_text(mask: Any, type_: pa.DataType) -> None:
    if not has_text(type_):
        name = "keep_last" if isinstance(mask, KeepLast) else "truncate"
        kinds = "texts, whole numbers, decimals, dates, times and uuids"
        message = f"{name} works on {kinds}, not on {name_of(type_)}"
        raise ValueError(message)


def _replaced(character: str, choice: int) -> str:
    if "0" <= character <= "9":
        return _DIGITS[choice % 10]
    if character.isalnum():
        return (_CAPITALS if character.isupper() else _LETTERS)[choice % 26]
    return character
