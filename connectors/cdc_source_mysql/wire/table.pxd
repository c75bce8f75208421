"""The rows of one table, and the images that they are made of."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t

from cdc.native.cursor cimport Cursor
from cdc.native.gathering_native cimport TableRows
from cdc_source_mysql.wire.field cimport Field


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


cdef struct Image:
    # Which columns an image has: one byte a column, and how many.
    uint8_t* present
    Py_ssize_t count
    # The values of the row at hand.
    Value* values
    Py_ssize_t room


cdef struct Moment:
    # Of a transaction, or what was attributed: a new number is a new code.
    int64_t number
    int64_t commit_at


cdef int make_image(Image* image, Py_ssize_t columns) except -1
cdef int free_image(Image* image) noexcept
cdef int read_present(Cursor* cursor, Image* image, Py_ssize_t columns) except -1


@cython.final
cdef class Table(TableRows):
    cdef readonly object target
    cdef bint is_active
    cdef Py_ssize_t row_end
    cdef Py_ssize_t json_columns
    # Bytes of each column's values when fixed, minus the bytes of their length prefix, 0 to ask the field.
    cdef int32_t* sizes
    # One byte a column: whether it isn't delivered.
    cdef uint8_t* left_out
    # The column at hand, for errors; -1 for none.
    cdef Py_ssize_t column
    cdef int read_image(self, Cursor* cursor, Image* image, const unsigned char* diffs) except -1
    cdef int read_value(self, Py_ssize_t column, Cursor* cursor, Value* value) except -1
    cdef bint is_history(self, Image* image) except? True
    cdef bint key_changed(self, Image* old, Image* new) except? True
    cdef bint is_whole(self, Image* image) noexcept
    cdef bint has_key(self, Image* old) except? True
    cdef int append_row(self, Image* image) except -1
    cdef int append_update(self, Image* old, Image* new) except -1
    cdef int append_before(self, Image* old) except -1
    cdef int append_values(self, list columns, Image* image, Image* old) except -1
    cdef int append_nulls(self) except -1
    cdef int mark_absent(self, Image* image) except -1
