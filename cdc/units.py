"""Durations and sizes as people write them in a config: `30s`, `7d`, `128MiB`, `20GiB`.

A number without a unit is refused (seconds or minutes? bytes or megabytes?), except 0, which means the same
in all of them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)
_DURATION_PATTERN = r"^\s*(0|\d+(\.\d+)?\s*(ms|s|m|h|d))\s*$"
_SIZE_PATTERN = r"^\s*(0|\d+(\.\d+)?\s*([kKmMgGtT][iI]?)?[bB])\s*$"

# A duration that timedelta and every timeout of the libraries below can hold: 100 years.
_LONGEST_SECONDS = 100 * 365.25 * 86400
# What an int64 offset or counter can hold.
_LARGEST_BYTES = 2**63 - 1


def parse_duration(text: str) -> timedelta:
    """`250ms`, `30s`, `5m`, `1.5h`, `7d` or `0`; ValueError for anything else."""
    number, unit = _split(text, "duration", "30s, 5m, 1h or 7d")
    if unit == "" and number == 0:
        return timedelta(0)
    if unit not in _DURATION_UNITS:
        raise ValueError(_bad_unit(text, unit, "ms, s, m, h or d", "30s"))
    seconds = number * _DURATION_UNITS[unit]
    if seconds > _LONGEST_SECONDS:
        message = f"the duration {text!r} is longer than 100 years"
        raise ValueError(message)
    return timedelta(seconds=seconds)


def parse_size(text: str) -> int:
    """`64KiB`, `128MiB`, `20GiB` (powers of 1024), `128MB` (powers of 1000) or `0`; else ValueError."""
    number, unit = _split(text, "size", "128MiB or 20GiB")
    if unit == "" and number == 0:
        return 0
    factor = _SIZE_UNITS.get(unit.lower())
    if factor is None:
        raise ValueError(_bad_unit(text, unit, "B, KiB, MiB, GiB or TiB (or KB, MB, GB, TB)", "128MiB"))
    size = round(number * factor)
    if size > _LARGEST_BYTES:
        message = f"the size {text!r} is over 8 EiB"
        raise ValueError(message)
    return size


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as the same value (to a millisecond)."""
    milliseconds = round(value.total_seconds() * 1000)
    if milliseconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(milliseconds, round(_DURATION_UNITS[unit] * 1000))
        if rest == 0:
            return f"{count}{unit}"
    return f"{milliseconds}ms"


def format_size(value: int) -> str:
    """The shortest text in powers of 1024 that `parse_size` reads back as the same value."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value and value % unit == 0:
            return f"{value // unit}{name}"
    return f"{value}B"


def _split(text: str, kind: str, examples: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a {kind}: write a number and a unit, such as {examples}"
        raise ValueError(message)
    return float(match[1]), match[2]


def _bad_unit(text: str, unit: str, units: str, example: str) -> str:
    if unit:
        return f"{text!r} has the unknown unit {unit!r}: use {units}"
    return f"{text!r} has no unit: write it with {units}, such as {example}"


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    return parse_duration(_as_text(value, "duration", "30s"))


def _size(value: Any) -> Any:
    return parse_size(_as_text(value, "size", "128MiB"))


def _as_text(value: Any, kind: str, example: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        message = f"a {kind} is written as text with a unit, such as {example}"
        raise ValueError(message)  # noqa: TRY004  (pydantic reports ValueError only)
    return str(value)


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    Field(ge=timedelta(0)),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION_PATTERN, "examples": ["30s", "5m", "7d"]}),
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(ge=0),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _SIZE_PATTERN, "examples": ["128MiB", "20GiB"]}),
]
