"""Points in a source's history, opaque to the engine, and times as integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """`order` compares within one source's history; `text` is what users see and what is stored.

    Postgres: the LSN as an integer and as `16/B374D848`. Only positions of one source compare.
    """

    order: int
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form; `from_json` gives back an equal value. The order is text, for it may pass 64
        bits; where it was written as a number it is read as well.
        """
        return {"order": str(self.order), "text": self.text}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Position:
        return cls(order=int(value["order"]), text=str(value["text"]))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(at: datetime) -> int:
    """Return an aware time as microseconds since 1970 in UTC, as logs, states, sinks and wire formats keep
    it; exact.
    """
    return (at - _EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Return the time in UTC that `to_microseconds` gave."""
    return _EPOCH + count * _MICROSECOND
