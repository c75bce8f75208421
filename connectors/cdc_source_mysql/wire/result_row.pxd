"""The values of one row of a binary result set, and their form in rows events."""

cimport cython

from cdc.native.cursor cimport Cursor, Reader


cdef class Imager:
    cdef int kind
    cdef int fsp
    cdef Py_ssize_t size
    cdef Py_ssize_t whole
    cdef Py_ssize_t scale
    cdef unsigned char* scratch
    cdef Py_ssize_t capacity
    # Valid until the next call; `value` is clamped to the value's bytes, without any length prefix.
    cdef int image(self, Cursor* value, Cursor* image) except -1
    cdef unsigned char* room(self, Cursor* image, Py_ssize_t size) except NULL
    cdef int prefixed(self, Cursor* value, Cursor* image) except -1
    cdef int cut(self, Cursor* value, Cursor* image) except -1
    cdef int widen(self, Cursor* value, Cursor* image) except -1
    cdef int decimal(self, Cursor* value, Cursor* image) except -1
    cdef int moment(self, Cursor* value, Cursor* image) except -1
    cdef int clock(self, Cursor* value, Cursor* image) except -1
    cdef int fraction(self, unsigned char* out, unsigned int micros) except -1


@cython.final
cdef class ResultRow:
    cdef list imagers
    cdef Py_ssize_t width
    # How long a column's values are: this many bytes, or by the byte or the length in front of them.
    cdef int* sizes
    cdef readonly Py_ssize_t column
    cdef int define(self, Py_ssize_t column, int code) except -1
    cdef int append(self, Reader reader, list fields) except -1
