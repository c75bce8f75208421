"""Floating point numbers as the server writes them: the shortest text that reads back to the same number.

The server's algorithm (Ryu, not "strictly shortest") never takes a decimal that lies exactly half way to
the next number, while Python's repr does; and it changes to an exponent earlier.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

# From these exponents on the server writes 1e+15 and 1e+06.
FLOAT8_EXPONENT = 15
FLOAT4_EXPONENT = 6
_SMALLEST_EXPONENT = -4
# A decimal of up to 17 digits can lie half way between two doubles only in this range.
_HALFWAY_RANGE = (1e8, 1e42)
_FLOAT4_HALFWAY_RANGE = (1e6, 1e20)


def float8_text(value: float) -> str:
    special = _special(value)
    if special is not None:
        return special
    text = repr(abs(value))
    if _HALFWAY_RANGE[0] < abs(value) < _HALFWAY_RANGE[1] and _is_halfway(text, abs(value)):
        text = _next_best(abs(value))
    return _styled(value, text, FLOAT8_EXPONENT)


def float4_text(value: float) -> str:
    """`value` is a double that holds a single exactly."""
    special = _special(value)
    if special is not None:
        return special
    text = np.format_float_scientific(np.float32(abs(value)))
    if _FLOAT4_HALFWAY_RANGE[0] < abs(value) < _FLOAT4_HALFWAY_RANGE[1]:
        text = _inside_float4(abs(value), text)
    return _styled(value, text, FLOAT4_EXPONENT)


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    return None


def _styled(value: float, text: str, largest: int) -> str:
    mantissa, _, exponent_text = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The exponent of the first significant digit.
    leading = len(whole + fraction) - len(digits)
    exponent = int(exponent_text or 0) + len(whole) - 1 - leading
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    if not _SMALLEST_EXPONENT <= exponent < largest:
        point = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if len(digits) <= exponent + 1:
        return sign + digits.ljust(exponent + 1, "0")
    return f"{sign}{digits[: exponent + 1]}.{digits[exponent + 1 :]}"


def _is_halfway(text: str, value: float) -> bool:
    decimal = Fraction(text)
    near = Fraction(value)
    if decimal == near:
        return False
    other = Fraction(math.nextafter(value, math.inf if decimal > near else 0.0))
    return decimal * 2 == near + other


def _next_best(value: float) -> str:
    for precision in range(14, 17):
        text = f"{value:.{precision}e}"
        if float(text) == value and not _is_halfway(text, value):
            return text
    return f"{value:.16e}"


def _inside_float4(value: float, text: str) -> str:
    """`text`, or the shortest with more digits when that lies half way to the next single."""
    exact = Fraction(value)
    decimal = Fraction(text)
    towards = np.float32(np.inf if decimal > exact else 0)
    halfway = (exact + Fraction(float(np.nextafter(np.float32(value), towards)))) / 2
    digits = len(text.partition("e")[0].replace(".", "").rstrip("0"))
    while decimal == halfway:
        text = f"{value:.{digits}e}"
        decimal = Fraction(text)
        digits += 1
    return text
