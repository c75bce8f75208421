# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The values of one row of a binary result set; the twin is `result_row_python.py`."""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from cdc.native.cursor cimport Cursor, Reader, advance, finish
from cdc_source_mysql.wire.events_native cimport read_lenenc
from cdc_source_mysql.wire.field cimport Field
from cdc_source_mysql.wire.images cimport Imager

from cdc.errors import DecodeError
from cdc_source_mysql.wire.codes import FIXED_BYTES, TEMPORAL

cdef enum:
    SHORT_LENGTH = -1
    LONG_LENGTH = -2


cdef class ResultRow:
    """`column` is the one that is being read, for errors; -1 for none."""

    def __init__(self, plans):
        self.imagers = [Imager(plan) for plan in plans]
        self.width = len(self.imagers)
        self.column = -1
        self.sizes = <int*>calloc(max(self.width, 1), sizeof(int))
        if self.sizes == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.sizes)

    cdef int define(self, Py_ssize_t column, int code) except -1:
        """The column's values are of this type; it is one of ours."""
        if not 0 <= column < self.width:
            raise DecodeError("more columns in a result set than were selected")
        self.sizes[column] = FIXED_BYTES.get(code, SHORT_LENGTH if code in TEMPORAL else LONG_LENGTH)
        return 0

    cdef int append(self, Reader reader, list fields) except -1:
        """Read a row, whole, and decode its values into their columns."""
        cdef Cursor* body = &reader.cursor
        cdef const unsigned char* nulls
        cdef Cursor value, image
        cdef uint64_t length
        cdef Py_ssize_t i
        if PyList_GET_SIZE(fields) != self.width:
            raise DecodeError("a row decoded into another table's columns")
        if advance(body, 1)[0] != 0:
            raise DecodeError("a packet that is no row of a result set")
        nulls = advance(body, (self.width + 9) // 8)
        for i in range(self.width):
            self.column = i
            if nulls[(i + 2) >> 3] >> ((i + 2) & 7) & 1:
                (<Field>PyList_GET_ITEM(fields, i)).null()
                continue
            value.left = self.sizes[i]
            if value.left == SHORT_LENGTH:
                value.left = advance(body, 1)[0]
            elif value.left == LONG_LENGTH:
                length = read_lenenc(reader)
                if length > 0x7FFFFFFFFFFFFFFF:
                    raise DecodeError("a length that no packet has")
                value.left = <Py_ssize_t>length
            value.at = advance(body, value.left)
            (<Imager>PyList_GET_ITEM(self.imagers, i)).image(&value, &image)
            (<Field>PyList_GET_ITEM(fields, i)).value(&image)
            finish(&image)
        self.column = -1
        return finish(body)
