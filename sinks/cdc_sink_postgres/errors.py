"""Meanings of the target server's errors, decided by SQLSTATE at this one boundary.

The server's primary message is kept where it names objects only; DETAIL, HINT and CONTEXT never are, and
messages of the classes that quote data (22, 23 and P0) are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from cdc.errors import CdcError, SinkRefused, SinkUnavailable
from cdc.kit.errors import RETRIED, UNREACHED
from cdc_libpq.connecting import ConnectionRefused, ConnectionStep


@dataclass(frozen=True, slots=True)
class Meaning:
    """The error class for a SQLSTATE, and what the operator can do."""

    kind: type[CdcError]
    remedy: str


_WAIT = Meaning(SinkUnavailable, RETRIED)
_LOGIN = Meaning(SinkRefused, "Correct user and password in url, or let this host in with pg_hba.conf.")
_POOLER = Meaning(
    SinkRefused,
    "Give the address of the server itself, or set pool_mode=session in the pooler: a delivery uses "
    "temporary tables of its session.",
)
_PRIMARY = Meaning(
    SinkUnavailable,
    "Give the address of the primary in url, or list all hosts with target_session_attrs=read-write. "
    + RETRIED,
)
# By exact SQLSTATE; then by class, the first two characters; then `_UNKNOWN`.
_STATES = {
    "08P01": _POOLER,
    "25006": _PRIMARY,
    "25P03": _WAIT,
    "25P04": _WAIT,
    "3F000": Meaning(SinkUnavailable, f"A schema was dropped in the meantime. {RETRIED}"),
    "3D000": Meaning(SinkRefused, "Correct the database name in url, or create the database."),
    "42501": Meaning(SinkRefused, "Run cdc check: it prints the statement for each missing privilege."),
    "42P01": Meaning(SinkUnavailable, f"A table was dropped in the meantime. {RETRIED}"),
    "53100": Meaning(SinkUnavailable, f"Free disk space on the server. {RETRIED}"),
    "53300": Meaning(SinkUnavailable, f"{RETRIED} If it lasts, raise max_connections."),
    "55000": Meaning(
        SinkUnavailable,
        "If a publication publishes the table's updates and deletes, run for that table: alter table NAME "
        f"replica identity full. {RETRIED}",
    ),
    "55P03": Meaning(
        SinkUnavailable,
        f"Another session has a lock on a table of the sink, or is a second daemon. {RETRIED}",
    ),
    "57P04": Meaning(SinkRefused, "The database was dropped: create it again."),
    "XX001": Meaning(SinkRefused, "The server reports damaged data: restore the database."),
    "XX002": Meaning(SinkRefused, "The server reports a damaged index: run reindex on it."),
}
_CLASSES = {
    "08": _WAIT,
    "28": _LOGIN,
    "40": _WAIT,
    "53": _WAIT,
    "55": _WAIT,
    "57": _WAIT,
    "58": _WAIT,
}
_UNKNOWN = Meaning(SinkRefused, "The server's log says more; run cdc check.")
# Classes whose primary message can quote a value of a row, and the text that replaces it.
_QUOTES_DATA = {
    "22": "the server refused a value",
    "23": "the server refused a row by a constraint or unique index that the sink did not make",
    "P0": "a trigger or function in the database raised an error",
}
# Reasons to refuse one table; the sink can still store the others.
_OF_ONE_TABLE = ("0A", "21", "22", "23", "2B", "42", "54", "P0")
_NOT_OF_ONE_TABLE = ("42501", "42P01")
_REMEDIES = {
    "0A000": "Drop the view or rule that uses the column; create it again after the change.",
    "2BP01": "Drop the objects that depend on the table or column; create them again after the change.",
    "54011": "Exclude columns at the source: a table of PostgreSQL has 1,600 at most.",
    "54000": "Shorten the value, or exclude the column at the source: it exceeds a limit of PostgreSQL "
    "(8 kB of fixed-width columns in a row, 2,704 bytes of a key, 1 GB of a value).",
}
_TABLE_REMEDY = (
    "Undo manual changes of the table, its triggers and its constraints, or exclude it at the source."
)
# Raised by a value that a cast does not accept, or for types without a cast.
_CONVERSIONS = ("22", "42846", "42804")
# The connection is unusable.
CONNECTION_LOST = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04")


def translate(error: psycopg.Error, where: str, operation: str) -> CdcError:
    """Return psycopg's error as ours, to be raised `from` it; `operation` is a gerund."""
    if isinstance(error, ConnectionRefused):
        return _refused(error, where, operation)
    state = state_of(error)
    if not state:
        return SinkUnavailable(f"{operation}: the connection was lost", where=where, remedy=RETRIED)
    if _is_race(error, state):
        message = f"{operation}: another session was creating an object of the same name (SQLSTATE {state})"
        return SinkUnavailable(message, where=where, remedy=RETRIED)
    meaning = _meaning(state)
    return meaning.kind(f"{operation}: {_said(error, state)}", where=where, remedy=meaning.remedy)


def table_refusal(error: psycopg.Error) -> CdcError | None:
    """Return the error if it is about one table; None if the database, its disk or the session is at
    fault.
    """
    state = state_of(error)
    if not state.startswith(_OF_ONE_TABLE) or state in _NOT_OF_ONE_TABLE or _is_race(error, state):
        return None
    column = f", column {error.diag.column_name}" if error.diag.column_name else ""
    return SinkRefused(f"{_said(error, state)}{column}", remedy=_REMEDIES.get(state, _TABLE_REMEDY))


def another_session(where: str) -> SinkRefused:
    """Return the error for a pooler that has moved us to a session without our settings and tables."""
    message = "a connection pooler has given this transaction another session of the server"
    return SinkRefused(message, where=where, remedy=_POOLER.remedy)


def is_conversion(error: Exception) -> bool:
    """Return whether a value could not be converted to another type."""
    return isinstance(error, psycopg.Error) and state_of(error).startswith(_CONVERSIONS)


def is_connection_lost(error: psycopg.Error) -> bool:
    """Return whether the connection is unusable."""
    state = state_of(error)
    return not state or state.startswith(CONNECTION_LOST)


def state_of(error: psycopg.Error) -> str:
    """Return the SQLSTATE; '' if the server did not answer."""
    return error.sqlstate or error.diag.sqlstate or ""


def _is_race(error: psycopg.Error, state: str) -> bool:
    """Return whether two sessions made the same schema or table at once: `if not exists` does not see what is
    not committed, and the server's own catalog refuses the second row.
    """
    return state == "23505" and error.diag.schema_name == "pg_catalog"


def _meaning(state: str) -> Meaning:
    return _STATES.get(state) or _CLASSES.get(state[:2]) or _UNKNOWN


def _said(error: psycopg.Error, state: str) -> str:
    quoted = _QUOTES_DATA.get(state[:2])
    return f"{quoted or error.diag.message_primary or 'the server refused'} (SQLSTATE {state})"


def _refused(error: ConnectionRefused, where: str, operation: str) -> CdcError:
    refusal = error.refusal
    if refusal.state:
        meaning = _meaning(refusal.state)
    elif refusal.step is ConnectionStep.PASSWORD:
        meaning = _LOGIN
    elif refusal.step is ConnectionStep.TLS:
        meaning = Meaning(SinkRefused, "Set sslmode and sslrootcert in url to what the server offers.")
    else:
        meaning = Meaning(SinkUnavailable, UNREACHED)
    return meaning.kind(f"{operation}: {refusal.message}", where=where, remedy=meaning.remedy)
