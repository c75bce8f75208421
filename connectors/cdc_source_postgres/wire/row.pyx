# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The values of one row as they lie in a message: split and checked whole before any of them is decoded; the twin
is `row_python.py`.

Nothing is copied: a row is valid as long as the message that it was split from.
"""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport int32_t, uint8_t, uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from cdc.native.cursor cimport Cursor, Reader, advance, read_i32, read_u8, read_u16
from cdc_source_postgres.wire.fields cimport Field

from cdc.errors import DecodeError


cdef class Row:
    """`column` is the one that is being decoded, for errors; -1 for none."""

    def __init__(self, Py_ssize_t width):
        self.width = width
        self.column = -1
        self.values = <Value*>calloc(max(width, 1), sizeof(Value))
        if self.values == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.values)

    cdef int split(self, Reader reader) except -1:
        """The next tuple of pgoutput."""
        # A copy, which the C compiler keeps in registers; the reader moves when the tuple is whole.
        cdef Cursor cursor = reader.cursor
        cdef Value* value = self.values
        cdef bint has_unchanged = False
        cdef uint16_t count
        cdef uint8_t kind
        cdef int32_t size
        cdef Py_ssize_t i
        read_u16(&cursor, &count)
        if count != self.width:
            raise DecodeError(f"a row of {count} columns where {self.width} are declared")
        for i in range(count):
            read_u8(&cursor, &kind)
            size = 0
            if kind == c"b" or kind == c"t":
                read_i32(&cursor, &size)
            elif kind == c"u":
                has_unchanged = True
            elif kind != c"n":
                raise DecodeError(f"an unknown kind of value ({kind})")
            value.kind = kind
            value.size = size
            value.at = advance(&cursor, size)
            value += 1
        self.has_unchanged = has_unchanged
        reader.cursor = cursor
        return 0

    cdef int split_copy(self, Reader reader, bytes kinds) except -1:
        """The values of the next row of a COPY, after their number; all but nulls are of these kinds."""
        # A copy, as in `split`.
        cdef Cursor cursor = reader.cursor
        cdef const unsigned char* kind = kinds
        cdef Value* value = self.values
        cdef int32_t size
        cdef Py_ssize_t i
        for i in range(self.width):
            read_i32(&cursor, &size)
            value.kind = kind[i]
            if size == -1:
                value.kind = c"n"
                size = 0
            value.size = size
            value.at = advance(&cursor, size)
            value += 1
        reader.cursor = cursor
        return 0

    cdef bint differs(self, Row old, tuple key) except? True:
        """Whether a column of the key that is here has another value in `old`."""
        cdef Py_ssize_t i
        cdef Value* a
        cdef Value* b
        for i in key:
            a = &self.values[i]
            b = &old.values[i]
            if a.kind != c"u" and (a.kind != b.kind or a.size != b.size or memcmp(a.at, b.at, a.size) != 0):
                return True
        return False

    cdef int fill(self, Row old, key) except -1:
        """Take what is unchanged from `old`, which has no more than the key; None: it has all."""
        cdef Py_ssize_t i
        self.has_unchanged = False
        for i in range(self.width):
            if self.values[i].kind == c"u":
                if key is None or i in key:
                    self.values[i] = old.values[i]
                if self.values[i].kind == c"u":
                    self.has_unchanged = True
        return 0

    cdef int forget_nulls(self, key) except -1:
        """Outside of the key, null means "not sent"."""
        cdef Py_ssize_t i
        for i in range(self.width):
            if self.values[i].kind == c"n" and i not in key:
                self.values[i].kind = c"u"
                self.has_unchanged = True
        return 0

    cdef tuple unchanged(self):
        """The columns that are."""
        cdef Py_ssize_t i
        return tuple([i for i in range(self.width) if self.values[i].kind == c"u"])

    cdef int append(self, list columns) except -1:
        """Decode the values into their columns."""
        cdef Py_ssize_t i
        cdef Cursor cursor
        cdef Value* value = self.values
        if PyList_GET_SIZE(columns) != self.width:
            raise DecodeError("a row decoded into another table's columns")
        for i in range(self.width):
            self.column = i
            cursor.at = value.at
            cursor.left = value.size
            if value.kind == c"b":
                (<Field>PyList_GET_ITEM(columns, i)).binary(&cursor)
            elif value.kind == c"t":
                (<Field>PyList_GET_ITEM(columns, i)).text(&cursor)
            else:
                (<Field>PyList_GET_ITEM(columns, i)).null()
            value += 1
        self.column = -1
        return 0


cdef int append_nulls(list columns) except -1:
    """A row that has no values."""
    for field in columns:
        (<Field>field).null()
    return 0
