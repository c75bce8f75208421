# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""COPY BINARY straight into Arrow memory; the twin is in `python.py`."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int16_t, int32_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from cdc.native.cursor cimport Cursor, advance, read_i16, read_i32, read_u32
from cdc_source_postgres.wire.fields cimport Field, make_field

from cdc.errors import CdcError, DecodeError
from cdc_source_postgres.wire import codes as _codes
from cdc.native.refusals import locate
from cdc.native.gathered import TableShape, take_rows

cdef bytes SIGNATURE = _codes.COPY_SIGNATURE
cdef Py_ssize_t ROW_OVERHEAD_BYTES = _codes.ROW_OVERHEAD_BYTES
cdef enum:
    WOULD_BLOCK = 0
    ENDED = 1
    FULL = 4
assert (_codes.WOULD_BLOCK, _codes.ENDED, _codes.FULL) == (WOULD_BLOCK, ENDED, FULL)


@cython.final
cdef class CopyDecoder:
    """See `cdc_source_postgres.wire.decoder.Copy`."""

    cdef object shape
    cdef list columns
    cdef object count
    cdef Py_ssize_t width
    cdef Py_ssize_t rows
    cdef Py_ssize_t byte_count
    cdef bint has_header
    cdef Py_ssize_t place
    cdef Cursor* values
    cdef bint* text_only
    cdef readonly bint finished

    def __init__(self, table, plans, unrepresentable, count):
        cdef Py_ssize_t i
        self.shape = TableShape(0, table, plans, unrepresentable=unrepresentable)
        plans = self.shape.plans
        self.columns = [make_field(p.codec, r) for p, r in zip(plans, self.shape.refusals)]
        self.count = count
        self.width = len(self.columns)
        self.values = <Cursor*>malloc((self.width + 1) * sizeof(Cursor))
        self.text_only = <bint*>malloc((self.width + 1) * sizeof(bint))
        if self.values == NULL or self.text_only == NULL:
            raise MemoryError
        for i in range(self.width):
            self.text_only[i] = plans[i].text_only

    def __dealloc__(self):
        free(self.values)
        free(self.text_only)

    def drain(self, get_copy_data, Py_ssize_t limit_bytes):
        cdef Py_ssize_t length
        while True:
            length, frame = get_copy_data(1)
            if length <= 0:
                return WOULD_BLOCK if length == 0 else ENDED
            self.feed(frame)
            if self.byte_count >= limit_bytes:
                return FULL

    cpdef feed(self, data):
        cdef Py_buffer view
        cdef Cursor cursor
        self.place = -1
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            cursor.at = <const unsigned char*>view.buf
            cursor.left = view.len
            if not self.has_header:
                self.header(&cursor)
            while cursor.left:
                self.row(&cursor)
            self.byte_count += view.len + ROW_OVERHEAD_BYTES
        except CdcError as error:
            raise locate(error, self.shape.place(self.place, "")) from None
        finally:
            PyBuffer_Release(&view)

    cdef int header(self, Cursor* cursor) except -1:
        cdef const unsigned char* signature = advance(cursor, len(SIGNATURE))
        cdef uint32_t flags
        cdef int32_t extension
        read_u32(cursor, &flags)
        if memcmp(signature, <const char*>SIGNATURE, len(SIGNATURE)) != 0 or flags != 0:
            raise DecodeError("data that does not begin with a header of COPY BINARY that is known")
        read_i32(cursor, &extension)
        advance(cursor, extension)
        self.has_header = True
        return 0

    cdef int row(self, Cursor* cursor) except -1:
        cdef int16_t count
        cdef Py_ssize_t i
        if self.finished:
            raise DecodeError("data after the end of a COPY")
        read_i16(cursor, &count)
        if count == -1:
            self.finished = True
            return 0
        if count != self.width:
            raise DecodeError(f"a row of {count} columns where {self.width} are declared")
        self.split(cursor)
        for i in range(self.width):
            self.place = i
            self.append(<Field>self.columns[i], i)
        self.place = -1
        self.rows += 1
        return 0

    cdef int split(self, Cursor* cursor) except -1:
        """The values of one row, checked whole; a null has the length -1."""
        cdef int32_t size
        cdef Py_ssize_t i
        for i in range(self.width):
            read_i32(cursor, &size)
            self.values[i].left = size
            self.values[i].at = cursor.at
            if size != -1:
                advance(cursor, size)
        return 0

    cdef int append(self, Field field, Py_ssize_t i) except -1:
        if self.values[i].left == -1:
            return field.null()
        if self.text_only[i]:
            return field.text(&self.values[i])
        return field.binary(&self.values[i])

    def take(self):
        batch = take_rows(self.shape, self.rows, self.columns, self.count)
        self.rows = self.byte_count = 0
        return batch
