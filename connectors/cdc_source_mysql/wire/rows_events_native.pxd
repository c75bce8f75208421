"""The types of `rows_events.py` where it is compiled."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from cdc.native.cursor cimport Reader
from cdc.native.batch_builder_native cimport BatchBuilder, TableRows
from cdc_source_mysql.wire.events_native cimport Gtid, read_lenenc, uuid_text
from cdc_source_mysql.wire.image cimport Image, append_nulls
from cdc_source_mysql.wire.values cimport make_field

cdef int CREATE, DELETE, TRUNCATE, UPDATE
cdef int MARIADB_GTID, MYSQL_GTID, PARTIAL_UPDATE_ROWS_EVENT
cdef int SQL_FOREIGN_KEYS, STATEMENT_END
cdef Py_ssize_t KEPT_BYTES, MOST_TABLE_MAPS, ROW_OVERHEAD_BYTES
cdef uint64_t DUMMY_TABLE, PARTIAL_JSON

cdef int operation_of(int kind) except -1
cdef bint has_extra(int kind) except? True
cdef bint is_compressed(int kind) except? True


@cython.final
cdef class Table(TableRows):
    cdef readonly object plan
    cdef bint is_active
    cdef tuple key
    cdef object row_end
    cdef Image new
    cdef Image old


@cython.final
cdef class Mapped:
    cdef bytes body
    cdef Table table
    cdef bint is_known


@cython.final
cdef class RowsEvents:
    cdef object unrepresentable
    cdef object epoch
    cdef dict bodies
    cdef dict ids
    cdef uint64_t last_id
    cdef Mapped last_mapped
    cdef dict active
    cdef BatchBuilder builder
    cdef list dropped
    cdef Py_ssize_t changes
    cdef Py_ssize_t byte_count
    cdef Gtid gtid
    cdef object begin_file
    cdef uint64_t begin_offset
    cdef int64_t number
    cdef int64_t commit_at
    cdef Py_ssize_t transaction_changes
    cdef Py_ssize_t first_change
    cdef tuple attributed
    cdef bytes last_uuid
    cdef object last_uuid_text
    cdef bint skips_event
    cdef bint hides_cascades
    cdef bytes statement
    cdef Table place
    cdef int begin(self, file, uint64_t offset, int64_t commit_at) except -1
    cdef int attribute(self, tx, position_text, int64_t commit_at) except -1
    cdef object position_text(self)
    @cython.locals(gtid=Gtid)
    cdef object tx_text(self)
    cdef int annotate(self, Reader reader) except -1
    cdef int forget_ids(self) except -1
    cdef int forget(self) except -1
    @cython.locals(table_id=uint64_t, mapped=Mapped)
    cdef int table_map(self, Reader reader) except -1
    @cython.locals(mapped=Mapped)
    cdef Mapped map_of(self, bytes body)
    @cython.locals(mapped=Mapped)
    cdef Mapped mapped(self, uint64_t table_id)
    cdef object wanted_map(self)
    @cython.locals(mapped=Mapped)
    cdef int set_table(self, body, plan) except -1
    @cython.locals(table=Table)
    cdef Table table_of(self, plan)
    @cython.locals(former=Table)
    cdef int activate(self, Table table) except -1
    @cython.locals(table_id=uint64_t, flags=int, extra=Py_ssize_t, mapped=Mapped, table=Table)
    cdef bint rows(self, int kind, Reader reader) except? True
    @cython.locals(operation=int, is_whole=bint, left=Py_ssize_t)
    cdef int read_rows(self, Table table, int kind, Reader reader) except -1
    @cython.locals(width=uint64_t)
    cdef bint read_columns(self, Table table, int operation, Reader reader) except? True
    cdef int insert(self, Table table, Reader reader) except -1
    cdef int delete(self, Table table, Reader reader) except -1
    @cython.locals(old=Image, new=Image, diffs=bytes)
    cdef int update(self, Table table, Reader reader, bint may_be_partial, bint is_whole) except -1
    cdef int append(self, Table table, int op, Image image) except -1
    cdef int begin_row(self, Table table, int op) except -1
    @cython.locals(table=Table)
    cdef int truncate(self, plan) except -1
    @cython.locals(last=Py_ssize_t)
    cdef bint drop_transaction(self, Py_ssize_t kept, Py_ssize_t end) except? True
    cdef object take(self)


cdef int forget_map(Mapped mapped) except -1
@cython.locals(options=uint64_t)
cdef bytes read_diffs(Image new, Reader reader)
