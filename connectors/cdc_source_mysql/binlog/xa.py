"""XA transactions between their PREPARE and their outcome, and across restarts.

The binlog holds the rows where the transaction was prepared, before anybody knows whether it will take
effect. They are left out there; the place is remembered (source memory `xa:<xid>`), and at XA COMMIT they are
read again from it and handed on as changes of the COMMIT. What ROLLBACK ends is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from cdc.errors import SourceGap, StateError
from cdc_source_mysql.binlog.transactions import Xid

MEMORY_PREFIX = "xa:"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where the rows are: `file` and `offset` (a point before the transaction, after the one before it) on
    the server of that `epoch`; its GTID (or file:offset) `tx`; and for a server that took over the GTIDs
    executed before it (`before`; empty without GTIDs).
    """

    file: str
    offset: int
    epoch: int
    tx: str
    before: str = ""


class XaBook:
    """The prepared transactions at the stream's position. Belongs to the stream's thread."""

    def __init__(self, memory: Mapping[str, str]) -> None:
        self._prepared = {
            key.removeprefix(MEMORY_PREFIX): _parse(text)
            for key, text in memory.items()
            if key.startswith(MEMORY_PREFIX)
        }

    def __len__(self) -> int:
        return len(self._prepared)

    def keys(self) -> frozenset[str]:
        """Of all that are prepared."""
        return frozenset(self._prepared)

    def prepared(self, xid: Xid, place: Prepared) -> dict[str, str | None]:
        """Keep where its rows are; gives the memory to keep."""
        self._prepared[xid.key] = place
        return dict(memory_of({xid.key: place}))

    def get(self, xid: Xid) -> Prepared | None:
        return self._prepared.get(xid.key)

    def ended(self, xid: Xid) -> dict[str, str | None]:
        """Forget it; gives the memory to keep."""
        if self._prepared.pop(xid.key, None) is None:
            return {}
        return {MEMORY_PREFIX + xid.key: None}


def memory_of(places: Mapping[str, Prepared]) -> dict[str, str]:
    """What the log keeps of these transactions."""
    return {
        MEMORY_PREFIX + name: json.dumps(asdict(place), separators=(",", ":"))
        for name, place in places.items()
    }


def unknown_commit(where: str) -> SourceGap:
    """XA COMMIT of a transaction whose PREPARE we never saw."""
    return SourceGap(
        "an XA transaction was committed whose XA PREPARE, with its rows, is in no binary log any more, and"
        " was there before this source was first read",
        where=where,
        remedy="Copy the tables again: set on_gap: resnapshot, or begin with an empty state_dir. End prepared"
        " transactions before the binary log is purged.",
    )


def _parse(text: str) -> Prepared:
    try:
        return Prepared(**json.loads(text))
    except (ValueError, TypeError) as error:
        message = "what is stored of a prepared XA transaction can't be read"
        raise StateError(message, remedy="Copy the tables of this source again.") from error
