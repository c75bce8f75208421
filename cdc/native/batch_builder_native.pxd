"""The types of `batch_builder.py` where it is compiled."""

from libc.stdint cimport int64_t

from cdc.native.columns cimport FixedColumn, append_int8, append_int32, append_int64, set_last_int32


cdef class TableRows:
    cdef readonly object shape
    cdef list columns
    cdef list old_columns
    cdef Py_ssize_t width
    cdef readonly int64_t first
    cdef FixedColumn ops
    cdef FixedColumn seqs
    cdef FixedColumn codes
    cdef FixedColumn commit_ats
    cdef FixedColumn unchanged
    cdef FixedColumn before_rows
    cdef list transactions
    cdef list positions
    cdef dict sets
    cdef int64_t last_transaction
    cdef object reset(self)
    cdef list make_fields(self)
    cdef int append_envelope(self, int op, int64_t ordinal, int64_t commit_at) except -1
    cdef int begin_before(self) except -1
    cdef int mark_unchanged(self, tuple columns) except -1
    cdef list completed(self, taken, list columns)
    cdef object take(self)


cdef class BatchBuilder:
    cdef object count
    cdef list touched
    cdef list done
    cdef object set_aside(self, TableRows table)
    cdef list take(self)
    cdef object finish_table(self, TableRows table)
