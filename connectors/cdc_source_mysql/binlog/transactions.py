"""Interpret the binlog events that the decoder passes through: statements, XA, and unsupported events.

Rows have events of their own, so a statement that changes rows of a followed table is an error, and so is
every event that this version does not support. Only events that change no table are skipped silently.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from cdc.errors import SourceGap, SourceUnavailable, StateError, UnknownEvent
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
from cdc_source_mysql.schema.charsets import Collation, holds_all
from cdc_source_mysql.schema.ddl.changes import Dml, TableChange
from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.ddl.tokens import SessionSettings, decode_statement
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.decoder import Binlog
from cdc_source_mysql.wire.events import is_server_start

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
            return FileBegun(is_server_start(body), header.timestamp_seconds)
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
        connection = self._collations.get(query.connection_collation_id)
        server_collation = self._collations.get(query.server_collation_id)
        return classify(
            query.sql,
            query.database,
            query.sql_mode,
            charset,
            self._flavour,
            SessionSettings(
                explicit_timestamps=query.explicit_timestamps,
                server_collation=server_collation.name if server_collation else "",
                keeps_literals=connection is None or holds_all(connection.charset, charset),
            ),
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


def place_in(decoder: Binlog) -> str:
    """Return where the transaction begins that the decoder is in; outside of one, where the event ends."""
    return decoder.position_text if decoder.in_transaction else f"{decoder.file}:{decoder.offset}"


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


# Only the transaction that a session ended at, and prepared ones, are read again; older entries are unused.
MOST_TRANSACTIONS = 100


class RolledBackRows:
    """Rolled-back rows that the sessions of one source have seen: half-open ranges of row numbers by
    transaction. Transactions are named by GTID where they have one, which holds however the next session
    begins.
    """

    def __init__(self) -> None:
        self._ranges: dict[str, set[tuple[int, int]]] = {}

    def note(self, tx: str, rows: tuple[int, int]) -> None:
        self._ranges.setdefault(tx, set()).add(rows)
        while len(self._ranges) > MOST_TRANSACTIONS:
            del self._ranges[next(iter(self._ranges))]

    def ranges(self, tx: str) -> frozenset[tuple[int, int]]:
        return frozenset(self._ranges.get(tx, ()))


class Rollbacks:
    """Drops rolled-back rows from one decoder. `is_late`: some of them were already delivered."""

    def __init__(self, decoder: Binlog, known: RolledBackRows) -> None:
        self._decoder = decoder
        self._known = known
        self.is_late = False

    def roll_back(self, kept: int = 0) -> None:
        """Drop the rows of the current transaction, or of the one that just ended, after the first `kept`."""
        tx, rows = self._decoder.tx, (kept, self._decoder.transaction_changes)
        is_known = rows in self._known.ranges(tx)
        if self._decoder.drop_transaction(kept) and not is_known:
            self._known.note(tx, rows)
            self.is_late = True

    def drop_known(self) -> None:
        """Drop the current transaction's rows that are known to be rolled back; call before taking a part."""
        for first, end in self._known.ranges(self._decoder.tx):
            self._decoder.drop_transaction(first, end)

    def require_none_late(self) -> None:
        """Call between two transactions.

        Raises:
            SourceUnavailable: rows were rolled back after they had been delivered.
        """
        if self.is_late:
            raise SourceUnavailable(
                "a transaction rolled back rows after part of it had been read",
                where=self._decoder.position_text,
                remedy="The transaction is read again without them.",
            )


class Savepoints:
    """The savepoints of one decoder's current transaction: for each, how many rows preceded it."""

    def __init__(self, decoder: Binlog, rollbacks: Rollbacks, doubt: Callable[[str], None]) -> None:
        """`doubt` requests a copy of every table, with the reason."""
        self._doubt = doubt
        self._decoder = decoder
        self._rollbacks = rollbacks
        self._transaction = ""
        self._marks: dict[str, int] = {}

    def apply(self, savepoint: Savepoint) -> bool:
        """Apply the statement; return whether it rolled back rows."""
        if self._transaction != self._decoder.position_text:
            self._transaction = self._decoder.position_text
            self._marks = {}
        name = _folded(savepoint.name)
        if savepoint.verb == "rollback":
            return self._roll_back(name)
        # Setting a savepoint again moves it; RELEASE also ends the later ones.
        if savepoint.verb == "release":
            self._marks = self._before(name)
            return False
        self._marks.pop(name, None)
        self._marks[name] = self._decoder.transaction_changes
        return False

    def _roll_back(self, name: str) -> bool:
        mark = self._marks.get(name)
        if mark is None:
            self._doubt(
                "a transaction was rolled back to a savepoint that the binary log does not show, at"
                f" {self._decoder.position_text}"
            )
            return False
        has_rows = self._decoder.transaction_changes > mark
        self._rollbacks.roll_back(mark)
        # Rows that are gone are not rolled back twice.
        now = self._decoder.transaction_changes
        kept = {**self._before(name), name: mark}
        self._marks = {each: now if at == mark else at for each, at in kept.items()}
        return has_rows

    def _before(self, name: str) -> dict[str, int]:
        names = list(self._marks)
        end = names.index(name) if name in self._marks else len(names)
        return {each: self._marks[each] for each in names[:end]}


def _folded(name: str) -> str:
    """Fold a savepoint's name as servers compare it: without case and accents."""
    plain = unicodedata.normalize("NFD", name.upper())
    return "".join(c for c in plain if not unicodedata.combining(c)).rstrip(" ")


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
