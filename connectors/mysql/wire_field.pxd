"""One column's values decoded into Arrow memory: what every kind of field does."""

from cdc.native.columns cimport Column
from cdc.native.cursor cimport Cursor


cdef class Field:
    cdef readonly object plan
    cdef readonly object refusals
    cdef Column column
    # One null value, in place of the next.
    cdef int null(self) except -1
    # Exactly one value as rows events hold it, its length prefix included.
    cdef int value(self, Cursor* cursor) except -1
    # The same value without decoding it: `value` is clamped to its bytes, without the length prefix.
    cdef int span(self, Cursor* cursor, Cursor* value) except -1
    # A JSON value: the document `before` (clamped, without prefix) with the clamped sequence of diffs applied.
    cdef int partial(self, Cursor* before, Cursor* diffs) except -1
    # A value of the binary result-set protocol, clamped to its bytes, without any length prefix.
    cdef int result(self, Cursor* value) except -1
    cdef int refuse(self, what) except -1
    cpdef object finish(self)
