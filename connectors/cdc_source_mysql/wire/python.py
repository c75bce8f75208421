"""The binlog in pure Python: the twin of `native.pyx`, for machines without a compiler."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.refusals import locate
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.annotations import KEPT_BYTES
from cdc_source_mysql.wire.codes import (
    ENDED,
    EVENT,
    FULL,
    NEED,
    PART,
    REFUSED,
    TABLE,
)
from cdc_source_mysql.wire.events_python import (
    Event,
    Gtid,
    Run,
    Runs,
    State,
    end_of,
    read_fields,
    read_gtid,
    read_header,
    read_heartbeat,
    read_mariadb_gtid,
    read_statement,
    read_tagged_gtid,
    take_checksum_off,
)
from cdc_source_mysql.wire.gather_python import OPERATIONS, Gatherer
from cdc_source_mysql.wire.little_endian import LittleEndian
from cdc_source_mysql.wire.packets_python import Look, Packets
from cdc_source_mysql.wire.payload_python import Inside
from cdc_source_mysql.wire.rare import RowPieces, file_name, nested, plain_query, tells_server_start, unknown
from cdc_source_mysql.wire.target import Target

_CONSUMED = -1
_ERROR_PACKET = 0xFF
_END_PACKET = 0xFE
_END_PACKET_BYTES = 9


class BinlogDecoder:
    """See `cdc_source_mysql.wire.decoder.Binlog`."""

    def __init__(
        self, unrepresentable: str, count: Callable[[str, int], None], flavour: str, epoch: int = 0
    ) -> None:
        self._is_mariadb = flavour == "mariadb"
        self._rows = Gatherer(unrepresentable, count, epoch)
        self._packets = Packets()
        self._inside = Inside(self._packets)
        self._held: bytes | None = None
        self._pieces = RowPieces()
        self._joined: bytes | None = None
        self._has_checksum = False
        self.transactions = 0
        self.in_transaction = self.is_torn = False
        self._is_next_file = False  # Named by a ROTATE, its format description is yet to come.
        self.file, self.offset = "", 0
        self.end_file, self.end_offset = "", 0
        self.commit_ts_us: int | None = None
        self._event_end = 0
        self._state = State.OUTSIDE
        self._is_skipped = False
        self._runs = Runs()

    @property
    def changes(self) -> int:
        return self._rows.changes

    @property
    def byte_count(self) -> int:
        return self._rows.byte_count

    @property
    def transaction_changes(self) -> int:
        return self._rows.transaction_changes

    @property
    def gtid_flags(self) -> int:
        return self._rows.gtid.flags

    @property
    def position_text(self) -> str:
        return self._rows.position_text

    @property
    def tx(self) -> str:
        return self._rows.tx_text

    def feed(self, data: bytes | memoryview) -> None:
        self._packets.append(data)

    def next(self, soft_bytes: int, hard_bytes: int) -> tuple[int, bytes | None]:
        try:
            while True:
                self._rows.place = None
                code, payload = self._step_inside() if self._inside.is_open else self._step()
                if code != _CONSUMED:
                    return code, self._rows.wanted_map if code == TABLE else payload
                if self.in_transaction:
                    if self.byte_count >= hard_bytes:
                        return PART, None
                elif self.byte_count >= soft_bytes:
                    return FULL, None
        except CdcError as error:
            raise self._located(error) from None

    def _located(self, error: CdcError) -> CdcError:
        table = self._rows.place
        if table is not None:
            return locate(error, table.shape.place(table.column, self.position_text))
        return locate(error, f"{self.file}:{self.offset}" if self.file else "the binary log")

    def _step(self) -> tuple[int, bytes | None]:
        """One packet."""
        if self._inside.is_coming:
            return self._open_streamed(), None
        look, packet = self._packets.look()
        if look is Look.NOTHING:
            return NEED, None
        if look is Look.STREAMED:
            return self._open_streamed(), None
        status = LittleEndian(packet).u8()
        if status == _ERROR_PACKET:
            return REFUSED, packet
        if status == _END_PACKET and len(packet) < _END_PACKET_BYTES:
            self._packets.consume(len(packet))
            return ENDED, None
        if status:
            message = f"a packet that begins with {status}: expected an event"
            raise DecodeError(message)
        event = read_header(packet[1:])
        self._has_checksum = take_checksum_off(event, has_checksum=self._has_checksum)
        self._event_end = end_of(event, self.offset, in_transaction=self.in_transaction)
        code = self._process(event)
        if code == TABLE:
            return TABLE, None
        self._packets.consume(len(packet))
        if not self._inside.is_open:
            self.offset = self._event_end
        return code, plain_query(event.whole) if code == EVENT else None

    def _process(self, event: Event) -> int:
        """_CONSUMED; EVENT when it is for the caller, too; TABLE when its table must be known first."""
        kind = event.type
        step = _STEPS.get(kind)
        if kind in OPERATIONS:
            return self._read_rows(kind, event.body)
        if step is None and not self._inside.is_open:
            step = _OUTER_STEPS.get(kind)
        if step is not None:
            return step(self, event)
        if kind in codes.FOR_CALLER:
            return EVENT
        if kind in codes.SKIPPED or event.flags & codes.IGNORABLE_FLAG:
            return _CONSUMED
        raise unknown(kind)

    def table_map(self, event: Event) -> int:
        self._rows.table_map(event.body)
        return _CONSUMED

    def _read_rows(self, kind: int, body: bytes) -> int:
        if self._state is not State.OPEN:
            message = "rows outside of a transaction"
            raise DecodeError(message)
        if self._is_skipped:
            return _CONSUMED
        return TABLE if self._rows.rows(kind, body) else _CONSUMED

    def row_piece(self, event: Event) -> int:
        """A piece of a rows event; with the last one all of it is read, again after TABLE."""
        if self._joined is None:
            self._joined = self._pieces.add(event.body)
            if self._joined is None:
                return _CONSUMED
        whole = read_header(self._joined)
        if whole.type not in OPERATIONS:
            raise unknown(whole.type)
        code = self._read_rows(whole.type, whole.body)
        if code != TABLE:
            self._joined = None
        return code

    def annotate(self, event: Event) -> int:
        self._rows.statement = event.body[:KEPT_BYTES]
        return _CONSUMED

    def heartbeat(self, event: Event) -> int:
        position = read_heartbeat(event.body)
        if position and not self.in_transaction:
            self._event_end = position
        return _CONSUMED

    def begin_file(self, event: Event) -> int:
        """ROTATE or a format description: table ids begin anew, and what is open will never be ended."""
        self.is_torn = self.in_transaction and self.transaction_changes > 0
        if self.in_transaction:
            self.in_transaction = False
            self._state = State.OUTSIDE
        self._rows.forget_ids()
        is_next = event.type != codes.ROTATE_EVENT and (self._is_next_file or tells_server_start(event.body))
        if event.type == codes.ROTATE_EVENT:
            cursor = LittleEndian(event.body)
            self._event_end = cursor.u64()
            before, self.file = self.file, file_name(cursor.take(cursor.left))
            self._is_next_file = self._is_next_file or before not in ("", self.file)
        else:
            self._is_next_file = False
        return EVENT if self.is_torn or is_next else _CONSUMED

    def name_transaction(self, event: Event) -> int:
        """A GTID event."""
        if self._state is not State.OUTSIDE:
            raise nested()
        if (event.type == codes.MARIADB_GTID_EVENT) != self._is_mariadb:
            raise unknown(event.type)
        if event.type == codes.MARIADB_GTID_EVENT:
            gtid = read_mariadb_gtid(event.body, event.server_id)
        elif event.type == codes.GTID_TAGGED_EVENT:
            gtid = read_tagged_gtid(event.body)
        else:
            gtid = read_gtid(event.body)
            if event.type == codes.ANONYMOUS_GTID_EVENT:
                gtid.kind = ""
        self._begin(event, gtid)
        if gtid.kind != "mariadb":
            return _CONSUMED
        if not gtid.flags & codes.MARIADB_STANDALONE:
            self._state = State.OPEN
        return EVENT if gtid.flags & codes.MARIADB_PREPARED_XA else _CONSUMED

    def _begin(self, event: Event, gtid: Gtid) -> None:
        self._rows.gtid = gtid
        self._state = State.NAMED
        self.in_transaction = True
        self._is_skipped = False
        self.commit_ts_us = gtid.commit_at or event.at_seconds * 1_000_000
        self._rows.begin(self.file, self._event_end, self.commit_ts_us)

    def _end_transaction(self) -> int:
        if self._state is not State.OPEN:
            message = "the end of a transaction that has not begun"
            raise DecodeError(message)
        if self._inside.is_open:
            self._state = State.CLOSED
            return _CONSUMED
        return self._finish_transaction()

    def _finish_transaction(self) -> int:
        self._state = State.OUTSIDE
        self.in_transaction = False
        self.transactions += 1
        self.end_file = self.file
        self.end_offset = self._event_end
        self._runs.note(self._rows.gtid)
        return _CONSUMED

    def gtid_runs(self) -> list[Run]:
        return self._runs.take()

    def xid(self, _: Event) -> int:
        return self._end_transaction()

    def xa_prepare(self, event: Event) -> int:
        self._end_transaction()
        return self._ended_by(event)

    def _ended_by(self, event: Event) -> int:
        """The event is for the caller: inside of a compressed transaction when that has ended, too."""
        if not self._inside.is_open:
            return EVENT
        self._held = event.whole
        return _CONSUMED

    def query(self, event: Event) -> int:
        """A statement: BEGIN and COMMIT are ours, the others are for the caller."""
        statement = read_statement(event.body) if event.type == codes.QUERY_EVENT else b""
        if self._state is State.CLOSED:
            message = "a statement behind the end of its transaction"
            raise DecodeError(message)
        if self._state is State.OPEN:
            return self._query_inside(event, statement)
        if self._state is State.OUTSIDE:
            self._begin(event, Gtid())
        self._state = State.OPEN
        if statement == b"BEGIN":
            return _CONSUMED
        if not statement.startswith(b"XA START"):
            self._end_transaction()
        return EVENT

    def _query_inside(self, event: Event, statement: bytes) -> int:
        if statement == b"COMMIT":
            return self._end_transaction()
        if statement == b"ROLLBACK":
            self._end_transaction()
            return self._ended_by(event) if self.transaction_changes else _CONSUMED
        if statement == b"BEGIN":
            raise nested()
        return EVENT

    def begin_payload(self, event: Event) -> int:
        self._require_named()
        self._inside.open(event.body, f"{self.file}:{self.offset}")
        return _CONSUMED

    def _require_named(self) -> None:
        if self._state is not State.NAMED:
            message = "a compressed transaction without a GTID event before it"
            raise DecodeError(message)

    def _open_streamed(self) -> int:
        """A large compressed transaction: its header, then the rest as it comes."""
        head = self._inside.head()
        if head is None:
            return NEED
        event = read_fields(head)
        self._event_end = end_of(event, self.offset, in_transaction=self.in_transaction)
        self._require_named()
        self._inside.open_streamed(event, f"{self.file}:{self.offset}", has_checksum=self._has_checksum)
        return _CONSUMED

    def _step_inside(self) -> tuple[int, bytes | None]:
        """One event of a compressed transaction, as soon as it is there."""
        event = self._inside.event()
        if event is not None:
            code = self._process(event)
            if code != TABLE:
                self._inside.consume(event)
            return code, plain_query(event.whole) if code == EVENT else None
        if self._inside.is_open:
            return NEED, None
        if self._state is not State.CLOSED:
            message = "a compressed transaction without its end"
            raise DecodeError(message)
        self.offset = self._event_end
        self._finish_transaction()
        held, self._held = self._held, None
        return (EVENT if held else _CONSUMED), held

    def set_table(self, body: bytes | memoryview, target: Target | None) -> None:
        self._rows.set_table(body, target)

    def forget(self) -> None:
        self._rows.forget()

    def truncate(self, target: Target) -> None:
        self._rows.truncate(target)

    def skip_transaction(self) -> None:
        self._is_skipped = True

    def skip_rows(self) -> None:
        self._rows.skips_event = True

    def drop_transaction(self, kept: int = 0, end: int | None = None) -> bool:
        return self._rows.drop_transaction(kept, end)

    def attribute(self, tx: str, position_text: str, commit_ts_us: int) -> None:
        self._rows.attribute(tx, position_text, commit_ts_us)

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        self.transactions = 0
        return self._rows.take()


_Step = Callable[[BinlogDecoder, Event], int]
_STEPS: dict[int, _Step] = {
    codes.TABLE_MAP_EVENT: BinlogDecoder.table_map,
    codes.QUERY_EVENT: BinlogDecoder.query,
    codes.QUERY_COMPRESSED_EVENT: BinlogDecoder.query,
    codes.XID_EVENT: BinlogDecoder.xid,
    codes.XA_PREPARE_EVENT: BinlogDecoder.xa_prepare,
    codes.PARTIAL_ROW_DATA_EVENT: BinlogDecoder.row_piece,
    codes.ANNOTATE_ROWS_EVENT: BinlogDecoder.annotate,
}
# Not inside of a compressed transaction.
_OUTER_STEPS: dict[int, _Step] = {
    codes.GTID_EVENT: BinlogDecoder.name_transaction,
    codes.ANONYMOUS_GTID_EVENT: BinlogDecoder.name_transaction,
    codes.GTID_TAGGED_EVENT: BinlogDecoder.name_transaction,
    codes.MARIADB_GTID_EVENT: BinlogDecoder.name_transaction,
    codes.ROTATE_EVENT: BinlogDecoder.begin_file,
    codes.FORMAT_DESCRIPTION_EVENT: BinlogDecoder.begin_file,
    codes.TRANSACTION_PAYLOAD_EVENT: BinlogDecoder.begin_payload,
    codes.HEARTBEAT_EVENT_V2: BinlogDecoder.heartbeat,
}
