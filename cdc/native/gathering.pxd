"""The rows of one table with their envelope, and those of all tables, gathered between two takes."""

from libc.stdint cimport int32_t, int64_t

from cdc.native.columns cimport FixedColumn, fixed_slot


cdef enum:
    # Operations, as `cdc.native.gathered` numbers them.
    CREATE = 1
    UPDATE = 2
    DELETE = 3
    TRUNCATE = 4


cdef class TableRows:
    cdef readonly object shape
    # Objects with `finish`: the rows' values, and those of the old images, made when the first one comes.
    cdef list columns
    cdef list old_columns
    cdef Py_ssize_t width
    # The ordinal of the first row, for the order of the batches.
    cdef readonly int64_t first
    cdef FixedColumn ops
    cdef FixedColumn seqs
    cdef FixedColumn codes
    cdef FixedColumn commit_ats
    cdef FixedColumn unchanged
    cdef FixedColumn before_rows
    # The texts of the transactions that the rows are of; a row's code is the last one's index.
    cdef list transactions
    cdef list positions
    cdef dict sets
    # The caller's number of the last of them.
    cdef int64_t last_transaction
    cdef list make_fields(self)
    cdef int begin_before(self) except -1
    cdef int mark_unchanged(self, tuple columns) except -1
    cdef list completed(self, gathered, list columns)
    cdef object take(self)
    cdef int reset(self) except -1


cdef inline int append_envelope(TableRows table, int op, int64_t ordinal, int64_t commit_at) except -1:
    """The envelope of the next row; its values follow. Its transaction's texts must have been added."""
    if table.ops.length == 0:
        table.first = ordinal
    fixed_slot(table.ops)[0] = <unsigned char>op
    (<int64_t*>fixed_slot(table.seqs))[0] = ordinal
    (<int32_t*>fixed_slot(table.codes))[0] = <int32_t>len(table.transactions) - 1
    (<int64_t*>fixed_slot(table.commit_ats))[0] = commit_at
    if table.unchanged is not None:
        (<int32_t*>fixed_slot(table.unchanged))[0] = -1
    return 0


cdef class Gathering:
    # Called with a counter's name and what it grows by.
    cdef object count
    # The tables that have rows, and what was finished before the take.
    cdef list touched
    cdef list done
    cdef int set_aside(self, TableRows table) except -1
    cdef list take(self)
    cdef int finish_table(self, TableRows table) except -1
