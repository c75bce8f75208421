"""What an oracle tells of a source: each committed change, in order."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Event:
    """One decoded change: the position of its transaction, as a number that grows with commits, and the
    letter of its operation.

    `prepared` is where an XA transaction was prepared: a source that starts behind that place does not see
    the change at its commit, and copies the row after it.
    """

    position: int
    op: str
    prepared: int = field(default=sys.maxsize, compare=False)

    @property
    def seen_from(self) -> int:
        """Whoever starts behind this place need not be shown the change."""
        return min(self.position, self.prepared)


class Oracle(Protocol):
    """Made before the first counted change."""

    def events(self) -> dict[str, list[Event]]:
        """All changes since the oracle was made, by table, in commit order. Asked once."""


def counts(events: Mapping[str, Sequence[Any]]) -> Counter[str]:
    """Number of changes by table."""
    return Counter({name: len(items) for name, items in events.items()})
