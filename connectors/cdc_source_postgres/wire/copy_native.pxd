"""The types of `copy.py` where it is compiled."""

cimport cython

from cdc.native.cursor cimport Reader
from cdc_source_postgres.wire.fields cimport make_field
from cdc_source_postgres.wire.frames cimport Frames
from cdc_source_postgres.wire.row cimport Row

cdef int WOULD_BLOCK, ENDED, FULL
cdef Py_ssize_t ROW_OVERHEAD_BYTES


@cython.final
cdef class CopyDecoder:
    cdef object shape
    cdef list columns
    cdef bytes kinds
    cdef Row row
    cdef Reader reader
    cdef object count
    cdef Py_ssize_t rows
    cdef Py_ssize_t byte_count
    cdef bint has_header
    cdef readonly bint finished
    @cython.locals(length=Py_ssize_t)
    cpdef drain(self, Frames frames, Py_ssize_t limit_bytes)
    cpdef feed(self, data)
    cdef int read_frame(self, Reader reader) except -1
    cdef int read_header(self, Reader reader) except -1
    @cython.locals(count=int)
    cdef int read_row(self, Reader reader) except -1
