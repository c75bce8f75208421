"""Which log a replication slot belongs to: remembered in the comment of the publication, which every role can
read, which survives restarts and failovers, and which its owner may write.

A slot's changes are gone for all others once one log has taken them, so a log reads only from a slot that it
made, or that the operator gave it (`--adopt-slot`). Where the publication is not ours to comment on, an empty
log still never takes a slot that is there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from cdc.errors import SourceClaimed
from cdc.spi.source import LogIdentity, SourceContext
from cdc_source_postgres.connection import Connection
from cdc_source_postgres.statements import identifier, literal

# One line a slot; a publication may serve several, and may have a comment of its own.
_MARK = re.compile(
    r"^cdc: slot (?P<slot>[a-z0-9_]+) belongs to log (?P<log>[0-9a-f-]{36}), start (?P<starts>\d+)$",
    re.MULTILINE,
)
_COMMENT = """
    select obj_description(p.oid, 'pg_publication') from pg_publication p where p.pubname = %s
"""
_COMMENTS = """
    select obj_description(p.oid, 'pg_publication') from pg_publication p
     where (%s::text is null or p.pubname = %s) and obj_description(p.oid, 'pg_publication') is not null
"""
_EXISTING = "select slot_name from pg_replication_slots where slot_name = any(%s) order by slot_name"
# Advisory locks have a key of two numbers; the first says that it is ours ("cdc").
_LOCK_SPACE = 0x636463
# A run from URLs alone has no file to set the slot in, and the folder it was started in has its state_dir.
_ANOTHER = (
    "Mount the state_dir that created the slot, or run the command in the folder of its daemon. For a second"
    " daemon, set another slot: for this source (`cdc init` writes a file if there is none)."
)
# So much of a uuid distinguishes two logs in a message.
_SHORT = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """The owner of a slot, as the database remembers it."""

    log_id: str
    starts: int


class Ownership:
    """The claim of one log on one slot. Used by the capture thread."""

    def __init__(self, context: SourceContext, slot: str, publication: str, where: str) -> None:
        self._owner = context.owner
        self._claiming = context.claiming
        self._slot = slot
        self._publication = publication
        self._where = where
        # What this process has written, or found to be its own.
        self._claimed = False
        self._warned = False

    @contextmanager
    def decided(self, conn: Connection) -> Iterator[None]:
        """No other daemon decides about the slot while the block runs."""
        key = (_LOCK_SPACE, zlib.crc32(self._slot.encode()) - 2**31)
        conn.execute("select pg_advisory_lock(%s, %s)", key)
        try:
            yield
        finally:
            if not conn.closed:
                conn.execute("select pg_advisory_unlock(%s, %s)", key)

    def verify(self, conn: Connection, *, exists: bool) -> None:
        """Raise SourceClaimed when the slot, which `exists` or not, is not this log's to use."""
        owner = self._owner
        if owner is None or (owner.takes_over and not self._claimed):
            return
        if not exists and owner.is_new:
            return  # A dropped slot has no owner: a new log may create it again.
        mark = read_mark(conn, self._publication, self._slot)
        is_first = owner.is_new and not self._claimed
        # A mark with the number of this start is this process's own, or a copy's that counted to it too.
        starts = owner.starts if owner.is_new or self._claimed else owner.starts - 1
        error = objection(mark, replace(owner, starts=starts, is_new=is_first), self._slot, self._where)
        if error is not None:
            raise error

    def claim(self, conn: Connection, log: Callable[..., None]) -> None:
        """Remember in the database that the slot is this log's."""
        owner = self._owner
        if owner is None:
            return
        before = read_mark(conn, self._publication, self._slot)
        ours = Mark(owner.log_id, owner.starts)
        if before != ours:
            self._claiming()
            try:
                write_mark(conn, self._publication, self._slot, ours)
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                self._say_once(log, error.sqlstate or "")
        if owner.takes_over and before is not None and before.log_id != owner.log_id:
            log(
                "took the slot over from another log",
                level="warning",
                slot=self._slot,
                from_log=before.log_id,
            )
        self._claimed = True

    def _say_once(self, log: Callable[..., None], state: str) -> None:
        if not self._warned:
            log(
                "cannot mark the publication with the slot's owner: a copy of state_dir is not detected",
                publication=self._publication,
                sqlstate=state,
            )
        self._warned = True


def objection(mark: Mark | None, owner: LogIdentity, slot: str, where: str) -> SourceClaimed | None:
    """Return why the slot, which exists, is not this log's to use; `owner.starts` are those known to it."""
    if mark is None:
        return unmarked(where, slot) if owner.is_new else None
    if mark.log_id != owner.log_id:
        return claimed(where, slot, mark)
    return copied(where, slot) if mark.starts > owner.starts else None


def read_mark(conn: Connection, publication: str, slot: str) -> Mark | None:
    """Return the owner of the slot; None if it is not stored."""
    row = conn.execute(_COMMENT, (publication,)).fetchone()
    for found in _MARK.finditer((row and row[0]) or ""):
        if found["slot"] == slot:
            return Mark(found["log"], int(found["starts"]))
    return None


def other_slots(conn: Connection, slot: str, publication: str | None = None) -> list[str]:
    """Return the existing slots but `slot` that are marked in this publication, or in any publication."""
    marks = conn.execute(_COMMENTS, (publication, publication)).fetchall()
    named = {found["slot"] for (comment,) in marks for found in _MARK.finditer(comment)} - {slot}
    rows = conn.execute(_EXISTING, (sorted(named),)).fetchall() if named else []
    return [str(name) for (name,) in rows]


def write_mark(conn: Connection, publication: str, slot: str, mark: Mark) -> None:
    """Write the owner of the slot into the publication's comment; what else it says stays."""
    row = conn.execute(_COMMENT, (publication,)).fetchone()
    kept = [
        line
        for line in ((row and row[0]) or "").splitlines()
        if not ((found := _MARK.fullmatch(line)) and found["slot"] == slot)
    ]
    line = f"cdc: slot {slot} belongs to log {mark.log_id}, start {mark.starts}"
    text = "\n".join([*kept, line])
    conn.execute(f"comment on publication {identifier(publication)} is {literal(text)}".encode())


def claimed(where: str, slot: str, mark: Mark) -> SourceClaimed:
    """Another log made the slot, or was given it."""
    return SourceClaimed(
        f"the replication slot {slot!r} belongs to another log ({mark.log_id[:_SHORT]}): this"
        " state_dir did not create it",
        where=where,
        remedy=f"{_ANOTHER} To abandon that log permanently, run: {adopt(where)}",
    )


def unmarked(where: str, slot: str) -> SourceClaimed:
    """A slot is there, and the log is empty."""
    return SourceClaimed(
        f"the replication slot {slot!r} exists, and this state_dir, which holds no log, did not create it",
        where=where,
        remedy=f"{_ANOTHER} To use the slot from now on, run: {adopt(where)}",
    )


def copied(where: str, slot: str) -> SourceClaimed:
    """A copy of the state_dir was started since."""
    return SourceClaimed(
        f"a copy of this state_dir has used the replication slot {slot!r} since: this one is out of date",
        where=where,
        remedy="Use the newer copy, or an empty state_dir with another slot: for this source. To continue"
        f" with this one, stop the other and run: {adopt(where)}",
    )


def adopt(where: str) -> str:
    """The command that gives the slot to this log."""
    return f"cdc run --adopt-slot {where.removeprefix('sources.')}"
