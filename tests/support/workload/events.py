"""What an oracle tells of a source: each committed change, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Event:
    """One decoded change: the position of its transaction, as a number that grows with commits, and the
    letter of its operation."""

    position: int
    op: str


class Oracle(Protocol):
    """Made before the first counted change."""

    def events(self) -> dict[str, list[Event]]:
        """All changes since the oracle was made, by table, in commit order. Asked once."""


def counts(events: Mapping[str, Sequence[Any]]) -> Counter[str]:
    """Number of changes by table."""
    return Counter({name: len(items) for name, items in events.items()})
