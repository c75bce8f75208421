"""One SELECT as a prepared statement: its rows come in the binary protocol, exact where text would round, as
bytes of the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pymysql.protocol import MysqlPacket

from cdc.errors import DecodeError
from connectors.mysql.channel import Channel, Connection, socket_of

_PREPARE, _EXECUTE, _CLOSE = 0x16, 0x17, 0x19
# No cursor: the rows follow at once. Iteration count, always 1.
_EXECUTE_TAIL = b"\x00" + (1).to_bytes(4, "little")
# One read of the socket: large enough that a read costs nothing beside its decoding.
READ_BYTES = 512 * 1024
# How often a reader whose server is silent looks whether it is still wanted.
POLL_SECONDS = 1.0


class Prepared:
    """Runs one statement on a connection that does nothing else meanwhile; PyMySQL's errors come out as they
    are.
    """

    def __init__(self, connection: Connection, statement: str, where: str) -> None:
        self._connection = connection
        self._where = where
        self._id = _prepare(connection, statement)

    @contextmanager
    def execute(self, is_wanted: Callable[[], bool]) -> Iterator[Iterator[bytes]]:
        """The bytes of the answer, for as long as the caller takes them and `is_wanted`."""
        raw = socket_of(self._connection)
        timeout = raw.gettimeout()
        channel = Channel(self._connection, self._where)
        channel.send(bytes([_EXECUTE]) + self._id + _EXECUTE_TAIL)
        yield _received(channel, is_wanted)
        # PyMySQL believes that its own timeout is still set.
        raw.settimeout(timeout)

    def close(self) -> None:
        """Forget the statement; the server gives no answer."""
        Channel(self._connection, self._where).send(bytes([_CLOSE]) + self._id)


def raise_error(packet: bytes) -> None:
    """What PyMySQL raises for an ERR packet."""
    MysqlPacket(packet, "utf8").raise_for_error()


def _received(channel: Channel, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
    while is_wanted():
        data = channel.recv(READ_BYTES, POLL_SECONDS)
        if data:
            yield data


def _prepare(connection: Connection, statement: str) -> bytes:
    """COM_STMT_PREPARE; the statement's id. The descriptions that follow come again with the rows."""
    connection._execute_command(_PREPARE, statement)  # type: ignore[attr-defined]
    answer = connection._read_packet()  # type: ignore[attr-defined]
    body = bytes(answer.get_all_data())
    if len(body) < 12 or body[0] != 0:
        message = "an answer to a statement that is none"
        raise DecodeError(message)
    columns, parameters = (int.from_bytes(body[at : at + 2], "little") for at in (5, 7))
    for count in (parameters, columns):
        # Each description, and the EOF behind them.
        for _ in range(count + 1 if count else 0):
            connection._read_packet()  # type: ignore[attr-defined]
    return body[1:5]
