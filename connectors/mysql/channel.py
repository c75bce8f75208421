"""The bytes of one connection, below PyMySQL: commands go out whole, answers come in as they arrive.

PyMySQL logs in and makes TLS; then the channel owns the connection. The protocol is strictly question and
answer, so nothing is in PyMySQL's own buffer between two commands and the socket can be read beside it. Used
by one thread at a time; `close` may come from any.
"""

from __future__ import annotations

import select
import socket
import ssl
from typing import Any, cast

from pymysql.connections import Connection as PyConnection

from cdc.errors import SourceUnavailable

Connection = PyConnection[Any]

# One packet carries at most so many bytes; a longer command is split.
_MAX_PACKET = 2**24 - 1


class Channel:
    """Owns a PyMySQL connection and reads its socket itself."""

    def __init__(self, connection: Connection, where: str) -> None: ...

    def send(self, command: bytes) -> None:
        """Send one command (its code and payload) as a new exchange: sequence number 0."""
        raise NotImplementedError

    def recv(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """What has arrived, at most that much: packets as they are on the wire, cut anywhere. b"" when nothing
        came in time; 0 looks only.

        Raises:
            SourceUnavailable: the connection is closed, by either side.
        """
        raise NotImplementedError

    def wait(self, timeout_seconds: float) -> bool:
        """Whether there is something to receive, at last after that time."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection, without a word to the server. May be called twice, and from another thread."""
        raise NotImplementedError
