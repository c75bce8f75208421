"""The bytes of one connection, below PyMySQL: commands go out whole, answers come in as they arrive.

PyMySQL logs in and makes TLS; then the channel owns the connection. The protocol is strictly question and
answer, so nothing is in PyMySQL's own buffer between two commands and the socket can be read directly. Used
by one thread at a time; `close` may come from any.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import Any, TypeAlias, cast

from pymysql.connections import Connection as PyConnection
from pymysql.err import InterfaceError

from cdc.errors import SourceUnavailable
from cdc.kit.errors import no_answer
from cdc_source_mysql.errors import translate_packet

Connection: TypeAlias = "PyConnection[Any]"

# One packet carries at most so many bytes; a longer command is split.
_MAX_PACKET = 2**24 - 1
# A server that takes no command for so long is dead or hopelessly busy.
SEND_SECONDS = 60.0
# Answers to commands that need no lock and no work.
ANSWER_SECONDS = 60.0


# A connection that a firewall forgot, or whose host lost power, is noticed within a minute: 20 + 4 * 10 s.
_KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4}
_USER_TIMEOUT_MILLISECONDS = 60_000


class Channel:
    """Owns a PyMySQL connection and reads its socket itself."""

    def __init__(self, connection: Connection, where: str) -> None:
        self.connection = connection
        self.where = where
        self._socket = socket_of(connection)
        self._timeout: float | None = None  # Not set yet by us.
        self._buffer = bytearray()
        self._closed = False

    def send(self, command: bytes) -> None:
        """Send one command (its code and payload) as a new exchange."""
        parts = []
        for number, start in enumerate(range(0, len(command) + 1, _MAX_PACKET)):
            piece = command[start : start + _MAX_PACKET]
            parts += [len(piece).to_bytes(3, "little"), bytes([number % 256]), piece]
        try:
            self._within(SEND_SECONDS)
            self._socket.sendall(b"".join(parts))
        except OSError as error:
            raise self._lost() from error

    def recv(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """Return the bytes that have arrived, at most that many: packets as on the wire, cut anywhere. b"" if
        none came in time; 0 only looks.

        Raises:
            SourceUnavailable: the connection is closed, by either side.
        """
        if len(self._buffer) < max_bytes:
            self._buffer = bytearray(max_bytes)
        with memoryview(self._buffer) as view:
            try:
                self._within(timeout_seconds)
                size = self._socket.recv_into(view[:max_bytes])
                # Closed by another thread meanwhile, TLS gives what it can't decrypt any more.
                if size == 0 or self._closed:
                    raise self._lost()
                size += self._decrypted(view[size:max_bytes])
            except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
                return b""
            except (OSError, ValueError) as error:  # ValueError: another thread closed it between two calls.
                raise self._lost() from error
            return bytes(view[:size])

    def answer(self, doing: str, timeout_seconds: float = ANSWER_SECONDS) -> bytes:
        """One whole packet: the short answer to a command; `doing` is a gerund.

        Raises:
            CdcError: the answer is an error, or none came in time.
        """
        deadline = time.monotonic() + timeout_seconds
        size = int.from_bytes(self._exactly(4, doing, deadline)[:3], "little")
        payload = self._exactly(size, doing, deadline)
        if payload[:1] == b"\xff":
            raise translate_packet(payload, self.where, doing)
        return payload

    def _exactly(self, size: int, doing: str, deadline: float) -> bytes:
        found = b""
        while len(found) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise no_answer(doing, self.where)
            found += self.recv(size - len(found), left)
        return found

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for bytes or the end of the connection; return False if the time is up first."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(timeout_seconds * 1000))
        except (OSError, ValueError) as error:
            raise self._lost() from error

    def close(self) -> None:
        """End the connection, without a word to the server. May be called twice, and from another thread."""
        self._closed = True
        with contextlib.suppress(OSError):  # Closed, or the other side was first.
            # A thread that waits in recv wakes up by this, not by the closing of the descriptor.
            self._socket.shutdown(socket.SHUT_RDWR)
        reader = vars(self.connection).get("_rfile")
        if reader is not None:  # It holds the socket open.
            reader.close()
        self._socket.close()

    def _decrypted(self, rest: memoryview) -> int:
        """More of what TLS has decrypted already: it gives one record (16 KiB) a call."""
        size = 0
        if isinstance(self._socket, ssl.SSLSocket):
            while size < len(rest) and self._socket.pending():
                size += self._socket.recv_into(rest[size:])
        return size

    def _within(self, timeout_seconds: float) -> None:
        if timeout_seconds != self._timeout:
            self._socket.settimeout(timeout_seconds)
            self._timeout = timeout_seconds

    def _lost(self) -> SourceUnavailable:
        return SourceUnavailable(
            "the connection to the server was closed",
            where=self.where,
            remedy="The connection is reopened automatically.",
        )


def socket_of(connection: Connection) -> socket.socket:
    """The socket under a connection of PyMySQL, which keeps it to itself."""
    found = vars(connection).get("_sock")
    if found is None:
        raise InterfaceError(0, "the connection is closed")
    return cast("socket.socket", found)


def notice_death(connection: Connection) -> None:
    """Have the kernel end the connection when the other side is gone without a word."""
    raw = socket_of(connection)
    if raw.family == socket.AF_UNIX:
        return
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MILLISECONDS)
