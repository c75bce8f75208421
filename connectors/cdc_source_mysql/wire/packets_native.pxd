"""The types of `packets.py` where it is compiled."""

cimport cython

from cdc.native.cursor cimport Reader
from cdc_source_mysql.wire.buffer cimport Buffer

cdef int NOTHING, WHOLE, STREAMED, TRANSACTION_PAYLOAD_EVENT
cdef Py_ssize_t LONGEST_PACKET_BYTES, STREAMED_FROM_BYTES, TYPE_AT, PACKET_HEADER


@cython.final
cdef class Packets:
    cdef Buffer buffer
    cdef Py_ssize_t length
    cdef Py_ssize_t joined
    cdef bint is_whole
    cdef Py_ssize_t piece_left
    cdef bint continues
    @cython.locals(buffer=Buffer, held=Py_ssize_t, length=Py_ssize_t, is_event=bint)
    cdef int look(self, Reader reader) except -1
    @cython.locals(buffer=Buffer, at=Py_ssize_t, length=Py_ssize_t)
    cdef bint join(self) except? True
    cdef int consume(self) except -1
    cdef int begin_pieces(self) except -1
    @cython.locals(size=Py_ssize_t)
    cdef bytes piece(self, Py_ssize_t most)
    cdef bint end_pieces(self) except? True
