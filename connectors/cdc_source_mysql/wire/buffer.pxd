"""Bytes of the connection, and the packets in them."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t

from cdc.native.cursor cimport Cursor


cdef class Buffer:
    cdef unsigned char* data
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef Py_ssize_t capacity
    cdef int append(self, const unsigned char* at, Py_ssize_t count) except -1
    cdef int make_room(self, Py_ssize_t count) except -1


cdef enum:
    # What `look` answers.
    NOTHING
    WHOLE
    STREAMED


@cython.final
cdef class Packets:
    cdef Buffer buffer
    # Of a long packet: the bytes of its payload whose packets are known and joined, 0 before the first.
    cdef Py_ssize_t joined
    cdef bint is_whole
    # Of a packet that is read in pieces.
    cdef Py_ssize_t piece_left
    cdef bint continues
    cdef int look(self, Cursor* payload) except -1
    cdef int join(self) except -1
    cdef int consume(self, Cursor* payload) except -1
    cdef int begin_pieces(self) except -1
    cdef Py_ssize_t piece(self, Py_ssize_t most, Cursor* piece) except -1
    cdef bint end_pieces(self) except? True
