# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The binlog straight into Arrow memory: packets, events and the grammar of transactions; the twin is
`python.py`.

Nothing but a cursor moves a pointer. A known table costs no Python object per event and none per row.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from cdc.native.cursor cimport Cursor, advance
from cdc_source_mysql.wire.buffer cimport NOTHING, STREAMED, Buffer, Packets
from cdc_source_mysql.wire.events cimport (
    MARIADB_GTID,
    MYSQL_GTID,
    NO_GTID,
    Event,
    Gtid,
    caught_up,
    is_text,
    read_fields,
    read_gtid,
    read_header,
    read_heartbeat,
    read_mariadb_gtid,
    read_payload_fields,
    read_statement,
    read_tagged_gtid,
)
from cdc_source_mysql.wire.field cimport little_u32, little_u64
from cdc_source_mysql.wire.gather cimport Gatherer, bytes_of, operation_of, tag_of, uuid_of

from zlib import crc32

from cdc.errors import CdcError, DecodeError
from cdc.native.refusals import locate
from cdc_source_mysql.wire import codes as _codes
from cdc_source_mysql.wire.rare import (
    RowPieces,
    file_name,
    nested,
    payload_of,
    plain_query,
    tells_server_start,
    unknown,
)

cdef Py_ssize_t HEADER = _codes.HEADER_BYTES
cdef Py_ssize_t CHECKSUM = _codes.CHECKSUM_BYTES
cdef Py_ssize_t PIECE_BYTES = _codes.PIECE_BYTES
cdef Py_ssize_t PAYLOAD_HEAD_BYTES = _codes.PAYLOAD_HEAD_BYTES
cdef int ARTIFICIAL = _codes.ARTIFICIAL_FLAG
cdef int IGNORABLE = _codes.IGNORABLE_FLAG
cdef int PREPARED_XA = _codes.MARIADB_PREPARED_XA
cdef int STANDALONE = _codes.MARIADB_STANDALONE
cdef frozenset FOR_CALLER = _codes.FOR_CALLER
cdef frozenset SKIPPED = _codes.SKIPPED
cdef enum:
    NEED, EVENT, TABLE, FULL, PART, ENDED, REFUSED, CONSUMED
assert (_codes.NEED, _codes.EVENT, _codes.TABLE, _codes.FULL) == (NEED, EVENT, TABLE, FULL)
assert (_codes.PART, _codes.ENDED, _codes.REFUSED) == (PART, ENDED, REFUSED)
cdef enum:
    # Event types; `codes` names them all.
    QUERY = 2
    ROTATE = 4
    FORMAT_DESCRIPTION = 15
    XID = 16
    TABLE_MAP = 19
    HEARTBEAT = 27
    MYSQL_GTID_EVENT = 33
    ANONYMOUS_GTID = 34
    XA_PREPARE = 38
    TRANSACTION_PAYLOAD = 40
    HEARTBEAT_V2 = 41
    TAGGED_GTID = 42
    ANNOTATE_ROWS = 160
    MARIADB_GTID_EVENT = 162
    QUERY_COMPRESSED = 165
    PARTIAL_ROW_DATA = 172
cdef enum:
    # Where in a transaction the stream is. NAMED: its GTID came, and BEGIN or its only statement is due.
    # CLOSED: its end came inside of a compressed payload, whose own end is due.
    OUTSIDE, NAMED, OPEN, CLOSED


@cython.final
cdef class BinlogDecoder:
    """See `cdc_source_mysql.wire.decoder.Binlog`."""

    cdef bint is_mariadb
    cdef Gatherer rows
    cdef Packets packets
    # A compressed transaction: what is decompressed, and of a large one its head and its checksum.
    cdef object payload
    cdef Buffer inner
    cdef bytes held
    cdef bint is_streamed
    cdef bytes head
    cdef bytes tail
    cdef object running_checksum
    # A rows event that came in pieces, whole.
    cdef object pieces
    cdef bytes joined
    cdef bint has_checksum
    cdef readonly Py_ssize_t transactions
    cdef readonly bint in_transaction
    cdef readonly bint is_torn
    # A ROTATE has named another file, whose format description is yet to come.
    cdef bint is_next_file
    cdef readonly object file
    cdef readonly uint64_t offset
    cdef readonly object end_file
    cdef readonly uint64_t end_offset
    # Where the event at hand ends, or the compressed transaction that it is in.
    cdef uint64_t event_end
    cdef int state
    cdef bint is_skipped
    cdef bint has_begun
    cdef int64_t commit_at
    # GTIDs of transactions ended: runs, and the one that goes on.
    cdef list runs
    cdef Gtid run
    cdef uint64_t run_last

    def __init__(self, unrepresentable, count, flavour, epoch=0):
        self.is_mariadb = flavour == "mariadb"
        self.rows = Gatherer(unrepresentable, count, epoch)
        self.packets = Packets()
        self.inner = Buffer()
        self.pieces = RowPieces()
        self.runs = []
        self.file = self.end_file = ""

    @property
    def changes(self):
        return self.rows.changes

    @property
    def byte_count(self):
        return self.rows.byte_count

    @property
    def transaction_changes(self):
        return self.rows.transaction_changes

    @property
    def commit_ts_us(self):
        return self.commit_at if self.has_begun else None

    @property
    def gtid_flags(self):
        return self.rows.gtid.flags

    @property
    def position_text(self):
        return self.rows.position_text()

    @property
    def tx(self):
        return self.rows.tx_text()

    def feed(self, data):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if view.len:
                self.packets.buffer.append(<const unsigned char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def next(self, Py_ssize_t soft_bytes, Py_ssize_t hard_bytes):
        cdef Cursor payload
        cdef int code
        try:
            while True:
                self.rows.place = None
                code = self.step_inside(&payload) if self.payload is not None else self.step(&payload)
                if code == CONSUMED:
                    if self.in_transaction:
                        if self.rows.byte_count >= hard_bytes:
                            return PART, None
                    elif self.rows.byte_count >= soft_bytes:
                        return FULL, None
                elif code == EVENT:
                    return EVENT, plain_query(bytes_of(&payload))
                elif code == TABLE:
                    return TABLE, self.rows.wanted_map()
                else:
                    return code, bytes_of(&payload) if code == REFUSED else None
        except CdcError as error:
            raise self.located(error) from None

    cdef object located(self, error):
        table = self.rows.place
        if table is not None:
            return locate(error, table.shape.place(self.rows.place.column, self.rows.position_text()))
        return locate(error, f"{self.file}:{self.offset}" if self.file else "the binary log")

    cdef int step(self, Cursor* payload) except -1:
        """One packet. `payload` is what is for the caller."""
        cdef Event event
        cdef Cursor cursor
        cdef int code = STREAMED if self.head is not None else self.packets.look(payload)
        if code == NOTHING:
            return NEED
        if code == STREAMED:
            return self.open_streamed()
        cursor = payload[0]
        code = advance(&cursor, 1)[0]
        if code == 0xFF:
            return REFUSED
        if code == 0xFE and payload.left < 9:
            self.packets.consume(payload)
            return ENDED
        if code:
            raise DecodeError(f"a packet that begins with {code}: expected an event")
        read_header(&cursor, &event)
        self.check(&event)
        self.event_end = self.end_of(&event)
        code = self.process(&event)
        if code == TABLE:
            return TABLE
        self.packets.consume(payload)
        payload[0] = event.whole
        if self.payload is None:
            self.offset = self.event_end
        return code

    cdef int check(self, Event* event) except -1:
        """Verify the checksum and take it off; a format description always has one."""
        cdef Py_ssize_t size = event.whole.left - CHECKSUM
        if event.type == FORMAT_DESCRIPTION:
            if event.body.left < 1 + CHECKSUM:
                raise DecodeError("a format description that is too short")
            self.has_checksum = event.body.at[event.body.left - CHECKSUM - 1] == 1
        elif not self.has_checksum:
            return 0
        elif event.body.left < CHECKSUM:
            raise DecodeError("an event without its checksum")
        elif crc32(PyMemoryView_FromMemory(<char*>event.whole.at, size, PyBUF_READ)) != little_u32(
            event.whole.at + size
        ):
            raise DecodeError("an event whose checksum is wrong")
        event.whole.left = size
        event.body.left -= CHECKSUM
        return 0

    cdef uint64_t end_of(self, Event* event) except? 0:
        """Where in its file the event ends. Its size counts; `log_pos` (32 bits, 0 in some) adds what the server
        left out.
        """
        if event.type == FORMAT_DESCRIPTION:
            return event.log_pos if event.log_pos else self.offset
        if event.type == ROTATE:
            return self.offset
        if event.type == HEARTBEAT or event.type == HEARTBEAT_V2 or event.flags & ARTIFICIAL:
            return self.offset if self.in_transaction else caught_up(self.offset, event.log_pos)
        return caught_up(self.offset + event.size, event.log_pos)

    cdef int process(self, Event* event) except -1:
        """CONSUMED; EVENT when it is for the caller, too; TABLE when its table must be known first."""
        cdef uint8_t kind = event.type
        if kind == TABLE_MAP:
            self.rows.table_map(&event.body)
            return CONSUMED
        if operation_of(kind):
            return self.read_rows(kind, &event.body)
        if kind == QUERY or kind == QUERY_COMPRESSED:
            return self.query(event)
        if kind == XID:
            return self.end_transaction()
        if kind == XA_PREPARE:
            self.end_transaction()
            return self.ended_by(event)
        if self.payload is None:
            if kind == MARIADB_GTID_EVENT or kind == TAGGED_GTID or kind == MYSQL_GTID_EVENT or kind == ANONYMOUS_GTID:
                return self.name_transaction(event)
            if kind == ROTATE or kind == FORMAT_DESCRIPTION:
                return self.begin_file(event)
            if kind == TRANSACTION_PAYLOAD:
                return self.open_payload(&event.body, 0)
            if kind == HEARTBEAT_V2:
                return self.heartbeat(event)
        if kind == PARTIAL_ROW_DATA:
            return self.row_piece(event)
        if kind == ANNOTATE_ROWS:
            self.rows.annotate(&event.body)
            return CONSUMED
        if kind in FOR_CALLER:
            return EVENT
        if kind in SKIPPED or event.flags & IGNORABLE:
            return CONSUMED
        raise unknown(kind)

    cdef int read_rows(self, uint8_t kind, Cursor* body) except -1:
        if self.state != OPEN:
            raise DecodeError("rows outside of a transaction")
        if self.is_skipped:
            return CONSUMED
        return TABLE if self.rows.rows(kind, body) else CONSUMED

    cdef int row_piece(self, Event* event) except -1:
        """A piece of a rows event; with the last one all of it is read, again after TABLE."""
        cdef Event whole
        cdef Cursor cursor
        cdef int code
        if self.joined is None:
            self.joined = self.pieces.add(bytes_of(&event.body))
            if self.joined is None:
                return CONSUMED
        cursor.at = <const unsigned char*>PyBytes_AS_STRING(self.joined)
        cursor.left = PyBytes_GET_SIZE(self.joined)
        read_header(&cursor, &whole)
        if not operation_of(whole.type):
            raise unknown(whole.type)
        code = self.read_rows(whole.type, &whole.body)
        if code != TABLE:
            self.joined = None
        return code

    cdef int heartbeat(self, Event* event) except -1:
        cdef uint64_t position
        read_heartbeat(&event.body, &position)
        if position and not self.in_transaction:
            self.event_end = position
        return CONSUMED

    cdef int begin_file(self, Event* event) except -1:
        """ROTATE or a format description: table ids begin anew, and what is open will never be ended."""
        cdef bint is_next = False
        self.is_torn = self.in_transaction and self.rows.transaction_changes > 0
        if self.in_transaction:
            self.in_transaction = False
            self.state = OUTSIDE
        self.rows.forget_ids()
        if event.type == ROTATE:
            self.event_end = little_u64(advance(&event.body, 8))
            before, self.file = self.file, file_name(bytes_of(&event.body))
            self.is_next_file = self.is_next_file or before not in ("", self.file)
        else:
            is_next = self.is_next_file or tells_server_start(bytes_of(&event.body))
            self.is_next_file = False
        return EVENT if self.is_torn or is_next else CONSUMED

    cdef int name_transaction(self, Event* event) except -1:
        """A GTID event."""
        cdef Gtid* gtid = &self.rows.gtid
        if self.state != OUTSIDE:
            raise nested()
        if (event.type == MARIADB_GTID_EVENT) != self.is_mariadb:
            raise unknown(event.type)
        if event.type == MARIADB_GTID_EVENT:
            read_mariadb_gtid(&event.body, gtid)
            gtid.server_id = event.server_id
        elif event.type == TAGGED_GTID:
            read_tagged_gtid(&event.body, gtid)
        else:
            read_gtid(&event.body, gtid)
            if event.type == ANONYMOUS_GTID:
                gtid.kind = NO_GTID
        self.begin(event, NAMED)
        if gtid.kind != MARIADB_GTID:
            return CONSUMED
        if not gtid.flags & STANDALONE:
            self.state = OPEN
        return EVENT if gtid.flags & PREPARED_XA else CONSUMED

    cdef int begin(self, Event* event, int state) except -1:
        self.state = state
        self.in_transaction = self.has_begun = True
        self.is_skipped = False
        self.commit_at = self.rows.gtid.commit_at
        if self.commit_at == 0:
            self.commit_at = <int64_t>event.at_seconds * 1000000
        return self.rows.begin(self.file, self.event_end, self.commit_at)

    cdef int begin_nameless(self, Event* event) except -1:
        """A transaction without a GTID event."""
        self.rows.gtid.kind = NO_GTID
        self.rows.gtid.flags = 0
        self.rows.gtid.commit_at = 0
        return self.begin(event, NAMED)

    cdef int end_transaction(self) except -1:
        if self.state != OPEN:
            raise DecodeError("the end of a transaction that has not begun")
        if self.payload is not None:
            self.state = CLOSED
            return CONSUMED
        return self.finish_transaction()

    cdef int ended_by(self, Event* event) except -1:
        """The event is for the caller: inside of a compressed transaction when that has ended, too."""
        if self.payload is None:
            return EVENT
        self.held = bytes_of(&event.whole)
        return CONSUMED

    cdef int finish_transaction(self) except -1:
        self.state = OUTSIDE
        self.in_transaction = False
        self.transactions += 1
        self.end_file = self.file
        self.end_offset = self.event_end
        self.note_gtid(&self.rows.gtid)
        return CONSUMED

    cdef int note_gtid(self, Gtid* gtid) except -1:
        if gtid.kind == NO_GTID:
            return 0
        if not self.continues_run(gtid):
            self.finish_run()
            self.run = gtid[0]
        self.run_last = gtid.number
        return 0

    cdef bint continues_run(self, Gtid* gtid) noexcept:
        if self.run.kind != gtid.kind:
            return False
        if gtid.kind == MARIADB_GTID:
            return self.run.domain == gtid.domain and self.run.server_id == gtid.server_id
        if gtid.number != self.run_last + 1 or self.run.tag_size != gtid.tag_size:
            return False
        if memcmp(self.run.uuid, gtid.uuid, 16) != 0:
            return False
        return memcmp(self.run.tag, gtid.tag, gtid.tag_size) == 0

    cdef int finish_run(self) except -1:
        if self.run.kind == MYSQL_GTID:
            self.runs.append((uuid_of(&self.run), tag_of(&self.run), self.run.number, self.run_last))
        elif self.run.kind == MARIADB_GTID:
            self.runs.append((self.run.domain, self.run.server_id, self.run_last))
        self.run.kind = NO_GTID
        return 0

    def gtid_runs(self):
        self.finish_run()
        runs, self.runs = self.runs, []
        return runs

    cdef int query(self, Event* event) except -1:
        """A statement: BEGIN and COMMIT are ours, the others are for the caller."""
        cdef Cursor statement
        cdef Py_ssize_t length = 0
        statement.left = 0
        if event.type == QUERY:
            read_statement(&event.body, &statement)
            length = statement.left
        if self.state == CLOSED:
            raise DecodeError("a statement behind the end of its transaction")
        if self.state == OPEN:
            if length == 6 and is_text(&statement, b"COMMIT", 6):
                return self.end_transaction()
            if length == 8 and is_text(&statement, b"ROLLBACK", 8):
                self.end_transaction()
                return self.ended_by(event) if self.rows.transaction_changes else CONSUMED
            if length == 5 and is_text(&statement, b"BEGIN", 5):
                raise nested()
            return EVENT
        if self.state == OUTSIDE:
            self.begin_nameless(event)
        self.state = OPEN
        if length == 5 and is_text(&statement, b"BEGIN", 5):
            return CONSUMED
        if not is_text(&statement, b"XA START", 8):
            self.end_transaction()
        return EVENT

    cdef int open_payload(self, Cursor* body, Py_ssize_t missing) except -1:
        """A compressed transaction, of which `missing` bytes have still to come."""
        cdef uint64_t[4] fields
        if self.state != NAMED:
            raise DecodeError("a compressed transaction without a GTID event before it")
        read_payload_fields(body, fields)
        sizes = [fields[0], fields[1], fields[2], fields[3]]
        self.payload = payload_of(sizes, bytes_of(body), missing, f"{self.file}:{self.offset}")
        self.held = None
        self.is_streamed = False
        return CONSUMED

    cdef int open_streamed(self) except -1:
        """A large compressed transaction: its header, then the rest as it comes."""
        cdef Event event
        cdef Cursor cursor
        cdef Py_ssize_t tail = CHECKSUM if self.has_checksum else 0
        if self.head is None:
            self.packets.begin_pieces()
            self.head = b""
        while len(self.head) < PAYLOAD_HEAD_BYTES:
            if not self.packets.piece(PAYLOAD_HEAD_BYTES - len(self.head), &cursor):
                return NEED
            self.head += bytes_of(&cursor)
        cursor.at = <const unsigned char*>PyBytes_AS_STRING(self.head) + 1
        cursor.left = PAYLOAD_HEAD_BYTES - 1
        read_fields(&cursor, &event)
        self.event_end = self.end_of(&event)
        self.running_checksum = crc32(self.head[1:])
        self.open_payload(&event.body, <Py_ssize_t>event.size - (PAYLOAD_HEAD_BYTES - 1) - tail)
        self.head = None
        self.tail = b""
        self.is_streamed = True
        return CONSUMED

    cdef int step_inside(self, Cursor* payload) except -1:
        """One event of a compressed transaction, as soon as it is there."""
        cdef Event event
        cdef Cursor cursor
        cdef int code
        cdef Py_ssize_t size
        while self.payload is not None:
            cursor.left = self.inner.end - self.inner.start
            cursor.at = self.inner.data + self.inner.start
            size = HEADER
            if cursor.left >= HEADER:
                size = max(little_u32(cursor.at + 9), HEADER)
            if cursor.left < size:
                code = self.pump(payload)
                if code != CONSUMED:
                    return code
                continue
            cursor.left = size
            read_header(&cursor, &event)
            code = self.process(&event)
            if code != TABLE:
                self.inner.start += size
                payload[0] = event.whole
            return code
        return CONSUMED

    cdef int pump(self, Cursor* payload) except -1:
        """Decompress more, or end."""
        cdef Cursor piece
        if self.payload.is_hungry:
            if not self.packets.piece(min(PIECE_BYTES, self.payload.missing), &piece):
                return NEED
            data = bytes_of(&piece)
            self.running_checksum = crc32(data, self.running_checksum)
            self.payload.add(data)
            return CONSUMED
        if not self.payload.finished:
            data = self.payload.read()
            self.inner.append(<const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            return CONSUMED
        return self.close_payload(payload)

    cdef int close_payload(self, Cursor* payload) except -1:
        cdef Cursor piece
        if self.inner.end != self.inner.start:
            raise DecodeError("a compressed transaction that ends inside an event")
        if self.is_streamed:
            while self.has_checksum and len(self.tail) < CHECKSUM:
                if not self.packets.piece(CHECKSUM - len(self.tail), &piece):
                    return NEED
                self.tail += bytes_of(&piece)
            if not self.packets.end_pieces():
                return NEED
            if self.has_checksum and int.from_bytes(self.tail, "little") != self.running_checksum:
                raise DecodeError("an event whose checksum is wrong")
        if self.state != CLOSED:
            raise DecodeError("a compressed transaction without its end")
        self.payload = None
        self.offset = self.event_end
        self.finish_transaction()
        if self.held is None:
            return CONSUMED
        payload.at = <const unsigned char*>PyBytes_AS_STRING(self.held)
        payload.left = PyBytes_GET_SIZE(self.held)
        return EVENT

    def set_table(self, body, target):
        self.rows.set_table(body, target)

    def forget(self):
        self.rows.forget()

    def truncate(self, target):
        self.rows.truncate(target)

    def skip_transaction(self):
        self.is_skipped = True

    def skip_rows(self):
        self.rows.skips_event = True

    def drop_transaction(self, kept=0, end=None):
        return self.rows.drop_transaction(kept, self.rows.transaction_changes if end is None else end)

    def attribute(self, tx, position_text, commit_ts_us):
        self.rows.attributed = (tx, position_text)
        self.rows.moment.number += 1
        self.rows.moment.commit_at = commit_ts_us

    def take(self):
        self.transactions = 0
        return self.rows.take()
