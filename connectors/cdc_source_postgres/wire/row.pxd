"""The values of one row as they lie in a message."""

cimport cython

from cdc.native.cursor cimport Reader


cdef struct Value:
    # kind: n null, u unchanged, t text, b binary.
    const unsigned char* at
    Py_ssize_t size
    unsigned char kind


@cython.final
cdef class Row:
    cdef Py_ssize_t width
    cdef Value* values
    cdef readonly Py_ssize_t column
    cdef bint has_unchanged
    cdef int split(self, Reader reader) except -1
    cdef int split_copy(self, Reader reader, bytes kinds) except -1
    cdef bint differs(self, Row old, tuple key) except? True
    cdef int fill(self, Row old, object key) except -1
    cdef int forget_nulls(self, key) except -1
    cdef tuple unchanged(self)
    cdef int append(self, list columns) except -1


cdef int append_nulls(list columns) except -1
