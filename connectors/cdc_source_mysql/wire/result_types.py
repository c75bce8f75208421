"""The types that columns have in a binary result set."""

from __future__ import annotations

# Type codes of result columns; what isn't here has a length in front.
FIXED_BYTES = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 8: 8, 9: 4, 13: 2}
TEMPORAL = frozenset({7, 10, 11, 12})
_TINY, _SHORT, _LONG, _FLOAT, _DOUBLE, _LONGLONG, _INT24, _YEAR = 1, 2, 3, 4, 5, 8, 9, 13
_TIMESTAMP, _DATE, _TIME, _DATETIME, _BIT = 7, 10, 11, 12, 16
_NEWDECIMAL = 246
# The types that a column of a kind may have in a result set; kinds that aren't here come as bytes. MariaDB
# gives small unsigned numbers as INT.
EXPECTED: dict[str, frozenset[int]] = {
    "int8": frozenset({_TINY}),
    "int16": frozenset({_SHORT}),
    "int24": frozenset({_INT24}),
    "int32": frozenset({_LONG}),
    "int64": frozenset({_LONGLONG}),
    "float32": frozenset({_FLOAT}),
    "float64": frozenset({_DOUBLE}),
    "decimal": frozenset({_NEWDECIMAL}),
    "year": frozenset({_YEAR}),
    "bool": frozenset({_BIT}),
    "bit": frozenset({_BIT}),
    "date": frozenset({_DATE}),
    "datetime": frozenset({_DATETIME}),
    "datetime_old": frozenset({_DATETIME}),
    "timestamp": frozenset({_TIMESTAMP}),
    "timestamp_old": frozenset({_TIMESTAMP}),
    "time": frozenset({_TIME}),
    "time_old": frozenset({_TIME}),
    "enum": frozenset({_LONG, _LONGLONG}),
    "set": frozenset({_LONG, _LONGLONG}),
}


def is_expected(kind: str, code: int) -> bool:
    """Whether a column of that kind can come as that type."""
    expected = EXPECTED.get(kind)
    if expected is None:
        return code not in FIXED_BYTES and code not in TEMPORAL
    return code in expected
