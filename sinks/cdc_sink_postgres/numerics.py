"""Decimals and unsigned integers as the server's binary `numeric`: digits of base 10,000, for a whole column
at once.

Each value of a column has the same number of digits, with zeros in front and behind: the server removes
them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_BASE = 10_000
_BASE_DIGITS = 4
_NEGATIVE = 0x4000
# Decimals up to this precision fit into 64 bits.
_LONG_PRECISION = 18
_WORD_BITS = 32
_HEADER_WORDS = 4
# Of an unsigned integer of 64 bits: 20 decimal digits.
UINT64_PRECISION = 20

Words = npt.NDArray[Any]


def from_decimals(array: Any) -> tuple[bytes, int]:
    """Return the values of a decimal array (nulls: any number), and the bytes of each."""
    kind = array.type
    wide = array if pa.types.is_decimal256(kind) or pa.types.is_decimal128(kind) else _widened(array)
    size = 32 if pa.types.is_decimal256(wide.type) else 16
    words = np.frombuffer(wide.buffers()[1], np.uint32, len(wide) * size // 4, wide.offset * size)
    words = words.reshape(len(wide), size // 4)
    negative = (words[:, -1] >> (_WORD_BITS - 1)).astype(bool)
    if kind.precision <= _LONG_PRECISION:
        low = np.ascontiguousarray(words[:, :2]).view(np.int64)[:, 0]
        return _digits_of(_LongDivision(np.abs(low)), negative, kind.precision, kind.scale)
    return _digits_of(_LongWords(words, negative), negative, kind.precision, kind.scale)


def from_uint64(values: npt.NDArray[np.uint64]) -> tuple[bytes, int]:
    """Return the values of an array of unsigned integers, and the bytes of each."""
    positive = np.zeros(len(values), bool)
    return _digits_of(_LongDivision(values), positive, UINT64_PRECISION, 0)


def _widened(array: Any) -> Any:
    return array.cast(pa.decimal128(array.type.precision, array.type.scale))


class _LongDivision:
    """Magnitudes of 64 bits that are divided down."""

    def __init__(self, values: Words) -> None:
        self._left = values

    def take(self, divisor: int) -> Words:
        """Divide, and return the remainders."""
        quotient = self._left // self._left.dtype.type(divisor)
        rest = self._left - quotient * self._left.dtype.type(divisor)
        self._left = quotient
        return rest


class _LongWords:
    """The same for magnitudes of 128 or 256 bits, in words of 32 bits."""

    def __init__(self, words: Words, negative: Words) -> None:
        self._words = [words[:, i].astype(np.uint64) for i in range(words.shape[1])]
        carry = negative.astype(np.uint64)
        mask = np.uint64(0xFFFFFFFF)
        flip = np.where(negative, mask, np.uint64(0))
        for i, word in enumerate(self._words):
            total = (word ^ flip) + carry
            self._words[i], carry = total & mask, total >> np.uint64(_WORD_BITS)

    def take(self, divisor: int) -> Words:
        """Divide, and return the remainders."""
        by = np.uint64(divisor)
        rest = np.zeros(len(self._words[0]), np.uint64)
        while len(self._words) > 1 and not self._words[-1].any():
            self._words.pop()
        for i in range(len(self._words) - 1, -1, -1):
            current = (rest << np.uint64(_WORD_BITS)) | self._words[i]
            self._words[i] = current // by
            rest = current - self._words[i] * by
        return rest


def _digits_of(
    magnitudes: _LongDivision | _LongWords, negative: Words, precision: int, scale: int
) -> tuple[bytes, int]:
    fraction = -(-scale // _BASE_DIGITS)
    whole = max(-(-(precision - scale) // _BASE_DIGITS), 0)
    count = fraction + whole
    made = np.zeros((len(negative), _HEADER_WORDS + count), ">u2")
    made[:, 0] = count
    made[:, 1] = np.uint16((whole - 1) & 0xFFFF)
    made[:, 2] = np.where(negative, _NEGATIVE, 0)
    made[:, 3] = scale
    place = _HEADER_WORDS + count - 1
    partial = scale % _BASE_DIGITS
    if partial:
        # The last digit holds fewer than four decimals.
        made[:, place] = magnitudes.take(10**partial) * (10 ** (_BASE_DIGITS - partial))
        place -= 1
    while place >= _HEADER_WORDS:
        made[:, place] = magnitudes.take(_BASE)
        place -= 1
    return made.tobytes(), 2 * (_HEADER_WORDS + count)
