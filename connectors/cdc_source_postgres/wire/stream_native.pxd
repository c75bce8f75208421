"""The types of `stream.py` where it is compiled."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cdc.native.cursor cimport Reader
from cdc.native.batch_builder_native cimport BatchBuilder, TableRows
from cdc_source_postgres.wire.fields cimport make_field
from cdc_source_postgres.wire.frames cimport Frames
from cdc_source_postgres.wire.row cimport Row, append_nulls

cdef int CREATE, DELETE, TRUNCATE, UPDATE
cdef int OLD_KEY, OLD_ROW, NEW, BEGIN, COMMIT, INSERT, UPDATED, DELETED, WAL_DATA, KEEPALIVE_FRAME
cdef Py_ssize_t ROW_OVERHEAD_BYTES
cdef int64_t EPOCH_MICROSECONDS, INT64_MAX


@cython.final
cdef class Table(TableRows):
    cdef tuple key
    cdef object key_set
    cdef Row new
    cdef Row old


@cython.final
cdef class PgoutputDecoder:
    cdef object unrepresentable
    cdef dict tables
    cdef BatchBuilder builder
    cdef Reader reader
    cdef readonly Py_ssize_t changes
    cdef readonly Py_ssize_t byte_count
    cdef readonly Py_ssize_t transactions
    cdef readonly bint in_transaction
    cdef readonly uint64_t end_lsn
    cdef readonly object commit_ts_us
    cdef readonly uint64_t received_lsn
    cdef int64_t number
    cdef readonly uint32_t xid
    cdef readonly uint64_t commit_lsn
    cdef int64_t commit_at
    cdef int64_t last_relid
    cdef Table last_table
    cdef Table place
    @cython.locals(reader=Reader, length=Py_ssize_t, tag=int)
    cpdef drain(self, Frames frames, Py_ssize_t soft_bytes, Py_ssize_t hard_bytes)
    @cython.locals(tag=int)
    cdef int read_frame(self, Reader reader) except -1
    cdef int note_received(self, uint64_t lsn) except -1
    @cython.locals(reader=Reader)
    cpdef int feed(self, payload) except -1
    cdef object located(self, error)
    @cython.locals(tag=int)
    cdef int read_message(self, Reader reader) except -1
    @cython.locals(commit_lsn=uint64_t, commit_ts=int64_t, xid=uint32_t)
    cdef int read_begin(self, Reader reader) except -1
    @cython.locals(commit_lsn=uint64_t, end_lsn=uint64_t, commit_ts=int64_t)
    cdef int read_commit(self, Reader reader) except -1
    cdef int require_transaction(self) except -1
    cdef Table table_of(self, uint32_t relid)
    @cython.locals(total=Py_ssize_t, table=Table)
    cdef int read_insert(self, Reader reader) except -1
    @cython.locals(total=Py_ssize_t, table=Table, tag=int, has_before=bint)
    cdef int read_update(self, Reader reader) except -1
    @cython.locals(total=Py_ssize_t, table=Table, tag=int)
    cdef int read_delete(self, Reader reader) except -1
    cdef int append(self, Table table, int op, Row row, Py_ssize_t total) except -1
    cdef int begin_row(self, Table table, int op) except -1
    @cython.locals(table=Table)
    cpdef truncate(self, relids)


cdef int64_t from_1970(int64_t microseconds) except? -1
@cython.locals(tag=int)
cdef int expect_new(Reader reader) except -1
cdef int raise_unexpected(int tag) except -1
