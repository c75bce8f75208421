"""One SELECT as a prepared statement: its rows come in the binary protocol, exact where text would round, as
bytes of the connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cdc.errors import DecodeError, SourceUnavailable
from cdc_source_mysql.channel import Channel, Connection, socket_of
from cdc_source_mysql.errors import translate_packet

_PREPARE, _EXECUTE, _CLOSE = b"\x16", b"\x17", b"\x19"
# No cursor: the rows follow at once. Iteration count, always 1.
_EXECUTE_TAIL = b"\x00" + (1).to_bytes(4, "little")
_HEADER_BYTES = 4
_OK, _ERR = 0x00, 0xFF
# Status, id, columns, parameters, filler, warnings.
_ANSWER_BYTES = 12
# One read of the socket: large enough that a read costs nothing beside its decoding.
READ_BYTES = 512 * 1024
# How often a reader whose server is silent looks whether it is still wanted.
POLL_SECONDS = 1.0
# A statement waits for the table's metadata as long as an ALTER holds it, which may be long; then it is tried
# again.
PREPARE_SECONDS = 60.0


class PreparedStatement:
    """Runs one statement on a connection that does nothing else meanwhile."""

    def __init__(self, connection: Connection, statement: str, where: str, doing: str) -> None:
        """`doing` is a gerund, for errors."""
        self._raw = socket_of(connection)
        self._timeout_seconds = self._raw.gettimeout()
        self._channel = Channel(connection, where)
        self._channel.send(_PREPARE + statement.encode())
        answers = _packets(self._channel, where, doing)
        self._id = _statement_id(answers, where, doing)
        self._restore()

    @contextmanager
    def execute(self, is_wanted: Callable[[], bool]) -> Iterator[Iterator[bytes]]:
        """The bytes of the answer, for as long as the caller takes them and `is_wanted`."""
        self._channel.send(_EXECUTE + self._id + _EXECUTE_TAIL)
        yield self._received(is_wanted)
        self._restore()

    def close(self) -> None:
        """Forget the statement; the server gives no answer."""
        self._channel.send(_CLOSE + self._id)
        self._restore()

    def _received(self, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
        while is_wanted():
            data = self._channel.recv(READ_BYTES, POLL_SECONDS)
            if data:
                yield data

    def _restore(self) -> None:
        """PyMySQL believes that the timeout that it set is there still."""
        self._raw.settimeout(self._timeout_seconds)
        self._channel = Channel(self._channel.connection, self._channel.where)


def _statement_id(answers: Iterator[bytes], where: str, doing: str) -> bytes:
    """The id in the answer to a prepare; the descriptions behind it come again with the rows."""
    body = next(answers)
    if body[:1] == bytes([_ERR]):
        raise translate_packet(body, where, doing)
    if len(body) < _ANSWER_BYTES or body[0] != _OK:
        message = "an answer to a statement that is none"
        raise DecodeError(message, where=where)
    columns, parameters = (int.from_bytes(body[at : at + 2], "little") for at in (5, 7))
    for count in (parameters, columns):
        # Each description, and the EOF behind them.
        for _ in range(count + 1 if count else 0):
            next(answers)
    return body[1:5]


def _packets(channel: Channel, where: str, doing: str) -> Iterator[bytes]:
    """The payloads of short packets."""
    pending = b""
    deadline = time.monotonic() + PREPARE_SECONDS
    while True:
        size = _HEADER_BYTES + int.from_bytes(pending[:3], "little")
        if len(pending) >= max(size, _HEADER_BYTES + 1):
            yield pending[_HEADER_BYTES:size]
            pending = pending[size:]
            continue
        pending += channel.recv(READ_BYTES, POLL_SECONDS)
        if time.monotonic() > deadline:
            raise SourceUnavailable(
                f"{doing}: the server gave no answer in time",
                where=where,
                remedy="It is retried automatically.",
            )
