# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Binary result sets straight into Arrow memory; the twin is `results_python.py`."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc

from cdc.native.cursor cimport Cursor, advance, finish, read_u8
from cdc_source_mysql.wire.events cimport read_lenenc
from cdc_source_mysql.wire.field cimport Field
from cdc_source_mysql.wire.images cimport Imager
from cdc_source_mysql.wire.values cimport make_field

from cdc.errors import CdcError, DecodeError
from cdc.native.gathered import TableShape, take_rows
from cdc.native.refusals import locate
from cdc_source_mysql.wire import images_python as _codes

cdef enum:
    HEADER_BYTES = 4
    FULL_PAYLOAD_BYTES = 0xFFFFFF
    ERR = 0xFF
    EOF_PACKET = 0xFE
    EOF_LIMIT_BYTES = 9
    DEFINITION_TEXTS = 6

cdef enum:
    COUNT
    COLUMNS
    COLUMNS_END
    ROWS

cdef enum:
    # How long a value is: this many bytes, or by the byte or the length in front of it.
    SHORT_LENGTH = -1
    LONG_LENGTH = -2


@cython.final
cdef class ResultDecoder:
    """See `cdc_source_mysql.wire.results.Results`."""

    cdef object shape
    cdef list fields
    cdef list imagers
    cdef object count
    cdef bytearray pending
    cdef Py_ssize_t width
    cdef Py_ssize_t known
    cdef Py_ssize_t rows
    cdef Py_ssize_t column
    cdef int sequence
    cdef int state
    cdef int* sizes
    cdef readonly Py_ssize_t byte_count
    cdef readonly bint finished
    cdef readonly object error

    def __init__(self, table, plans, unrepresentable, count):
        self.shape = TableShape(0, table, plans, unrepresentable=unrepresentable)
        plans = self.shape.plans
        self.fields = [make_field(p, r) for p, r in zip(plans, self.shape.refusals)]
        self.imagers = [Imager(plan) for plan in plans]
        self.count = count
        self.pending = bytearray()
        self.width = len(self.fields)
        self.sizes = <int*>malloc((self.width + 1) * sizeof(int))
        if self.sizes == NULL:
            raise MemoryError
        self.sequence = 1
        self.state = COUNT

    def __dealloc__(self):
        free(self.sizes)

    def feed(self, data):
        cdef Py_buffer view
        cdef Py_ssize_t used
        source = data
        if self.pending:
            self.pending += data
            source = self.pending
        self.column = -1
        PyObject_GetBuffer(source, &view, PyBUF_SIMPLE)
        try:
            used = self.packets(<const unsigned char*>view.buf, view.len)
            rest = bytes((<const unsigned char*>view.buf)[used:view.len]) if source is data else None
        except CdcError as error:
            raise locate(error, self.shape.place(self.column, "")) from None
        finally:
            PyBuffer_Release(&view)
        if rest is None:
            del self.pending[:used]
        elif rest:
            self.pending += rest

    cdef Py_ssize_t packets(self, const unsigned char* data, Py_ssize_t size) except -1:
        """Consume the whole payloads; how many bytes these were."""
        cdef Py_ssize_t at = 0, end
        cdef Cursor body
        while True:
            end = self.payload(data, at, size, &body)
            if end == 0:
                return at
            if end < 0:
                joined = self.joined(data, at, -end)
                body.at = joined
                body.left = len(joined)
                end = -end
            self.packet(&body)
            at = end

    cdef Py_ssize_t payload(
        self, const unsigned char* data, Py_ssize_t at, Py_ssize_t size, Cursor* body
    ) except? -2:
        """The end of the payload that starts at `at`, negative when it is of several packets; 0 when it isn't
        whole.
        """
        cdef int sequence = self.sequence
        cdef Py_ssize_t length
        cdef bint several = False
        while True:
            if size - at < HEADER_BYTES:
                return 0
            length = data[at] | (<Py_ssize_t>data[at + 1] << 8) | (<Py_ssize_t>data[at + 2] << 16)
            if data[at + 3] != sequence:
                raise DecodeError("a packet out of sequence")
            at += HEADER_BYTES
            if size - at < length:
                return 0
            body.at = data + at
            body.left = length
            at += length
            sequence = (sequence + 1) & 0xFF
            if length < FULL_PAYLOAD_BYTES:
                self.sequence = sequence
                return -at if several else at
            several = True

    cdef bytes joined(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end):
        """The payload of several packets."""
        cdef Py_ssize_t length
        parts = []
        while at < end:
            length = min(end - at - HEADER_BYTES, <Py_ssize_t>FULL_PAYLOAD_BYTES)
            at += HEADER_BYTES
            parts.append(data[at:at + length])
            at += length
        return b"".join(parts)

    cdef int packet(self, Cursor* body) except -1:
        if self.finished or self.error is not None:
            raise DecodeError("data after the end of a result set")
        if body.left == 0:
            raise DecodeError("an empty packet in a result set")
        if body.at[0] == ERR:
            self.error = body.at[:body.left]
        elif self.state == COUNT:
            self.header(body)
        elif self.state == COLUMNS:
            self.definition(body)
        elif body.at[0] == EOF_PACKET and body.left < EOF_LIMIT_BYTES:
            self.finished = self.state == ROWS
            self.state = ROWS
        elif self.state == ROWS:
            self.row(body)
        else:
            raise DecodeError("no end after the columns of a result set")
        return 0

    cdef int header(self, Cursor* body) except -1:
        cdef Py_ssize_t count = read_length(body)
        finish(body)
        if count != self.width or not count:
            raise DecodeError(f"a result of {count} columns where {self.width} were selected")
        self.state = COLUMNS
        return 0

    cdef int definition(self, Cursor* body) except -1:
        cdef uint8_t code
        cdef Cursor fixed
        cdef int i
        for i in range(DEFINITION_TEXTS):
            advance(body, read_length(body))
        fixed.left = read_length(body)
        fixed.at = advance(body, fixed.left)
        advance(&fixed, 6)
        read_u8(&fixed, &code)
        self.column = self.known
        if not _codes.is_expected(self.shape.plans[self.known].kind, code):
            raise DecodeError(f"a result of type {code} where another was planned")
        self.column = -1
        short = SHORT_LENGTH if code in _codes.TEMPORAL else LONG_LENGTH
        self.sizes[self.known] = _codes.FIXED_BYTES.get(code, short)
        self.known += 1
        if self.known == self.width:
            self.state = COLUMNS_END
        return 0

    cdef int row(self, Cursor* body) except -1:
        cdef Py_ssize_t i
        cdef Py_ssize_t bytes_here = body.left
        cdef const unsigned char* nulls
        cdef Cursor value, image
        cdef Field field
        if advance(body, 1)[0] != 0:
            raise DecodeError("a packet that is no row of a result set")
        nulls = advance(body, (self.width + 9) // 8)
        for i in range(self.width):
            self.column = i
            field = <Field>self.fields[i]
            if nulls[(i + 2) >> 3] >> ((i + 2) & 7) & 1:
                field.null()
                continue
            value.left = self.sizes[i]
            if value.left == SHORT_LENGTH:
                value.left = advance(body, 1)[0]
            elif value.left == LONG_LENGTH:
                value.left = read_length(body)
            value.at = advance(body, value.left)
            (<Imager>self.imagers[i]).image(&value, &image)
            field.value(&image)
            finish(&image)
        self.column = -1
        finish(body)
        self.rows += 1
        self.byte_count += bytes_here
        return 0

    def take(self):
        batch = take_rows(self.shape, self.rows, self.fields, self.count)
        self.rows = self.byte_count = 0
        return batch


cdef Py_ssize_t read_length(Cursor* cursor) except -1:
    """A length-encoded number of bytes."""
    cdef uint64_t length
    read_lenenc(cursor, &length)
    if length > 0x7FFFFFFFFFFFFFFF:
        raise DecodeError("a length that no packet has")
    return <Py_ssize_t>length
