"""Interpret the binlog events that the decoder passes through: statements, XA, and unsupported events.

Rows have events of their own, so a statement that changes rows of a followed table is an error, and so is
every event that this version does not support. Only events that change no table are skipped silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cdc.errors import SourceGap, UnknownEvent
from cdc_source_mysql.binlog.events import (
    Header,
    Query,
    XaPrepare,
    parse_header,
    parse_incident,
    parse_prepared_xid,
    parse_query,
    parse_xa_prepare,
)
from cdc_source_mysql.binlog.temporary_tables import StatementOrigin
from cdc_source_mysql.schema.charsets import Collation
from cdc_source_mysql.schema.ddl.changes import Dml, TableChange
from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.ddl.tokens import decode_statement
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.events import tells_server_start

_NEW_FILE = frozenset({codes.ROTATE_EVENT, codes.FORMAT_DESCRIPTION_EVENT})

# Events without a meaning of their own: parameters of statements (the statement speaks), files, Group
# Replication's certification, encryption (events come decrypted).
_MEANINGLESS = frozenset(
    {
        codes.STOP_EVENT,
        codes.INTVAR_EVENT,
        codes.RAND_EVENT,
        codes.USER_VAR_EVENT,
        codes.BEGIN_LOAD_QUERY_EVENT,
        9,  # APPEND_BLOCK
        11,  # DELETE_FILE
        codes.PREVIOUS_GTIDS_EVENT,
        codes.TRANSACTION_CONTEXT_EVENT,
        codes.VIEW_CHANGE_EVENT,
        codes.HEARTBEAT_EVENT,
        codes.HEARTBEAT_EVENT_V2,
        codes.ROWS_QUERY_EVENT,
        codes.ANNOTATE_ROWS_EVENT,
        codes.BINLOG_CHECKPOINT_EVENT,
        codes.MARIADB_GTID_LIST_EVENT,
        codes.START_ENCRYPTION_EVENT,
    }
)
# EXECUTE_LOAD_QUERY has four numbers more than QUERY before its status variables.
_QUERY_HEADER_BYTES = 13
_LOAD_HEADER_BYTES = 13
_XA = re.compile(rb"\s*xa\s+(start|begin|end|prepare|commit|rollback)\s+(.*)", re.IGNORECASE | re.DOTALL)
_PARTLY = re.compile(rb"\s*rollback(\s+work)?\s+to\b", re.IGNORECASE)
_XID_PART = re.compile(
    rb"\s*(?:x'((?:[0-9a-f]{2})*)'|0x((?:[0-9a-f]{2})+)|'((?:[^'\\]|\\.|'')*)'|(\d+))\s*,?", re.IGNORECASE
)
_TRANSACTIONAL = re.compile(
    rb"\s*(savepoint|release\s+savepoint|rollback\s+to|rollback|commit|begin)\b", re.IGNORECASE
)
# As servers spell them: names as the session's sql_mode quotes them, or not at all.
_SAVEPOINT = re.compile(
    rb"""\s*(savepoint|release\s+savepoint|rollback(?:\s+work)?\s+to(?:\s+savepoint)?)\s*
    (`(?:[^`]|``)*`|"(?:[^"]|"")*"|(?<=\s)[^\s`";]+)[\s;]*""",
    re.IGNORECASE | re.VERBOSE,
)
_ROLLBACK = re.compile(rb"\s*rollback(\s+work)?\s*(/\*.*\*/)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Xid:
    """The name of an XA transaction."""

    format_id: int
    gtrid: bytes
    bqual: bytes

    @property
    def key(self) -> str:
        """As in the source's memory."""
        return f"{self.format_id:x}.{self.gtrid.hex()}.{self.bqual.hex()}"

    @property
    def sql(self) -> str:
        """As a statement takes it."""
        return f"X'{self.gtrid.hex()}',X'{self.bqual.hex()}',{self.format_id}"


@dataclass(frozen=True, slots=True)
class Ddl:
    """A statement that changes tables, and who ran it."""

    changes: tuple[TableChange, ...]
    origin: StatementOrigin


@dataclass(frozen=True, slots=True)
class XaStarted:
    xid: Xid


@dataclass(frozen=True, slots=True)
class XaPrepared:
    """The rows since XaStarted wait for their outcome; `one_phase`: they take effect at once."""

    xid: Xid
    one_phase: bool


@dataclass(frozen=True, slots=True)
class XaEnded:
    """The outcome of a prepared transaction."""

    xid: Xid
    committed: bool


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The transaction that has just ended did not happen, but for rows of engines without transactions."""


@dataclass(frozen=True, slots=True)
class FileBegun:
    """A binlog file begins; `server_started`: the server did, too. `began_at` is the second in it, 0
    before it does.
    """

    server_started: bool
    began_at: int


@dataclass(frozen=True, slots=True)
class Savepoint:
    """One is set, released, or rolled back to (`verb`: "savepoint", "release", "rollback")."""

    verb: str
    name: str


Meaning = Ddl | Savepoint | XaStarted | XaPrepared | XaEnded | RolledBack | FileBegun | None


class Grammar:
    """Reads the events of one server. `place` gives the position for messages."""

    def __init__(self, flavour: str, collations: Mapping[int, Collation], place: Callable[[], str]) -> None:
        self._flavour = flavour
        self._collations = collations
        self._place = place

    def read(self, event: bytes, gtid_flags: int = 0) -> Meaning:
        """Return the meaning of the event (header and body); None if there is nothing to do. `gtid_flags` are
        those of its transaction (`Binlog.gtid_flags`).

        Raises:
            SourceGap: the server itself lost events (INCIDENT).
            UnknownEvent: a type that this version does not support and may not skip.
        """
        header = parse_header(event)
        body = memoryview(event)[codes.HEADER_BYTES :]
        kind = header.type
        if kind == codes.QUERY_EVENT:
            return self._query(header, parse_query(body), gtid_flags)
        if kind == codes.XA_PREPARE_EVENT:
            prepared = parse_xa_prepare(body)
            return XaPrepared(_xid(prepared), prepared.one_phase)
        if kind == codes.MARIADB_GTID_EVENT:
            xid = parse_prepared_xid(body)
            return XaStarted(Xid(*xid)) if xid else None
        if kind == codes.EXECUTE_LOAD_QUERY_EVENT:
            return self._load(header, body)
        if kind in _NEW_FILE:
            if kind == codes.ROTATE_EVENT:
                return FileBegun(server_started=False, began_at=0)
            return FileBegun(tells_server_start(body), header.timestamp_seconds)
        if kind == codes.INCIDENT_EVENT:
            raise self._incident(body)
        if kind in _MEANINGLESS or header.flags & codes.IGNORABLE_FLAG:
            return None
        raise UnknownEvent(
            f"the server sent an event of type {kind} that this version does not support",
            where=self._place(),
            remedy="Update the daemon; nothing after this position was read.",
        )

    def _query(self, header: Header, query: Query, gtid_flags: int) -> Meaning:
        if b"xa" in query.sql[:20].lower():
            found = _XA.match(query.sql)
            if found:
                return self._xa(found[1].lower(), found[2])
        if _TRANSACTIONAL.match(query.sql):
            return RolledBack() if _ROLLBACK.fullmatch(query.sql) else self._savepoint(query)
        if self._is_half_an_alter(gtid_flags):
            return None
        changes = self._classify(query)
        return Ddl(changes, _origin(header, query)) if changes else None

    def _savepoint(self, query: Query) -> Savepoint | None:
        found = _SAVEPOINT.fullmatch(query.sql)
        if found:
            collation = self._collations.get(query.charset_id)
            name = decode_statement(found[2], collation.charset if collation else "utf8mb4")
            if name[0] in '`"':
                name = name[1:-1].replace(name[0] * 2, name[0])
            return Savepoint(found[1].split()[0].decode().lower(), name)
        if b"savepoint" in query.sql[:20].lower() or _PARTLY.match(query.sql):
            raise UnknownEvent(
                "a statement names a savepoint in a way that this version cannot parse",
                where=self._place(),
                remedy="Update the daemon; nothing after this position was read.",
            )
        return None

    def _is_half_an_alter(self, gtid_flags: int) -> bool:
        """MariaDB's binlog_alter_two_phase logs an ALTER when it starts, and again with its outcome."""
        halves = codes.MARIADB_START_ALTER | codes.MARIADB_ROLLBACK_ALTER
        return self._flavour == "mariadb" and bool(gtid_flags & halves)

    def _classify(self, query: Query) -> tuple[TableChange, ...]:
        collation = self._collations.get(query.charset_id)
        charset = collation.charset if collation else "utf8mb4"
        server_collation = self._collations.get(query.server_collation_id)
        return classify(
            query.sql,
            query.database,
            query.sql_mode,
            charset,
            self._flavour,
            explicit_timestamps=query.explicit_timestamps,
            server_collation=server_collation.name if server_collation else "",
        )

    def _load(self, header: Header, body: memoryview) -> Meaning:
        """LOAD DATA of a session that logs statements."""
        rest = body[_QUERY_HEADER_BYTES + _LOAD_HEADER_BYTES :]
        query = parse_query(bytes(body[:_QUERY_HEADER_BYTES]) + bytes(rest))
        known = [change for change in self._classify(query) if isinstance(change, Dml)]
        return Ddl(tuple(known) or (Dml("LOAD DATA", None),), _origin(header, query))

    def _xa(self, verb: bytes, rest: bytes) -> Meaning:
        if verb in (b"end", b"prepare"):
            return None
        xid = parse_xid(rest)
        if xid is None:
            raise UnknownEvent(
                "an XA statement names its transaction in a way that this version cannot parse",
                where=self._place(),
                remedy="Update the daemon; nothing after this position was read.",
            )
        if verb in (b"start", b"begin"):
            return XaStarted(xid)
        return XaEnded(xid, committed=verb == b"commit")

    def _incident(self, body: memoryview) -> SourceGap:
        incident = parse_incident(body)
        return SourceGap(
            f"the server reports an incident (number {incident.number}):"
            " events were lost before they came into its binary log",
            where=self._place(),
            remedy="Copy all tables again, or start with an empty state_dir and new, empty sinks.",
        )


def parse_xid(text: bytes) -> Xid | None:
    """`X'67',X'62',1`, `'g','b'`, `'g'`: what follows the verb; None when it isn't one."""
    parts: list[bytes | int] = []
    at = 0
    while at < len(text) and len(parts) < 3:
        found = _XID_PART.match(text, at)
        if not found:
            break
        parts.append(_xid_part(found))
        at = found.end()
        if not found[0].rstrip().endswith(b","):
            break
    texts = [part for part in parts[:2] if isinstance(part, bytes)]
    if not texts or len(texts) != min(len(parts), 2):
        return None
    format_id = parts[2] if len(parts) > 2 else 1
    return (
        Xid(format_id, texts[0], texts[1] if len(texts) > 1 else b"") if isinstance(format_id, int) else None
    )


def _xid_part(found: re.Match[bytes]) -> bytes | int:
    if found[4] is not None:
        return int(found[4])
    if found[3] is not None:
        return re.sub(rb"\\(.)|'(')", lambda m: m[1] or m[2], found[3], flags=re.DOTALL)
    return bytes.fromhex((found[1] or found[2] or b"").decode())


def _xid(prepared: XaPrepare) -> Xid:
    return Xid(prepared.format_id, prepared.gtrid, prepared.bqual)


def _origin(header: Header, query: Query) -> StatementOrigin:
    return StatementOrigin(header.server_id, query.thread_id, bool(header.flags & codes.THREAD_SPECIFIC_FLAG))
