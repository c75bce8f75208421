"""The types of `result_stream.py` where it is compiled."""

cimport cython
from libc.stdint cimport uint64_t

from cdc.native.cursor cimport Reader
from cdc_source_mysql.wire.events_native cimport read_lenenc
from cdc_source_mysql.wire.result_row cimport ResultRow
from cdc_source_mysql.wire.values cimport make_field

cdef int ERR, EOF, COUNT, COLUMNS, COLUMNS_END, ROWS
cdef Py_ssize_t PACKET_HEADER, FULL_PAYLOAD_BYTES, EOF_LIMIT_BYTES, DEFINITION_TEXTS, TYPE_AT
cdef uint64_t MOST_BYTES


@cython.final
cdef class ResultDecoder:
    cdef object shape
    cdef list fields
    cdef ResultRow row
    cdef Py_ssize_t width
    cdef Py_ssize_t known
    cdef Py_ssize_t column
    cdef object count
    cdef Reader reader
    cdef Reader body
    cdef bytearray pending
    cdef bytearray joined
    cdef int sequence
    cdef int state
    cdef Py_ssize_t rows
    cdef readonly Py_ssize_t byte_count
    cdef readonly bint finished
    cdef readonly bytes error
    @cython.locals(is_whole=bint, reader=Reader, used=Py_ssize_t)
    cpdef feed(self, data)
    @cython.locals(held=Py_ssize_t, length=Py_ssize_t)
    cdef int read_payloads(self, Reader reader) except -1
    cdef int packet_of(self, bytearray payload) except -1
    @cython.locals(size=Py_ssize_t, first=int)
    cdef int packet(self, Reader body) except -1
    @cython.locals(count=Py_ssize_t)
    cdef int read_count(self, Reader body) except -1
    @cython.locals(fixed=Reader, code=int)
    cdef int read_definition(self, Reader body) except -1


@cython.locals(length=uint64_t)
cdef Py_ssize_t read_length(Reader reader) except -1
