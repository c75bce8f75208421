"""Times as integers: microseconds since 1970 in UTC, as logs, states, sinks and wire formats keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(at: datetime) -> int:
    """Return an aware time as microseconds; exact."""
    return (at - _EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Return the time in UTC that `to_microseconds` gave."""
    return _EPOCH + count * _MICROSECOND
