"""Values of a binary result set in the form that they have in rows events."""

from cdc.native.cursor cimport Cursor


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
