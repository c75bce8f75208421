"""Meanings of a server's errors: the frame that each connector fills with the codes of its database.

A connector decides by code (SQLSTATE, error number), never by text that a server translates; a code that its
table lacks is `UNKNOWN` and stops the source. The same outage has the same words in every connector.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdc.errors import CdcError, SourceRefused, SourceUnavailable


@dataclass(frozen=True, slots=True)
class ErrorMeaning:
    """The kind of error that a code means, and what the operator can do."""

    kind: type[CdcError]
    remedy: str

    def error(self, text: str, where: str, doing: str = "") -> CdcError:
        """Return the error; `doing` is a gerund (`creating the slot`), `text` holds no value of a row."""
        return self.kind(f"{doing}: {text}" if doing else text, where=where, remedy=self.remedy)


RETRIED = "It is retried automatically."
WAIT = ErrorMeaning(SourceUnavailable, "No action needed: it is retried automatically.")
UNREACHED = f"Start the server, or correct host and port in url. {RETRIED}"
LOCKED = ErrorMeaning(SourceUnavailable, f"Another session has a lock or a transaction open. {RETRIED}")
TOO_MANY_CONNECTIONS = ErrorMeaning(SourceUnavailable, f"{RETRIED} If it lasts, raise max_connections.")
NO_DATABASE = ErrorMeaning(SourceRefused, "Check the database name in url.")
NO_PRIVILEGE = ErrorMeaning(SourceRefused, "Run cdc check: it prints the grant for each missing privilege.")
UNKNOWN = ErrorMeaning(SourceRefused, "The server's log says more; run cdc check.")


def no_answer(doing: str, where: str) -> SourceUnavailable:
    """Return the error of a command that the server did not answer in time."""
    return SourceUnavailable(f"{doing}: the server gave no answer in time", where=where, remedy=RETRIED)


def stream_ended(doing: str, where: str) -> SourceUnavailable:
    """Return the error of a stream that the server ended without a reason."""
    remedy = "It is restarted automatically."
    return SourceUnavailable(f"{doing}: the server ended the stream", where=where, remedy=remedy)


def snapshot_closed(where: str) -> SourceUnavailable:
    """Return the error of a reader whose snapshot was closed under it."""
    return SourceUnavailable("the snapshot is closed", where=where, remedy=RETRIED)
