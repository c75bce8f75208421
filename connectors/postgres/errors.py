"""What a Postgres server's refusals mean to us, decided by SQLSTATE at this one boundary, and the errors that
the stream raises by name.

The server's primary message is kept (it names the object), its DETAIL, HINT and CONTEXT never are: they can
hold row values. Messages of the classes that quote data (22, 23, and P0: a function's own `raise`) are
dropped too. A failed login carries no SQLSTATE through libpq, so only there the text decides; a server that
speaks another language than English gives SourceUnavailable then, which is retried and shows the server's own
words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg import pq

from cdc.errors import CdcError, SourceBusy, SourceGap, SourceRefused, SourceUnavailable
from connectors.postgres.statements import (
    ALTER_WAL_LEVEL,
    drop_slot,
    raise_setting,
    terminate,
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a SQLSTATE is to us, and what the operator can do."""

    kind: type[CdcError]
    remedy: str


_WAIT = Meaning(SourceUnavailable, "It is tried again until it works.")
_LOGIN = Meaning(SourceRefused, "Check user and password in url, and that pg_hba.conf lets this host in.")
_LIMIT = Meaning(SourceUnavailable, "It is tried again; raise max_connections if it lasts.")
_GONE = (
    "Set on_gap: resnapshot to copy the tables again, or drop the slot and start with an empty state_dir and "
    "new, empty sinks."
)
_POOLER = "Give the url of the server itself: a connection pooler does not pass replication on."
_SENDERS = Meaning(
    SourceUnavailable, f"It is tried again until a wal sender is free. {raise_setting('max_wal_senders')}"
)
_UNKNOWN = Meaning(SourceRefused, "The server's log says more; run cdc check.")

# By exact SQLSTATE; then by class (the first two characters); then `_UNKNOWN`: what nobody thought of stops
# the source.
_STATES = {
    "08P01": Meaning(SourceRefused, _POOLER),
    "0A000": Meaning(SourceRefused, "The server can't do this in its present version or role."),
    "25006": Meaning(SourceRefused, "The server is a standby: create the publication on its primary."),
    "25P03": _WAIT,
    "25P04": _WAIT,
    "26000": Meaning(SourceRefused, _POOLER),
    "3D000": Meaning(SourceRefused, "Check the database name in url."),
    "42501": Meaning(SourceRefused, "Run cdc check: it prints the grant for each missing privilege."),
    "42601": Meaning(SourceRefused, _POOLER),
    "42P01": Meaning(SourceUnavailable, "The table was dropped or renamed; the tables are looked up again."),
    "53400": Meaning(
        SourceRefused, f"Drop a slot that nobody uses. {raise_setting('max_replication_slots')}"
    ),
    "55006": Meaning(SourceBusy, "Stop the other process that reads this slot; one slot has one reader."),
    "55P03": Meaning(
        SourceUnavailable, "Another session has a lock or a transaction open; it is tried again."
    ),
    "57014": _WAIT,
    "57P04": Meaning(SourceRefused, "The database was dropped."),
    "58P01": Meaning(SourceGap, _GONE),
}
_CLASSES = {
    "08": _WAIT,
    "28": _LOGIN,
    "40": _WAIT,
    "53": _LIMIT,
    "57": _WAIT,
    "58": _WAIT,
}
# Classes whose primary message can quote a value of a row, and what is said instead.
_QUOTES_DATA = {
    "22": "the server refused a value",
    "23": "the server refused a value",
    "P0": "a function in the database raised an error",
}

# 55000 and 42704 mean several things; the words below stand untranslated or in English in every server that
# we know.
_SLOT_INVALID = re.compile(
    r"can no longer (?:access|get changes from) replication slot"
    r"|cannot read from (?:logical )?replication slot|exceeded the maximum reserved size"
    r"|has been invalidated|invalidated due to"
)
_MISSING_FOR_STREAM = re.compile(r'(?:replication slot|publication) ".*" does not exist', re.DOTALL)
# palloc's limit of 1 GB, met when a value's text form is longer (a bytea over 512 MB has a text form of twice
# its size).
_TOO_LONG = re.compile(r"invalid memory alloc request size|out of memory")
# Measured on 18.6 in 1 of 170 slots that were made while others rewrote tables: the slot meets it at the same
# transaction however often it is read, a new slot doesn't.
_NOT_DECODABLE = re.compile(r"could not map file(?:number|node) .* to relation OID")

# Where the server's own words begin in libpq's message (a pooler says ERROR where a server says FATAL).
_SERVERS_WORDS = re.compile(r"\b(?:FATAL|ERROR):\s+")
# libpq's wording of a login that failed: the server's FATAL line, in English.
_LOGIN_FAILURES = (
    (re.compile(r"authentication failed for user|no password supplied"), _LOGIN),
    (re.compile(r"no pg_hba\.conf entry|pg_hba\.conf rejects"), _LOGIN),
    (re.compile(r'role ".*" does not exist|is not permitted to log in'), _LOGIN),
    (re.compile(r'database ".*" does not exist'), _STATES["3D000"]),
    (re.compile(r"unsupported startup parameter|no such database"), Meaning(SourceRefused, _POOLER)),
    (
        re.compile(r"must be superuser or replication role|permission denied to start WAL sender"),
        Meaning(SourceRefused, "Give the role REPLICATION; cdc check prints the statement."),
    ),
    (re.compile(r"SSL|certificate"), Meaning(SourceRefused, "Check sslmode and the certificates in url.")),
    (re.compile(r"exceeds max_wal_senders"), _SENDERS),
    (re.compile(r"too many (?:connections|clients)|remaining connection slots"), _LIMIT),
)


def translate(error: psycopg.Error, where: str, doing: str = "") -> CdcError:
    """A psycopg error as one of ours, to be raised `from` it; `doing` is a gerund (`creating the slot`)."""
    diagnosis = error.diag
    state = error.sqlstate or diagnosis.sqlstate
    if state is None:
        return _without_state(str(error), where, doing)
    return translate_state(state, diagnosis.message_primary or "", where, doing)


def translate_result(
    connection: pq.abc.PGconn, result: pq.abc.PGresult | None, where: str, doing: str = ""
) -> CdcError:
    """The error of a libpq result, or of the connection when there is no result (it was cut)."""
    if result is not None:
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
        if state is not None:
            return translate_state(state.decode(), (message or b"").decode("utf-8", "replace"), where, doing)
    return _without_state(connection.get_error_message(), where, doing)


def translate_state(state: str, primary: str, where: str, doing: str = "") -> CdcError:
    """The kind of error and its remedy by SQLSTATE, with the server's primary message where it is safe."""
    meaning = _meaning(state, primary)
    said = _QUOTES_DATA.get(state[:2]) or " ".join(primary.split())
    return _error(meaning, f"{said} (SQLSTATE {state})", where, doing)


def _meaning(state: str, primary: str) -> Meaning:
    if state == "55000":
        return _not_ready(primary)
    if state == "42704" and _MISSING_FOR_STREAM.search(primary):
        return Meaning(SourceGap, _GONE)
    if state == "53300" and "wal" in primary:
        return _SENDERS
    if state == "XX000" and _TOO_LONG.search(primary):
        return Meaning(
            SourceRefused, "A value is over 1 GB in text form; Postgres 14 and newer send it in binary."
        )
    if state == "XX000" and _NOT_DECODABLE.search(primary):
        return Meaning(
            SourceGap, f"The server can't decode its WAL for this slot, but can for a new one. {_GONE}"
        )
    return _STATES.get(state) or _CLASSES.get(state[:2]) or _UNKNOWN


def _not_ready(primary: str) -> Meaning:
    if _SLOT_INVALID.search(primary):
        return Meaning(SourceGap, _GONE)
    if "wal_level" in primary:
        return Meaning(SourceRefused, ALTER_WAL_LEVEL)
    return _UNKNOWN


def _without_state(message: str, where: str, doing: str) -> CdcError:
    text = _connection_text(message)
    for pattern, meaning in _LOGIN_FAILURES:
        if pattern.search(message):
            return _error(meaning, text, where, doing)
    return _error(_WAIT, text or "the connection was closed", where, doing)


def _connection_text(message: str) -> str:
    """The reason without libpq's prefixes and hints: what follows the last `FATAL:`, or the first line."""
    last = _SERVERS_WORDS.split(message)[-1]
    first = last.strip().partition("\n")[0]
    return first.removeprefix("connection failed: ").removeprefix("connection is bad: ").strip()


def _error(meaning: Meaning, text: str, where: str, doing: str) -> CdcError:
    return meaning.kind(f"{doing}: {text}" if doing else text, where=where, remedy=meaning.remedy)


def slot_missing(where: str, slot: str) -> SourceGap:
    """The slot existed when we last streamed."""
    return SourceGap(f"the replication slot {slot!r} does not exist any more", where=where, remedy=_GONE)


def slot_lost(where: str, slot: str, reason: str) -> SourceGap:
    """The server threw away WAL that the slot needed; `reason` is invalidation_reason or wal_status."""
    remedy = f"{_GONE} The slot itself: {drop_slot(slot)};"
    return SourceGap(f"the replication slot {slot!r} is invalidated ({reason})", where=where, remedy=remedy)


def slot_ahead(where: str, slot: str, log_end: str, confirmed: str) -> SourceGap:
    """Somebody else read from the slot, or made it anew: the server would skip ahead in silence."""
    message = f"the replication slot {slot!r} is at {confirmed}, past the end of our log at {log_end}"
    return SourceGap(message, where=where, remedy=f"The changes between them are gone. {_GONE}")


def slot_taken(where: str, slot: str, pid: int, application: str = "") -> SourceBusy:
    """Another process streams from the slot."""
    who = f"process {pid}" + (f" ({application})" if application else "")
    remedy = f"Stop it, or on the server: {terminate(pid)};"
    return SourceBusy(f"the replication slot {slot!r} is in use by {who}", where=where, remedy=remedy)


def slot_foreign(where: str, slot: str, found: str, expected: str) -> SourceRefused:
    """The name belongs to a slot that is not ours: another plugin, another database, or a physical slot."""
    remedy = f"Set slot: to another name, or on the server: {drop_slot(slot)};"
    message = f"the replication slot {slot!r} is of {found}, expected {expected}"
    return SourceRefused(message, where=where, remedy=remedy)


def publication_dropped(where: str, publication: str) -> SourceGap:
    """What was written meanwhile is not in the stream: Postgres 18 skips a missing publication in silence,
    older ones stop for good.
    """
    message = f"the publication {publication!r} was dropped; changes made since then are not in the stream"
    return SourceGap(message, where=where, remedy=_GONE)


def publication_missing(where: str, publication: str, statement: str) -> SourceRefused:
    """There is none and we may not (or can't) create it."""
    message = f"the publication {publication!r} does not exist"
    return SourceRefused(message, where=where, remedy=f"Run: {statement};")
