"""Meanings of a Postgres server's errors, decided by SQLSTATE at this one boundary, and the errors that
the stream raises by name.

The server's primary message is kept (it names the object), its DETAIL, HINT and CONTEXT never are: they can
hold row values. Messages of the classes that quote data (22, 23, and P0: a function's own `raise`) are
dropped too. Messages come in the server's language, so none of them decides. Where one SQLSTATE has several
meanings, the function of the server's source that raised it decides, or what no server translates: names of
settings, and internal errors (XX000).
"""

from __future__ import annotations

import re

import psycopg
from psycopg import pq

from cdc.errors import CdcError, DecodeError, SourceBusy, SourceGap, SourceRefused, SourceUnavailable
from cdc.kit.errors import (
    LOCKED,
    NO_DATABASE,
    NO_PRIVILEGE,
    TOO_MANY_CONNECTIONS,
    UNKNOWN,
    UNREACHED,
    WAIT,
    ErrorMeaning,
)
from cdc_libpq.connecting import ConnectionRefused, ConnectionStep, Refusal
from cdc_source_postgres.statements import (
    ALTER_WAL_LEVEL,
    drop_slot,
    raise_setting,
    terminate,
)

# The server's own function that carries out a `raise`, and the first function that an error's context names.
_RAISE = "exec_stmt_raise"
_RAISED_BY = re.compile(r"(\S+)\(")


_LOGIN = ErrorMeaning(
    SourceRefused, "Check user and password in url, and that pg_hba.conf lets this host in."
)
_GONE = "Copy all tables again, or drop the slot and start with an empty state_dir and new, empty sinks."
_POOLER = "Give the url of the server itself: a connection pooler does not support replication."
_SENDERS = ErrorMeaning(
    SourceUnavailable, f"Retried until a WAL sender is free. {raise_setting('max_wal_senders')}"
)
_NO_REPLICATION = ErrorMeaning(SourceRefused, "Give the role REPLICATION; cdc check prints the statement.")

_NOT_UTF8 = ErrorMeaning(
    SourceRefused,
    "Write the value as UTF-8, or exclude its column with `columns`, or the table in `tables`.",
)

# By exact SQLSTATE; then by class (the first two characters); then `UNKNOWN`: what nobody thought of stops
# the source.
_STATES = {
    "08P01": ErrorMeaning(SourceRefused, _POOLER),
    "0A000": ErrorMeaning(SourceRefused, "The server does not support this in its version or role."),
    "22021": _NOT_UTF8,
    "25006": ErrorMeaning(SourceRefused, "The server is a standby: create the publication on its primary."),
    "25P03": WAIT,
    "25P04": WAIT,
    "26000": ErrorMeaning(SourceRefused, _POOLER),
    "3D000": NO_DATABASE,
    "42501": NO_PRIVILEGE,
    "42601": ErrorMeaning(SourceRefused, _POOLER),
    "42P01": ErrorMeaning(
        SourceUnavailable, "The table was dropped or renamed. The tables are looked up again automatically."
    ),
    "53400": ErrorMeaning(SourceRefused, f"Drop an unused slot. {raise_setting('max_replication_slots')}"),
    "55006": ErrorMeaning(
        SourceBusy, "Stop the other process that reads this slot; one slot has one reader."
    ),
    "55P03": LOCKED,
    "57014": WAIT,
    "57P04": ErrorMeaning(SourceRefused, "The database was dropped."),
    "58P01": ErrorMeaning(SourceGap, _GONE),
}
_CLASSES = {
    "08": WAIT,
    "28": _LOGIN,
    "40": WAIT,
    "53": TOO_MANY_CONNECTIONS,
    "57": WAIT,
    "58": WAIT,
}
# Classes whose primary message can quote a value of a row, and the text that replaces it.
_QUOTES_DATA = {
    "22": "the server refused a value",
    "23": "the server refused a value",
    "P0": "a function in the database raised an error",
}

# The same for a SQLSTATE whose primary message quotes bytes of the value.
_SAID = {
    "22021": (
        "a text has bytes that are not UTF-8: the database's encoding is SQL_ASCII, which accepts any bytes"
    )
}

# What our decoder says of such bytes.
_NOT_VALID = "text that is not valid UTF-8"

# The functions of the server that raise 42704 for a slot or publication that the stream needs, and 55000 for
# a slot that was invalidated (13 to 18 differ).
_MISSING_FOR_STREAM = ("ReplicationSlotAcquire", "get_publication_oid")
_SLOT_INVALID = (
    "CreateDecodingContext",
    "RaiseSlotInvalidationError",
    "ReplicationSlotAcquire",
    "StartLogicalReplication",
)
# Raises 42501 for a role that may not start a walsender, and no other 42501.
_STARTS_SESSION = "InitPostgres"
# palloc's limit of 1 GB, met when a value's text form is longer (a bytea over 512 MB has a text form of twice
# its size).
_TOO_LONG = re.compile(r"invalid memory alloc request size|out of memory")
# Measured on 18.6 in 1 of 170 slots that were made while others rewrote tables: the slot meets it at the same
# transaction however often it is read, a new slot doesn't.
_NOT_DECODABLE = re.compile(r"could not map file(?:number|node) .* to relation OID")

_STEPS = {
    ConnectionStep.REACH: ErrorMeaning(SourceUnavailable, UNREACHED),
    ConnectionStep.TLS: ErrorMeaning(SourceRefused, "Check sslmode and the certificates in url."),
    ConnectionStep.PASSWORD: _LOGIN,
}


def translate(error: psycopg.Error, where: str, doing: str = "") -> CdcError:
    """A psycopg error as one of ours, to be raised `from` it; `doing` is a gerund (`creating the slot`)."""
    if isinstance(error, ConnectionRefused):
        return _refused(error.refusal, where, doing)
    diagnosis = error.diag
    state = error.sqlstate or diagnosis.sqlstate
    if state is None:
        return WAIT.error(_connection_text(str(error)), where, doing)
    return translate_state(
        state, diagnosis.message_primary or "", where, doing, function=diagnosis.source_function or ""
    )


def translate_ddl(error: psycopg.Error, where: str, doing: str) -> CdcError:
    """The same for a statement of ours that changes the schema. No row is near, so what a function of the
    application says is shown.
    """
    diagnosis = error.diag
    state = error.sqlstate or diagnosis.sqlstate or ""
    if state[:2] != "P0" and diagnosis.source_function != _RAISE:
        return translate(error, where, doing)
    function = _RAISED_BY.search(diagnosis.context or "")
    name = f"the function {function[1]}" if function else "a function"
    said = " ".join((diagnosis.message_primary or "").split())
    message = f"{doing}: {name} of the database refused it: {said} (SQLSTATE {state})"
    remedy = (
        "Exempt this role in that function; it runs in an event trigger (select evtname,"
        " evtfoid::regprocedure from pg_event_trigger where evtenabled <> 'D';)."
    )
    return SourceRefused(message, where=where, remedy=remedy)


def translate_result(
    connection: pq.abc.PGconn, result: pq.abc.PGresult | None, where: str, doing: str = ""
) -> CdcError:
    """The error of a libpq result, or of the connection when there is no result (it was cut)."""
    if result is not None:
        state = _field(result, pq.DiagnosticField.SQLSTATE)
        if state:
            primary = _field(result, pq.DiagnosticField.MESSAGE_PRIMARY)
            function = _field(result, pq.DiagnosticField.SOURCE_FUNCTION)
            return translate_state(state, primary, where, doing, function=function)
    return WAIT.error(_connection_text(connection.get_error_message()), where, doing)


def _field(result: pq.abc.PGresult, field: pq.DiagnosticField) -> str:
    return (result.error_field(field) or b"").decode("utf-8", "replace")


def _refused(refusal: Refusal, where: str, doing: str) -> CdcError:
    """Why there is no connection. The server's message quotes no data before a login."""
    if not refusal.state:
        return _STEPS[refusal.step].error(refusal.message, where, doing)
    meaning = _meaning(refusal.state, refusal.message, refusal.function)
    return meaning.error(f"{refusal.message} (SQLSTATE {refusal.state})", where, doing)


def translate_state(state: str, primary: str, where: str, doing: str = "", *, function: str = "") -> CdcError:
    """The kind of error and its remedy, with the server's primary message where it is safe.

    `function` is the one in the server's source that raised the error.
    """
    meaning = _meaning(state, primary, function)
    said = _SAID.get(state) or _QUOTES_DATA.get(state[:2]) or " ".join(primary.split())
    return meaning.error(f"{said} (SQLSTATE {state})", where, doing)


def _meaning(state: str, primary: str, function: str) -> ErrorMeaning:
    if state == "55000" and "wal_level" in primary:
        return ErrorMeaning(SourceRefused, ALTER_WAL_LEVEL)
    if (state == "55000" and function in _SLOT_INVALID) or (
        state == "42704" and function in _MISSING_FOR_STREAM
    ):
        return ErrorMeaning(SourceGap, _GONE)
    if state == "42501" and function == _STARTS_SESSION:
        return _NO_REPLICATION
    if state == "53300" and "max_wal_senders" in primary:
        return _SENDERS
    if state == "XX000" and _TOO_LONG.search(primary):
        return ErrorMeaning(
            SourceRefused, "A value is over 1 GB in text form; Postgres 14 and newer send it in binary."
        )
    if state == "XX000" and _NOT_DECODABLE.search(primary):
        return ErrorMeaning(
            SourceGap, f"The server cannot decode its WAL for this slot, but can for a new one. {_GONE}"
        )
    return _STATES.get(state) or _CLASSES.get(state[:2]) or UNKNOWN


def _connection_text(message: str) -> str:
    """The first line of what libpq says of a connection that broke."""
    return message.strip().partition("\n")[0].strip() or "the connection was closed"


def not_utf8(error: DecodeError, where: str) -> CdcError:
    """A DecodeError in the stream of a database whose encoding takes any bytes. What is in the WAL stays in
    it: only a table that is left out is passed over.
    """
    if error.message != _NOT_VALID:
        return error
    table = error.where.partition(",")[0]
    remedy = (
        f'Exclude the table by the entry "!{table}" in tables. Then rewrite the value as UTF-8 and'
        " delete the entry: the table is copied again."
    )
    return SourceRefused(_SAID["22021"], where=f"{where}, {error.where}", remedy=remedy)


def slot_missing(where: str, slot: str) -> SourceGap:
    """The slot existed when we last streamed."""
    return SourceGap(f"the replication slot {slot!r} no longer exists", where=where, remedy=_GONE)


def slot_lost(where: str, slot: str, reason: str) -> SourceGap:
    """The server threw away WAL that the slot needed; `reason` is invalidation_reason or wal_status."""
    return SourceGap(f"the replication slot {slot!r} is invalidated ({reason})", where=where, remedy=_GONE)


def slot_ahead(where: str, slot: str, log_end: str, confirmed: str) -> SourceGap:
    """Another reader advanced the slot, or it was recreated: the server would skip changes silently."""
    message = f"the replication slot {slot!r} is at {confirmed}, past the end of our log at {log_end}"
    return SourceGap(message, where=where, remedy=f"The changes between them are lost. {_GONE}")


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
    """Return the gap of a dropped publication: Postgres 18 skips a missing publication silently, older
    servers stop permanently.
    """
    message = f"the publication {publication!r} was dropped; changes made since then are not in the stream"
    return SourceGap(message, where=where, remedy=_GONE)


def publication_missing(where: str, publication: str, statement: str) -> SourceRefused:
    """There is none and we may not (or can't) create it."""
    message = f"the publication {publication!r} does not exist"
    return SourceRefused(message, where=where, remedy=f"Run: {statement};")
