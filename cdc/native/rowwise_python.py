"""Columns written row by row in numpy, and the fields that both implementations read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = bytes
Offsets = npt.NDArray[np.int64]
# The length of a null, and the most bytes that a field may have.
_NULL_LENGTH = 0xFFFFFFFF
_LONGEST = 0x7FFFFFFF


@dataclass(frozen=True, slots=True, eq=False)
class RowField:
    """One column: `data` are its values one after the other, each `width` bytes, or cut by `offsets` (one
    more than there are rows). `valid` has a byte a row, 0 for a null; None without nulls.
    """

    data: Any
    width: int = 0
    offsets: Offsets | None = None
    valid: npt.NDArray[np.uint8] | None = None


def rowwise(
    count: int, fields: Sequence[RowField], prefix: bytes, *, measured: bool = False
) -> tuple[bytes, Offsets | None]:
    """Return `count` rows: each is `prefix`, then every field with its length (32 bits, big-endian; -1 for a
    null) in front. If `measured`, the offsets of the rows, one more than there are rows, come with them.

    Raises:
        ValueError: a field's mask, data or offsets are not those of `count` rows.
    """
    for field in fields:
        _check(field, count)
    lengths = [_lengths(field, count) for field in fields]
    sizes = np.full(count, len(prefix) + 4 * len(fields), np.int64)
    for each in lengths:
        sizes += each
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    out = np.empty(int(starts[-1]), np.uint8)
    at = starts[:-1].copy()
    _scatter(out, at, np.tile(np.frombuffer(prefix, np.uint8), (count, 1)))
    at += len(prefix)
    for field, each in zip(fields, lengths, strict=True):
        told = each if field.valid is None else np.where(field.valid, each, _NULL_LENGTH)
        _scatter(out, at, told.astype(">u4").view(np.uint8).reshape(count, 4))
        at += 4
        _copy(out, at, field, each)
        at += each
    return out.tobytes(), starts if measured else None


def _check(field: RowField, count: int) -> None:
    size = len(memoryview(field.data))
    if field.valid is not None and len(field.valid) != count:
        raise ValueError("a field's mask is not as long as its column")
    if field.offsets is None:
        if field.width < 0 or field.width * count > size:
            raise ValueError("a field's data are shorter than its column")
        return
    if len(field.offsets) != count + 1:
        raise ValueError("a field's offsets are not those of its column")
    steps = np.diff(field.offsets)
    outside = field.offsets[0] < 0 or field.offsets[-1] > size
    if outside or (steps < 0).any() or (steps > _LONGEST).any():
        raise ValueError("a field's offsets point outside of its data")


def _lengths(field: RowField, count: int) -> Offsets:
    each = np.full(count, field.width, np.int64) if field.offsets is None else np.diff(field.offsets)
    return each if field.valid is None else np.where(field.valid, each, 0)


def _scatter(out: npt.NDArray[np.uint8], at: Offsets, block: npt.NDArray[np.uint8]) -> None:
    if block.size:
        out[at[:, None] + np.arange(block.shape[1])] = block


def _copy(out: npt.NDArray[np.uint8], at: Offsets, field: RowField, lengths: Offsets) -> None:
    """Copy each value that is there, byte by byte: all bytes of a column in one step."""
    total = int(lengths.sum())
    if total == 0:
        return
    data = np.frombuffer(memoryview(field.data), np.uint8)
    origin = np.arange(len(lengths)) * field.width if field.offsets is None else field.offsets[:-1]
    # Place within the value, for every byte.
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    out[np.repeat(at, lengths) + within] = data[np.repeat(origin, lengths) + within]
