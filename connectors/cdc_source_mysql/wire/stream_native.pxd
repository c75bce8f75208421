"""The types of `stream.py` where it is compiled."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cdc.native.cursor cimport Reader
from cdc_source_mysql.wire.buffer cimport Buffer
from cdc_source_mysql.wire.events_native cimport (
    Event,
    Gtid,
    Runs,
    caught_up,
    read_heartbeat,
    read_payload_fields,
    skip_to_statement,
)
from cdc_source_mysql.wire.rows_events_native cimport RowsEvents, Table, operation_of
from cdc_source_mysql.wire.packets_native cimport Packets

cdef int NEED, EVENT, TABLE, FULL, PART, ENDED, REFUSED, CONSUMED, NOTHING, STREAMED
cdef int ERROR_PACKET, END_PACKET, OUTSIDE, NAMED, OPEN, CLOSED
cdef int QUERY_EVENT, ROTATE_EVENT, FORMAT_DESCRIPTION_EVENT, XID_EVENT, TABLE_MAP_EVENT, HEARTBEAT_EVENT
cdef int GTID_EVENT, ANONYMOUS_GTID_EVENT, XA_PREPARE_EVENT, TRANSACTION_PAYLOAD_EVENT, HEARTBEAT_EVENT_V2
cdef int START_ENCRYPTION_EVENT
cdef int ANNOTATE_ROWS_EVENT, GTID_TAGGED_EVENT, MARIADB_GTID_EVENT, QUERY_COMPRESSED_EVENT, PARTIAL_ROW_DATA_EVENT
cdef int ARTIFICIAL_FLAG, IGNORABLE_FLAG, MARIADB_PREPARED_XA, MARIADB_STANDALONE
cdef int NO_GTID, MARIADB_GTID
cdef Py_ssize_t HEADER_BYTES, CHECKSUM_BYTES, PIECE_BYTES, PAYLOAD_HEAD_BYTES, END_PACKET_BYTES, SIZE_AT
cdef frozenset FOR_CALLER, SKIPPED


@cython.final
cdef class BinlogDecoder:
    cdef bint is_mariadb
    cdef RowsEvents rows_events
    cdef Packets packets
    cdef Reader reader
    cdef Event event
    cdef bytes found
    cdef object payload
    cdef Buffer inner
    cdef bytes held
    cdef bint is_streamed
    cdef bytes head
    cdef bytes tail
    cdef object running_checksum
    cdef object pieces
    cdef bytes joined
    cdef bint has_checksum
    cdef readonly Py_ssize_t transactions
    cdef readonly bint in_transaction
    cdef readonly bint is_torn
    cdef bint is_next_file
    cdef readonly object file
    cdef readonly uint64_t offset
    cdef readonly object end_file
    cdef readonly uint64_t end_offset
    cdef uint64_t event_end
    cdef int state
    cdef bint is_skipped
    cdef bint has_begun
    cdef int64_t commit_at
    cdef Runs runs
    @cython.locals(rows_events=RowsEvents, code=int)
    cpdef next(self, Py_ssize_t soft_bytes, Py_ssize_t hard_bytes)
    @cython.locals(table=Table)
    cdef object located(self, error)
    @cython.locals(reader=Reader, event=Event, code=int, size=Py_ssize_t)
    cdef int step(self) except -1
    @cython.locals(size=Py_ssize_t, checksum=uint64_t, found=uint64_t)
    cdef int take_checksum_off(self, Event event, Reader reader) except -1
    @cython.locals(kind=int)
    cdef uint64_t end_of(self, Event event) except? 0xFFFFFFFFFFFFFFFF
    @cython.locals(kind=int, code=int)
    cdef int process(self, Event event, Reader reader) except -1
    @cython.locals(kind=int)
    cdef int process_other(self, Event event, Reader reader) except -1
    @cython.locals(kind=int)
    cdef int process_outer(self, Event event, Reader reader) except -1
    cdef int read_rows(self, int kind, Reader reader) except -1
    @cython.locals(whole=Event, inside=Reader, code=int)
    cdef int row_piece(self, Reader reader) except -1
    @cython.locals(position=uint64_t)
    cdef int heartbeat(self, Reader reader) except -1
    @cython.locals(is_next=bint)
    cdef int begin_file(self, Event event, Reader reader) except -1
    @cython.locals(gtid=Gtid)
    cdef int name_transaction(self, Event event, Reader reader) except -1
    cdef int begin(self, Event event) except -1
    cdef int end_transaction(self) except -1
    cdef int ended_by(self, Event event, Reader reader) except -1
    cdef int finish_transaction(self) except -1
    @cython.locals(is_plain=bint)
    cdef int query(self, Event event, Reader reader) except -1
    cdef int query_inside(self, Event event, Reader reader) except -1
    cdef int open_payload(self, Reader reader, Py_ssize_t missing) except -1
    @cython.locals(reader=Reader, event=Event, piece=bytes, missing=Py_ssize_t)
    cdef int open_streamed(self) except -1
    @cython.locals(reader=Reader, event=Event, inner=Buffer, held=Py_ssize_t, size=Py_ssize_t, code=int)
    cdef int step_inside(self) except -1
    @cython.locals(data=bytes)
    cdef int pump(self) except -1
    cdef int close_payload(self) except -1
    @cython.locals(piece=bytes)
    cdef bint read_tail(self) except? True
