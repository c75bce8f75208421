"""numeric(p,s) as an unscaled whole number, checked against precision and scale."""

from __future__ import annotations

from cdc.errors import DecodeError


def checked_decimal(value: int, digits_after_point: int, precision: int, scale: int) -> int:
    """`value` / 10^digits_after_point, times 10^scale; DecodeError when that loses or overflows digits."""
    if digits_after_point <= scale:
        scaled, rest = value * 10 ** (scale - digits_after_point), 0
    else:
        scaled, rest = divmod(value, 10 ** (digits_after_point - scale))
    if rest or scaled >= 10**precision:
        message = f"a numeric that does not fit ({precision},{scale}), the column's precision and scale"
        raise DecodeError(message)
    return scaled
