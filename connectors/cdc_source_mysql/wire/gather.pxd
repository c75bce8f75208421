"""The rows of all tables gathered from rows events, and what their transaction is called."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from cdc.native.cursor cimport Cursor
from cdc.native.gathering_native cimport Gathering
from cdc_source_mysql.wire.events cimport Gtid
from cdc_source_mysql.wire.table cimport Image, Moment, Table


cdef int operation_of(uint8_t kind) noexcept
cdef object bytes_of(Cursor* cursor)
cdef object uuid_of(Gtid* gtid)
cdef object tag_of(Gtid* gtid)


@cython.final
cdef class Mapped:
    cdef bytes body
    cdef Table table
    cdef bint is_known


@cython.final
cdef class Gatherer:
    cdef object unrepresentable
    # Table maps by body, and by the ids of the file at hand; the last one, for changes come in runs.
    cdef dict bodies
    cdef dict ids
    cdef uint64_t last_id
    cdef Mapped last_mapped
    # Tables by name, and the rows of all.
    cdef dict active
    cdef Gathering gathering
    cdef list dropped
    cdef Py_ssize_t changes
    cdef Py_ssize_t byte_count
    # The transaction at hand.
    cdef Gtid gtid
    cdef object epoch
    cdef object begin_file
    cdef uint64_t begin_offset
    cdef Moment moment
    cdef Py_ssize_t transaction_changes
    # The ordinal of its first row; below 0 when a part has been handed on.
    cdef Py_ssize_t first_change
    # Texts that rows carry instead of those of their transactions; None for none.
    cdef object attributed
    cdef unsigned char[16] last_uuid
    cdef object last_uuid_text
    # The event at hand is left out.
    cdef bint skips_event
    # The beginning of the statement at hand, where MariaDB tells it.
    cdef bytes statement
    # The table at hand, for errors.
    cdef Table place
    cdef Image old
    cdef Image new
    cdef int begin(self, object file, uint64_t offset, int64_t commit_at) except -1
    cdef object position_text(self)
    cdef object tx_text(self)
    cdef int annotate(self, Cursor* body) except -1
    cdef int forget_ids(self) except -1
    cdef int forget(self) except -1
    cdef int table_map(self, Cursor* body) except -1
    cdef Mapped mapped(self, uint64_t table_id)
    cdef object wanted_map(self)
    cdef int set_table(self, object body, object target) except -1
    cdef Table table_of(self, object target)
    cdef int activate(self, Table table) except -1
    cdef bint rows(self, uint8_t kind, Cursor* body) except? True
    cdef int read_rows(self, Table table, uint8_t kind, Cursor* cursor) except -1
    cdef int insert(self, Table table, Cursor* cursor) except -1
    cdef int delete(self, Table table, Cursor* cursor) except -1
    cdef int update(self, Table table, Cursor* cursor, bint may_be_partial, bint is_whole) except -1
    cdef int append_delete(self, Table table) except -1
    cdef int require_documents(self, Table table) except -1
    cdef int append_update(self, Table table, bint is_whole) except -1
    cdef int begin_row(self, Table table, int op) except -1
    cdef int truncate(self, object target) except -1
    cdef bint drop_transaction(self, Py_ssize_t kept, Py_ssize_t end) except? True
    cdef object take(self)
