"""The values of one row of a binary result set."""

cimport cython

from cdc.native.cursor cimport Reader


@cython.final
cdef class ResultRow:
    cdef list imagers
    cdef Py_ssize_t width
    # How long a column's values are: this many bytes, or by the byte or the length in front of them.
    cdef int* sizes
    cdef readonly Py_ssize_t column
    cdef int define(self, Py_ssize_t column, int code) except -1
    cdef int append(self, Reader reader, list fields) except -1
