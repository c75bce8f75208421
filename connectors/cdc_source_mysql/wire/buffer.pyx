# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Bytes of the connection, and the packets in them; the twin is `packets_python.py`.

A payload of 16 MiB - 1 and more comes as several packets, which are joined in place.
"""

cimport cython
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from cdc.errors import DecodeError
from cdc_source_mysql.wire import codes as _codes
from cdc_source_mysql.wire.field cimport little_u24

cdef Py_ssize_t LONGEST = _codes.LONGEST_PACKET_BYTES
cdef Py_ssize_t STREAMED_FROM = _codes.STREAMED_FROM_BYTES
cdef Py_ssize_t TYPE_AT = _codes.TYPE_AT
cdef int TRANSACTION_PAYLOAD = _codes.TRANSACTION_PAYLOAD_EVENT
cdef Py_ssize_t PACKET_HEADER = 4
# The first allocation: a read of the socket.
cdef Py_ssize_t FIRST_BYTES = 65536
# What an empty buffer may keep; after a larger event it gives the rest back.
cdef Py_ssize_t KEPT_BYTES = 4 << 20


cdef class Buffer:
    """Bytes appended at the end and consumed from the start; moved so seldom that each byte moves at most once
    on average.
    """

    def __dealloc__(self):
        free(self.data)

    def __len__(self):
        return self.end - self.start

    cdef int append(self, const unsigned char* at, Py_ssize_t count) except -1:
        if self.capacity - self.end < count:
            self.make_room(count)
        memcpy(self.data + self.end, at, count)
        self.end += count
        return 0

    cdef int make_room(self, Py_ssize_t count) except -1:
        cdef Py_ssize_t held = self.end - self.start
        cdef Py_ssize_t capacity
        cdef void* memory
        if self.start and self.start >= held:
            memmove(self.data, self.data + self.start, held)
            self.start = 0
            self.end = held
        if self.capacity - self.end < count:
            capacity = max(self.capacity * 2, self.end + count, FIRST_BYTES)
        elif self.capacity > KEPT_BYTES and self.end + count <= KEPT_BYTES:
            capacity = KEPT_BYTES
        else:
            return 0
        memory = realloc(self.data, capacity)
        if memory == NULL:
            raise MemoryError
        self.data = <unsigned char*>memory
        self.capacity = capacity
        return 0


@cython.final
cdef class Packets:
    def __init__(self):
        self.buffer = Buffer()

    cdef int look(self, Cursor* payload) except -1:
        """The payload of the packet at the start: WHOLE, NOTHING as long as it isn't there, or STREAMED when it
        is a large TRANSACTION_PAYLOAD, whose beginning is there.
        """
        cdef Buffer buffer = self.buffer
        cdef Py_ssize_t left = buffer.end - buffer.start
        cdef unsigned char* at = buffer.data + buffer.start
        cdef Py_ssize_t length
        if left < PACKET_HEADER:
            return NOTHING
        length = little_u24(at)
        if length >= STREAMED_FROM and self.joined == 0:
            if left < PACKET_HEADER + TYPE_AT + 1:
                return NOTHING
            if at[PACKET_HEADER] == 0 and at[PACKET_HEADER + TYPE_AT] == TRANSACTION_PAYLOAD:
                return STREAMED
        if length == LONGEST:
            if not self.join():
                return NOTHING
            left = buffer.end - buffer.start
            length = self.joined
        if left < PACKET_HEADER + length:
            return NOTHING
        payload.at = at + PACKET_HEADER
        payload.left = length
        return WHOLE

    cdef int join(self) except -1:
        """Take out the headers of the packets that continue the first; whether the last is known."""
        cdef Buffer buffer = self.buffer
        cdef unsigned char* at
        cdef Py_ssize_t length
        if self.joined == 0:
            self.joined = LONGEST
            self.is_whole = False
        while not self.is_whole:
            if buffer.end - buffer.start < PACKET_HEADER + self.joined + PACKET_HEADER:
                return False
            at = buffer.data + buffer.start + PACKET_HEADER + self.joined
            length = little_u24(at)
            memmove(at, at + PACKET_HEADER, buffer.data + buffer.end - at - PACKET_HEADER)
            buffer.end -= PACKET_HEADER
            self.joined += length
            self.is_whole = length < LONGEST
        return True

    cdef int consume(self, Cursor* payload) except -1:
        """The packet that `look` showed is done with."""
        self.buffer.start += PACKET_HEADER + payload.left
        self.joined = 0
        return 0

    cdef int begin_pieces(self) except -1:
        """Read the packet at the start by `piece` from now on."""
        cdef unsigned char* at = self.buffer.data + self.buffer.start
        self.piece_left = little_u24(at)
        self.continues = self.piece_left == LONGEST
        self.buffer.start += PACKET_HEADER
        return 0

    cdef Py_ssize_t piece(self, Py_ssize_t most, Cursor* piece) except -1:
        """The next bytes of the payload, which are consumed; 0 when none are there."""
        cdef Buffer buffer = self.buffer
        if self.piece_left == 0 and self.continues:
            if buffer.end - buffer.start < PACKET_HEADER:
                return 0
            self.begin_pieces()
        piece.at = buffer.data + buffer.start
        piece.left = min(most, self.piece_left, buffer.end - buffer.start)
        buffer.start += piece.left
        self.piece_left -= piece.left
        return piece.left

    cdef bint end_pieces(self) except? True:
        """Whether the last packet of the payload is known; it must have been read whole."""
        cdef Cursor piece
        if self.piece(1, &piece):
            raise DecodeError("more bytes in a packet than its event has")
        return not self.continues
