"""The binlog into Arrow: packets, events and the grammar of transactions.

One source for both implementations: `stream_native` is compiled from it, with the types in
`stream_native.pxd`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.record_batches import locate
from cdc_source_mysql.schema.type_plan import TablePlan
from cdc_source_mysql.wire.codes import (
    ANNOTATE_ROWS_EVENT,
    ANONYMOUS_GTID_EVENT,
    ARTIFICIAL_FLAG,
    CHECKSUM_BYTES,
    ENDED,
    EVENT,
    FOR_CALLER,
    FORMAT_DESCRIPTION_EVENT,
    FULL,
    GTID_EVENT,
    GTID_TAGGED_EVENT,
    HEADER_BYTES,
    HEARTBEAT_EVENT,
    HEARTBEAT_EVENT_V2,
    IGNORABLE_FLAG,
    MARIADB_GTID,
    MARIADB_GTID_EVENT,
    MARIADB_PREPARED_XA,
    MARIADB_STANDALONE,
    NEED,
    NO_GTID,
    NOTHING,
    PART,
    PARTIAL_ROW_DATA_EVENT,
    PAYLOAD_HEAD_BYTES,
    PIECE_BYTES,
    QUERY_COMPRESSED_EVENT,
    QUERY_EVENT,
    REFUSED,
    ROTATE_EVENT,
    SIZE_AT,
    SKIPPED,
    START_ENCRYPTION_EVENT,
    STREAMED,
    TABLE,
    TABLE_MAP_EVENT,
    TRANSACTION_PAYLOAD_EVENT,
    XA_PREPARE_EVENT,
    XID_EVENT,
)
from cdc_source_mysql.wire.compressed import plain_query
from cdc_source_mysql.wire.events import file_name, is_server_start, nested, unknown
from cdc_source_mysql.wire.payload import RowPieces, payload_of

try:
    import cython
except ImportError:
    from cdc.native import interpreted as cython
if not cython.compiled:
    from cdc.native.cursor_python import Reader
    from cdc_source_mysql.wire.buffer_python import Buffer
    from cdc_source_mysql.wire.events import (
        Event,
        Runs,
        caught_up,
        read_heartbeat,
        read_payload_fields,
        skip_to_statement,
    )
    from cdc_source_mysql.wire.packets import Packets
    from cdc_source_mysql.wire.rows_events import RowsEvents, operation_of

# What the steps answer beside `next`'s codes.
CONSUMED = 7
ERROR_PACKET = 0xFF
END_PACKET = 0xFE
END_PACKET_BYTES = 9
# Where in a transaction the stream is. NAMED: its GTID came, and BEGIN or its only statement is due.
# CLOSED: its end came inside of a compressed payload, whose own end is due.
OUTSIDE, NAMED, OPEN, CLOSED = 0, 1, 2, 3


class BinlogDecoder:
    """See `cdc_source_mysql.wire.decoder.Binlog`."""

    def __init__(
        self, unrepresentable: str, count: Callable[[str, int], None], flavour: str, epoch: int = 0
    ) -> None:
        self.is_mariadb = flavour == "mariadb"
        self.rows_events = RowsEvents(unrepresentable, count, epoch)
        self.packets = Packets()
        self.reader = Reader()
        self.event = Event()
        # What is for the caller of the current packet or event.
        self.found = b""
        # A compressed transaction: what is decompressed, and of a large one its head and its checksum.
        self.payload: Any = None
        self.inner = Buffer()
        self.held: bytes | None = None
        self.is_streamed = False
        self.head: bytes | None = None
        self.tail = b""
        self.running_checksum = 0
        # A rows event that came in pieces, whole.
        self.pieces = RowPieces()
        self.joined: bytes | None = None
        self.has_checksum = False
        self.transactions = 0
        self.in_transaction = False
        self.is_torn = False
        # A ROTATE has named another file, whose format description is yet to come.
        self.is_next_file = False
        self.file = ""
        self.offset = 0
        self.end_file = ""
        self.end_offset = 0
        # Where the current event ends, or the compressed transaction that it is in.
        self.event_end = 0
        self.state = OUTSIDE
        self.is_skipped = False
        self.has_begun = False
        self.commit_at = 0
        self.runs = Runs()

    @property
    def changes(self) -> int:
        return self.rows_events.changes

    @property
    def byte_count(self) -> int:
        return self.rows_events.byte_count

    @property
    def transaction_changes(self) -> int:
        return self.rows_events.transaction_changes

    @property
    def commit_ts_us(self) -> int | None:
        return self.commit_at if self.has_begun else None

    @property
    def gtid_flags(self) -> int:
        return self.rows_events.gtid.flags

    @property
    def hides_cascades(self) -> bool:
        return self.rows_events.hides_cascades

    @property
    def position_text(self) -> str:
        return self.rows_events.position_text()

    @property
    def tx(self) -> str:
        return self.rows_events.tx_text()

    def feed(self, data: bytes | memoryview) -> None:
        self.packets.buffer.append(data)

    def next(self, soft_bytes: int, hard_bytes: int) -> tuple[int, bytes | None]:
        rows_events = self.rows_events
        try:
            while True:
                rows_events.place = None
                code = self.step() if self.payload is None else self.step_inside()
                if code == CONSUMED:
                    if self.in_transaction:
                        if rows_events.byte_count >= hard_bytes:
                            return PART, None
                    elif rows_events.byte_count >= soft_bytes:
                        return FULL, None
                elif code == EVENT:
                    return EVENT, plain_query(self.found)
                elif code == TABLE:
                    return TABLE, rows_events.wanted_map()
                else:
                    return code, self.found if code == REFUSED else None
        except CdcError as error:
            raise self.located(error) from None

    def located(self, error: CdcError) -> CdcError:
        table = self.rows_events.place
        if table is not None:
            column = max(table.new.column, table.old.column)
            return locate(error, table.shape.place(column, self.rows_events.position_text()))
        return locate(error, f"{self.file}:{self.offset}" if self.file else "the binary log")

    def step(self) -> int:
        """One packet."""
        reader, event = self.reader, self.event
        if self.head is not None:
            return self.open_streamed()
        code = self.packets.look(reader)
        if code == NOTHING:
            return NEED
        if code == STREAMED:
            return self.open_streamed()
        size = reader.remaining()
        code = reader.u8()
        if code == ERROR_PACKET:
            self.found = reader.slice(0, size)
            return REFUSED
        if code == END_PACKET and size < END_PACKET_BYTES:
            self.packets.consume()
            return ENDED
        if code:
            message = f"a packet that begins with {code}: expected an event"
            raise DecodeError(message)
        event.read(reader)
        self.take_checksum_off(event, reader)
        self.event_end = self.end_of(event)
        code = self.process(event, reader)
        if code == TABLE:
            return TABLE
        self.packets.consume()
        if code == EVENT:
            self.found = reader.slice(event.start, event.end)
        if self.payload is None:
            self.offset = self.event_end
            self.packets.buffer.give_back()
        return code

    def take_checksum_off(self, event: Event, reader: Reader) -> int:
        """Verify it first; a format description always has one."""
        size = reader.remaining()
        if event.type == FORMAT_DESCRIPTION_EVENT:
            if size < 1 + CHECKSUM_BYTES:
                message = "a format description that is too short"
                raise DecodeError(message)
            event.end -= CHECKSUM_BYTES
            reader.cut(CHECKSUM_BYTES)
            self.has_checksum = reader.little_at(size - CHECKSUM_BYTES - 1, 1) == 1
            return 0
        if not self.has_checksum:
            return 0
        if size < CHECKSUM_BYTES:
            message = "an event without its checksum"
            raise DecodeError(message)
        event.end -= CHECKSUM_BYTES
        checksum = reader.cut(CHECKSUM_BYTES)
        found = crc32(reader.view(event.start, event.end))
        if found != checksum:
            message = "an event whose checksum is wrong"
            raise DecodeError(message)
        return 0

    def end_of(self, event: Event) -> int:
        """Where in its file the event ends. Its size counts; `log_pos` (32 bits, 0 in some) adds what the
        server left out.
        """
        kind = event.type
        if kind in (FORMAT_DESCRIPTION_EVENT, START_ENCRYPTION_EVENT):
            # From the middle of a file, the server sends those of its beginning, without a place.
            return event.log_pos or self.offset
        if kind == ROTATE_EVENT:
            return self.offset
        if kind in (HEARTBEAT_EVENT, HEARTBEAT_EVENT_V2) or event.flags & ARTIFICIAL_FLAG:
            return self.offset if self.in_transaction else caught_up(self.offset, event.log_pos)
        return caught_up(self.offset + event.size, event.log_pos)

    def process(self, event: Event, reader: Reader) -> int:
        """CONSUMED; EVENT when it is for the caller, too; TABLE when its table must be known first."""
        kind = event.type
        if kind == TABLE_MAP_EVENT:
            self.rows_events.table_map(reader)
            return CONSUMED
        if operation_of(kind):
            return self.read_rows(kind, reader)
        if kind in (QUERY_EVENT, QUERY_COMPRESSED_EVENT):
            return self.query(event, reader)
        if kind == XID_EVENT:
            return self.end_transaction()
        if kind == XA_PREPARE_EVENT:
            self.end_transaction()
            return self.ended_by(event, reader)
        code = self.process_outer(event, reader) if self.payload is None else 0
        return code or self.process_other(event, reader)

    def process_other(self, event: Event, reader: Reader) -> int:
        kind = event.type
        if kind == PARTIAL_ROW_DATA_EVENT:
            return self.row_piece(reader)
        if kind == ANNOTATE_ROWS_EVENT:
            self.rows_events.annotate(reader)
            return CONSUMED
        if kind in FOR_CALLER:
            return EVENT
        if kind in SKIPPED or event.flags & IGNORABLE_FLAG:
            return CONSUMED
        raise unknown(kind)

    def process_outer(self, event: Event, reader: Reader) -> int:
        """Process an event that cannot be inside of a compressed transaction; return 0 for other events."""
        kind = event.type
        if kind in (MARIADB_GTID_EVENT, GTID_TAGGED_EVENT, GTID_EVENT, ANONYMOUS_GTID_EVENT):
            return self.name_transaction(event, reader)
        if kind in (ROTATE_EVENT, FORMAT_DESCRIPTION_EVENT):
            return self.begin_file(event, reader)
        if kind == TRANSACTION_PAYLOAD_EVENT:
            return self.open_payload(reader, 0)
        if kind == HEARTBEAT_EVENT_V2:
            return self.heartbeat(reader)
        return 0

    def read_rows(self, kind: int, reader: Reader) -> int:
        if self.state != OPEN:
            message = "rows outside of a transaction"
            raise DecodeError(message)
        if self.is_skipped:
            return CONSUMED
        return TABLE if self.rows_events.rows(kind, reader) else CONSUMED

    def row_piece(self, reader: Reader) -> int:
        """A piece of a rows event; with the last one all of it is read, again after TABLE."""
        if self.joined is None:
            self.joined = self.pieces.add(reader.rest())
            if self.joined is None:
                return CONSUMED
        whole, inside = Event(), Reader()
        inside.open(self.joined)
        whole.read(inside)
        if not operation_of(whole.type):
            raise unknown(whole.type)
        code = self.read_rows(whole.type, inside)
        if code != TABLE:
            self.joined = None
        return code

    def heartbeat(self, reader: Reader) -> int:
        position = read_heartbeat(reader)
        if position and not self.in_transaction:
            self.event_end = position
        return CONSUMED

    def begin_file(self, event: Event, reader: Reader) -> int:
        """ROTATE or a format description: table ids start over, and an open transaction will never end."""
        is_next = False
        self.is_torn = self.in_transaction and self.rows_events.transaction_changes > 0
        if self.in_transaction:
            self.in_transaction = False
            self.state = OUTSIDE
        self.rows_events.forget_ids()
        if event.type == ROTATE_EVENT:
            self.event_end = reader.little(8)
            before, self.file = self.file, file_name(reader.rest())
            self.is_next_file = self.is_next_file or before not in ("", self.file)
        else:
            is_next = self.is_next_file or is_server_start(reader.rest())
            self.is_next_file = False
        return EVENT if self.is_torn or is_next else CONSUMED

    def name_transaction(self, event: Event, reader: Reader) -> int:
        """A GTID event."""
        gtid = self.rows_events.gtid
        if self.state != OUTSIDE:
            raise nested()
        if (event.type == MARIADB_GTID_EVENT) != self.is_mariadb:
            raise unknown(event.type)
        if event.type == MARIADB_GTID_EVENT:
            gtid.read_mariadb(reader, event.server_id)
        elif event.type == GTID_TAGGED_EVENT:
            gtid.read_tagged(reader)
        else:
            gtid.read(reader)
            if event.type == ANONYMOUS_GTID_EVENT:
                gtid.kind = NO_GTID
        self.begin(event)
        if gtid.kind != MARIADB_GTID:
            return CONSUMED
        if not gtid.flags & MARIADB_STANDALONE:
            self.state = OPEN
        return EVENT if gtid.flags & MARIADB_PREPARED_XA else CONSUMED

    def begin(self, event: Event) -> int:
        self.state = NAMED
        self.in_transaction = True
        self.has_begun = True
        self.is_skipped = False
        self.commit_at = self.rows_events.gtid.commit_at
        if self.commit_at == 0:
            self.commit_at = event.at_seconds * 1_000_000
        return self.rows_events.begin(self.file, self.event_end, self.commit_at)

    def end_transaction(self) -> int:
        if self.state != OPEN:
            message = "the end of a transaction that has not begun"
            raise DecodeError(message)
        if self.payload is not None:
            self.state = CLOSED
            return CONSUMED
        return self.finish_transaction()

    def ended_by(self, event: Event, reader: Reader) -> int:
        """The event is for the caller: inside of a compressed transaction when that has ended, too."""
        if self.payload is None:
            return EVENT
        self.held = reader.slice(event.start, event.end)
        return CONSUMED

    def finish_transaction(self) -> int:
        self.state = OUTSIDE
        self.in_transaction = False
        self.transactions += 1
        self.end_file = self.file
        self.end_offset = self.event_end
        self.runs.note(self.rows_events.gtid)
        return CONSUMED

    def gtid_runs(self) -> list[Any]:
        return self.runs.take()

    def query(self, event: Event, reader: Reader) -> int:
        """A statement: BEGIN and COMMIT are ours, the others are for the caller."""
        is_plain = event.type == QUERY_EVENT
        if is_plain:
            skip_to_statement(reader)
        if self.state == CLOSED:
            message = "a statement after the end of its transaction"
            raise DecodeError(message)
        if self.state == OPEN:
            return self.query_inside(event, reader) if is_plain else EVENT
        if self.state == OUTSIDE:
            # A transaction without a GTID event.
            self.rows_events.gtid.clear()
            self.begin(event)
        self.state = OPEN
        if is_plain and reader.holds(b"BEGIN"):
            return CONSUMED
        if not (is_plain and reader.starts_with(b"XA START")):
            self.end_transaction()
        return EVENT

    def query_inside(self, event: Event, reader: Reader) -> int:
        if reader.holds(b"COMMIT"):
            return self.end_transaction()
        if reader.holds(b"ROLLBACK"):
            self.end_transaction()
            return self.ended_by(event, reader) if self.rows_events.transaction_changes else CONSUMED
        if reader.holds(b"BEGIN"):
            raise nested()
        return EVENT

    def open_payload(self, reader: Reader, missing: int) -> int:
        """A compressed transaction, of which `missing` bytes have still to come."""
        if self.state != NAMED:
            message = "a compressed transaction without a GTID event before it"
            raise DecodeError(message)
        fields = read_payload_fields(reader)
        self.payload = payload_of(fields, reader.rest(), missing, f"{self.file}:{self.offset}")
        self.held = None
        self.is_streamed = False
        return CONSUMED

    def open_streamed(self) -> int:
        """A large compressed transaction: its header, then the rest as it comes."""
        reader, event = self.reader, self.event
        if self.head is None:
            self.packets.begin_pieces()
            self.head = b""
        while len(self.head) < PAYLOAD_HEAD_BYTES:
            piece = self.packets.piece(PAYLOAD_HEAD_BYTES - len(self.head))
            if not piece:
                return NEED
            self.head += piece
        reader.open(self.head)
        reader.skip(1)
        event.read_fields(reader)
        self.event_end = self.end_of(event)
        self.running_checksum = crc32(self.head[1:])
        missing = event.size - (PAYLOAD_HEAD_BYTES - 1)
        if self.has_checksum:
            missing -= CHECKSUM_BYTES
        self.open_payload(reader, missing)
        reader.close()
        self.head = None
        self.tail = b""
        self.is_streamed = True
        return CONSUMED

    def step_inside(self) -> int:
        """One event of a compressed transaction, as soon as it is there."""
        reader, event, inner = self.reader, self.event, self.inner
        while self.payload is not None:
            held = inner.held()
            size = HEADER_BYTES
            if held >= HEADER_BYTES:
                size = max(inner.little(SIZE_AT, 4), HEADER_BYTES)
            if held < size:
                code = self.pump()
                if code != CONSUMED:
                    return code
                continue
            inner.show(reader, 0, size)
            event.read(reader)
            code = self.process(event, reader)
            if code != TABLE:
                inner.skip(size)
                if code == EVENT:
                    self.found = reader.slice(event.start, event.end)
                inner.give_back()
            return code
        return CONSUMED

    def pump(self) -> int:
        """Decompress more, or end."""
        if self.payload.is_hungry:
            data = self.packets.piece(min(PIECE_BYTES, self.payload.missing))
            if not data:
                return NEED
            self.running_checksum = crc32(data, self.running_checksum)
            self.payload.add(data)
            return CONSUMED
        if not self.payload.finished:
            self.inner.append(self.payload.read())
            return CONSUMED
        return self.close_payload()

    def close_payload(self) -> int:
        if self.inner.held():
            message = "a compressed transaction that ends inside an event"
            raise DecodeError(message)
        if self.is_streamed and not self.read_tail():
            return NEED
        if self.state != CLOSED:
            message = "a compressed transaction without its end"
            raise DecodeError(message)
        self.payload = None
        self.offset = self.event_end
        self.finish_transaction()
        if self.held is None:
            return CONSUMED
        self.found = self.held
        return EVENT

    def read_tail(self) -> bool:
        """Whether what follows a large compressed transaction has arrived."""
        while self.has_checksum and len(self.tail) < CHECKSUM_BYTES:
            piece = self.packets.piece(CHECKSUM_BYTES - len(self.tail))
            if not piece:
                return False
            self.tail += piece
        if not self.packets.end_pieces():
            return False
        if self.has_checksum and int.from_bytes(self.tail, "little") != self.running_checksum:
            message = "an event whose checksum is wrong"
            raise DecodeError(message)
        return True

    def set_table(self, body: bytes | memoryview, plan: TablePlan | None) -> None:
        self.rows_events.set_table(body, plan)

    def forget(self) -> None:
        self.rows_events.forget()

    def truncate(self, plan: TablePlan) -> None:
        self.rows_events.truncate(plan)

    def skip_transaction(self) -> None:
        self.is_skipped = True

    def skip_rows(self) -> None:
        self.rows_events.skips_event = True

    def drop_transaction(self, kept: int = 0, end: int | None = None) -> bool:
        return self.rows_events.drop_transaction(
            kept, self.rows_events.transaction_changes if end is None else end
        )

    def attribute(self, tx: str, position_text: str, commit_ts_us: int) -> None:
        self.rows_events.attribute(tx, position_text, commit_ts_us)

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        self.transactions = 0
        return self.rows_events.take()
