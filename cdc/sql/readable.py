"""Convert Arrow columns to forms that targets read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.deferred import compute as pc


def by_chunk(column: Any, convert: Callable[[Any], Any]) -> Any:
    """Convert an array, or each chunk of a chunked one."""
    if not isinstance(column, pa.ChunkedArray):
        return convert(column)
    return pa.chunked_array([convert(chunk) for chunk in column.chunks or [pa.nulls(0, column.type)]])


def decimal_text(array: Any) -> Any:
    """Plain digits; Arrow writes small numbers as 1E-10, so those few are written again."""
    text = array.cast(pa.string())
    odd = np.flatnonzero(np.asarray(pc.fill_null(pc.match_substring(text, "E"), fill_value=False)))
    if len(odd) == 0:
        return text
    plain = pa.array([format(array[i].as_py(), "f") for i in odd.tolist()], pa.string())
    mask = np.zeros(len(text), np.bool_)
    mask[odd] = True
    return pc.replace_with_mask(text, pa.array(mask), plain)
