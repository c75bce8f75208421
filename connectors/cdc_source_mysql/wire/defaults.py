"""Puts the defaults of columns into the inserted rows that left them out (binlog_row_image=MINIMAL).

Until here such a row is gathered like an updated one: null in the columns that its image lacks, and marked
with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.native.gathered import CREATE, GatheredRows


def with_defaults(gathered: GatheredRows, columns: list[pa.Array], defaults: Sequence[Any]) -> list[pa.Array]:
    """The columns with the defaults in, which must be known; `gathered` no longer has marks for the rows."""
    marks = np.frombuffer(gathered.unchanged, np.int32)
    inserted = (np.frombuffer(gathered.ops, np.int8) == CREATE) & (marks >= 0)
    if not inserted.any():
        return columns
    filled = list(columns)
    for code in np.unique(marks[inserted]):
        rows = inserted & (marks == code)
        for at in gathered.unchanged_sets[code]:
            filled[at] = _put(filled[at], rows, defaults[at])
    rest = np.where(inserted, np.int32(-1), marks)
    gathered.unchanged = rest.tobytes() if (rest >= 0).any() else None
    return filled


def _put(column: pa.Array, rows: Any, value: Any) -> pa.Array:
    """The column with the value in these rows, which are null there."""
    if not value.is_valid:
        return column
    places = np.where(rows, len(column), np.arange(len(column)))
    return pa.concat_arrays([column, pa.array([value.as_py()], value.type)]).take(pa.array(places))
