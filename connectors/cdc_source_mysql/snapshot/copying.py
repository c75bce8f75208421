"""Reads the rows of one chunk into change batches: one statement, one connection, one thread.

The SELECT is a prepared statement: its rows come in the binary protocol, exact where text would round, as
bytes of the connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from cdc.errors import DecodeError, SourceUnavailable
from cdc.kit.errors import no_answer, snapshot_closed
from cdc.kit.pacing import COPY_BATCH_BYTES
from cdc.model import ChangeBatch, Operation, Position, TableId, TableSchema
from cdc.model.batch import snapshot_batch
from cdc.spi.source import SourceContext
from cdc_source_mysql.binlog.positions import ServerMemory, parse
from cdc_source_mysql.binlog.stream import Captured, StreamProgress
from cdc_source_mysql.channel import Channel, Connection, socket_of
from cdc_source_mysql.connection import Connector, ServerFacts
from cdc_source_mysql.errors import translate_packet
from cdc_source_mysql.options import MysqlOptions
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.snapshot.chunks import KeyIndex, KeyRange, condition
from cdc_source_mysql.statements import quoted
from cdc_source_mysql.wire.decoder import ResultDecoder, Results, comes_as_text, result_plans


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """Parts that a snapshot shares with its source. `progress` is read from the snapshot's thread; before any
    stream it holds the position that `open` returned, and the definitions of its memory.
    """

    connector: Connector
    context: SourceContext
    options: MysqlOptions
    progress: StreamProgress

    def captured_of(self, facts: ServerFacts) -> Captured:
        """Return the stream's state on the server that answers here: places of two servers do not compare.

        Raises:
            SourceUnavailable: after a failover it has given nothing of this one yet.
        """
        captured, server = self.progress.captured, self.progress.server
        assert captured is not None
        if server is not None:
            require_same(self, server, facts)
            if server.epoch != parse(captured.position.text).epoch:
                raise _not_the_streams(self)
        return captured


def require_same(source: SnapshotSource, server: ServerFacts | ServerMemory, other: ServerFacts) -> None:
    """A snapshot of one server must not read from another: it may be behind.

    Raises:
        SourceUnavailable: it would.
    """
    if server.identity != other.identity:
        raise _not_the_streams(source)


def _not_the_streams(source: SnapshotSource) -> SourceUnavailable:
    return SourceUnavailable(
        "the stream has not reached this server yet",
        where=source.connector.where,
        remedy="The snapshot is retried automatically.",
    )


_PREPARE, _EXECUTE, _CLOSE = b"\x16", b"\x17", b"\x19"
# No cursor: the rows follow at once. Iteration count, always 1.
_EXECUTE_TAIL = b"\x00" + (1).to_bytes(4, "little")
_HEADER_BYTES = 4
_OK, _ERR = 0x00, 0xFF
# Status, id, columns, parameters, filler, warnings.
_ANSWER_BYTES = 12
# One read of the socket: large enough that a read costs nothing compared with its decoding.
READ_BYTES = 512 * 1024
# How often a reader whose server is silent looks whether it is still wanted.
POLL_SECONDS = 1.0
# A statement waits for the table's metadata as long as an ALTER holds it, which may be long; then it is tried
# again.
PREPARE_SECONDS = 60.0
_DOING = "copying the table"
# MariaDB sends these as text; as bytes they are what the binlog has.
_BYTES_OF = {"uuid": 16, "inet6": 16, "inet4": 4}


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
    """The id in the answer to a prepare; the descriptions after it are sent again with the rows."""
    body = next(answers)
    if body[:1] == bytes([_ERR]):
        raise translate_packet(body, where, doing)
    if len(body) < _ANSWER_BYTES or body[0] != _OK:
        message = "an answer to a statement that is none"
        raise DecodeError(message, where=where)
    columns, parameters = (int.from_bytes(body[at : at + 2], "little") for at in (5, 7))
    for count in (parameters, columns):
        # Each description, and the EOF after them.
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
            raise no_answer(doing, where)


@dataclass(frozen=True, slots=True)
class CopyShape:
    """A table as it is copied."""

    definition: TableDefinition
    plans: tuple[ColumnPlan, ...]
    schema: TableSchema
    index: KeyIndex

    @property
    def table(self) -> TableId:
        return self.definition.table


class Copying:
    """Runs SELECTs for one table."""

    def __init__(
        self,
        connection: Connection,
        source: SnapshotSource,
        shape: CopyShape,
        position: Position,
        taken_at: datetime,
    ) -> None:
        self._connection = connection
        self._shape = shape
        self._source = source
        self._place = parse(position.text).place
        self._taken_at = taken_at
        self._where = f"{source.connector.where}, {shape.table}"

    def batches(self, statement: str, is_wanted: Callable[[], bool]) -> Iterator[ChangeBatch]:
        """Yield all rows of the statement, about COPY_BATCH_BYTES a batch; end early if not `is_wanted`."""
        decoder = ResultDecoder(
            str(self._shape.table),
            result_plans(self._shape.plans),
            self._source.options.unrepresentable,
            self._source.context.count,
        )
        prepared = PreparedStatement(self._connection, statement, self._where, _DOING)
        with prepared.execute(is_wanted) as received:
            for data in received:
                decoder.feed(data)
                if decoder.error is not None:
                    raise translate_packet(decoder.error, self._where, _DOING)
                if decoder.byte_count >= COPY_BATCH_BYTES or decoder.finished:
                    yield from self._taken(decoder)
                if decoder.finished:
                    break
        if not decoder.finished:
            raise snapshot_closed(self._where)
        prepared.close()

    def _taken(self, decoder: Results) -> Iterator[ChangeBatch]:
        """Yield the rows that the decoder has, and hold none of them once the caller asks for more."""
        record = decoder.take()
        if record is not None:
            schema, columns, count = self._shape.schema, record.columns, record.num_rows
            yield snapshot_batch(schema, Operation.READ, columns, count, self._place, self._taken_at)


def select_statement(shape: CopyShape, chunk: KeyRange) -> str:
    """All rows of the chunk, every column by name: `*` leaves out invisible ones."""
    columns = ", ".join(_selected(plan) for plan in shape.plans)
    where = condition(shape.index.columns, chunk.lower, chunk.upper)
    return f"select {columns} from {shape.index.from_clause} where {where}"


def touch_statement(shape: CopyShape) -> str:
    """Reads nothing, but keeps the table as it is until the transaction ends."""
    return f"select 1 from {shape.index.from_clause} where false"


def _selected(plan: ColumnPlan) -> str:
    name = quoted(plan.name)
    if comes_as_text(plan):
        return f"convert({name} using utf8mb4)"
    if plan.kind in {"enum", "set"}:
        return f"cast({name} as unsigned)"
    if plan.kind in _BYTES_OF:
        return f"cast({name} as binary({_BYTES_OF[plan.kind]}))"
    return name
