"""XA transactions between their PREPARE and their outcome, and across restarts.

The binlog holds the rows where the transaction was prepared, before its outcome is known. They are skipped
there; the place is remembered (source state `xa:<xid>`), and at XA COMMIT they are read again from it and
delivered as changes of the COMMIT. XA ROLLBACK drops the place. The server lists the transactions that are
prepared now (`listed`), and MariaDB's counters show whether XA is used at all (`may_have_xa`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from cdc.errors import SourceGap, StateError
from cdc_source_mysql.binlog.transactions import Xid

# Counted when the statement begins, before anything of it is in the binlog. FLUSH STATUS sets the counters
# back, and leaves the two times apart.
_USES = """
    select variable_name, variable_value from information_schema.global_status
    where variable_name in ('COM_XA_COMMIT', 'COM_XA_ROLLBACK', 'UPTIME', 'UPTIME_SINCE_FLUSH_STATUS')
"""
# Names are bytes. MySQL shows them as text, which not all of them are, unless it is asked for digits.
STATEMENTS: Final = {"mysql": "xa recover convert xid", "mariadb": "xa recover"}
MEMORY_PREFIX = "xa:"


def may_have_xa(cursor: Any, *, rolled_back: bool = False) -> bool:
    """Return whether an XA COMMIT (or, where asked, an XA ROLLBACK) has begun since the server's start, or
    nothing tells that there was none.
    """
    cursor.execute(_USES)
    found = {str(name).upper(): int(value) for name, value in cursor.fetchall()}
    uses = found["COM_XA_COMMIT"] + (found["COM_XA_ROLLBACK"] if rolled_back else 0)
    return uses > 0 or found["UPTIME"] != found["UPTIME_SINCE_FLUSH_STATUS"]


def listed(cursor: Any, flavour: str) -> frozenset[str]:
    """Their names, as `Xid.key`."""
    cursor.execute(STATEMENTS[flavour])
    return frozenset(_key(*row) for row in cursor.fetchall())


def _key(format_id: int, gtrid_bytes: int, bqual_bytes: int, shown: str | bytes) -> str:
    del bqual_bytes
    name = bytes.fromhex(shown.removeprefix("0x")) if isinstance(shown, str) else shown
    return Xid(format_id, name[:gtrid_bytes], name[gtrid_bytes:]).key


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
        """Return the keys of all prepared transactions."""
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
    """Return the memory of these transactions, by key."""
    return {
        MEMORY_PREFIX + name: json.dumps(asdict(place), separators=(",", ":"))
        for name, place in places.items()
    }


def unknown_commit(where: str) -> SourceGap:
    """XA COMMIT of a transaction whose PREPARE we never saw."""
    return SourceGap(
        "an XA transaction was committed whose XA PREPARE, with its rows, is no longer in any binary log, and"
        " predates the first start of this source",
        where=where,
        remedy="Copy all tables again, or start with an empty state_dir and new, empty sinks. End prepared"
        " transactions before the binary log is purged.",
    )


def _parse(text: str) -> Prepared:
    try:
        return Prepared(**json.loads(text))
    except (ValueError, TypeError) as error:
        message = "the stored state of a prepared XA transaction cannot be read"
        raise StateError(message, remedy="Copy the tables of this source again.") from error
