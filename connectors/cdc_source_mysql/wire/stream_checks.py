"""Checks of the binlog's own structure: names of files, server starts, nesting, unknown events."""

from __future__ import annotations

from cdc.errors import DecodeError, UnknownEvent

# In a format description: behind its version and the server's.
_STARTED_AT = 2 + 50


def file_name(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        message = "a binlog file whose name is not text"
        raise DecodeError(message) from None


def tells_server_start(description: bytes | memoryview) -> bool:
    """Whether a format description (its body) stands where the server started. Servers also leave the time
    out where a dump begins inside of a file.
    """
    return any(description[_STARTED_AT : _STARTED_AT + 4])


def nested() -> DecodeError:
    return DecodeError("a transaction begins inside another")


def unknown(event_type: int) -> UnknownEvent:
    return UnknownEvent(
        f"an event of type {event_type}, which this version does not support",
        remedy="Update the daemon; nothing after the event was read.",
    )
