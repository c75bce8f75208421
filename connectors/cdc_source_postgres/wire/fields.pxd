"""One column's values decoded into Arrow memory."""

from cdc.native.columns cimport Column
from cdc.native.cursor cimport Cursor


cdef class Field:
    cdef object codec
    cdef object policy
    cdef object pending
    cdef Column column
    cdef int null(self) except -1
    cdef int binary(self, Cursor* value) except -1
    cdef int text(self, Cursor* value) except -1
    cdef int put_aside(self, Cursor* value) except -1
    cdef int refuse(self, what) except -1
    cpdef object finish(self)


cpdef Field make_field(object codec, object policy)
