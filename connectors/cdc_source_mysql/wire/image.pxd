"""The image of one row as a rows event has it."""

cimport cython
from libc.stdint cimport int32_t, uint8_t

from cdc.native.cursor cimport Cursor, Reader


cdef enum:
    # Kinds of values.
    NULL_VALUE
    PRESENT
    ABSENT
    DIFFS


cdef struct Value:
    # `whole` has the length prefix, `content` does not.
    Cursor whole
    Cursor content
    uint8_t kind


cdef struct Layout:
    # Bytes of a column's values when fixed, minus the bytes of their length prefix, 0 to ask the field.
    int32_t size
    bint is_json
    bint is_omitted


@cython.final
cdef class Image:
    cdef list fields
    cdef Layout* layout
    cdef Py_ssize_t width
    cdef Py_ssize_t json_columns
    # One byte a column: whether the event's images have it; and how many they have.
    cdef uint8_t* present
    cdef Py_ssize_t count
    cdef Value* values
    cdef readonly bint has_absent
    cdef readonly Py_ssize_t column
    cdef int read_present(self, Reader reader) except -1
    cdef list lacking(self)
    cdef bint is_whole(self) except? True
    cdef bint identifies(self, tuple key) except? True
    cdef bytes read_diffs(self, Reader reader)
    cdef int read(self, Reader reader, bytes diffs) except -1
    cdef int read_value(self, Py_ssize_t column, int32_t size, Cursor* cursor, Value* value) except -1
    cdef bint is_history(self, row_end) except? True
    cdef bint differs(self, Image old, tuple key) except? True
    cdef bint lacks_documents(self, Image old) except? True
    cdef int fill(self, Image old) except -1
    cdef tuple absent(self)
    cdef int append(self, list columns, Image old) except -1


cdef int append_nulls(list columns) except -1
