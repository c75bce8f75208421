# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Bytes that come in pieces and are read from the start; the twin is `buffer_python.py`."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

# The first allocation: a read of the socket.
cdef Py_ssize_t FIRST_BYTES = 65536
# What an empty buffer may keep; after a larger event it gives the rest back.
cdef Py_ssize_t KEPT_BYTES = 4 << 20


cdef class Buffer:
    """Bytes appended at the end and consumed from the start; moved so seldom that each byte moves at most once
    on average. Offsets count from the first byte that is not consumed.
    """

    def __dealloc__(self):
        free(self.data)

    cdef int append(self, object data) except -1:
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if view.len:
                if self.capacity - self.end < view.len:
                    self.make_room(view.len)
                memcpy(self.data + self.end, view.buf, view.len)
                self.end += view.len
        finally:
            PyBuffer_Release(&view)
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

    cdef int give_back(self) except -1:
        """Free what a larger event took, unless bytes of another large one are there."""
        cdef Py_ssize_t held = self.end - self.start
        cdef void* memory
        if self.capacity <= KEPT_BYTES or held > KEPT_BYTES // 2:
            return 0
        memmove(self.data, self.data + self.start, held)
        self.start = 0
        self.end = held
        memory = realloc(self.data, KEPT_BYTES)
        if memory == NULL:
            raise MemoryError
        self.data = <unsigned char*>memory
        self.capacity = KEPT_BYTES
        return 0

    cdef int cut(self, Py_ssize_t offset, Py_ssize_t count) except -1:
        """Take these bytes out from among the others."""
        cdef unsigned char* at = self.data + self.start + offset
        self.require(offset, count)
        memmove(at, at + count, self.data + self.end - at - count)
        self.end -= count
        return 0

    cdef bytes take(self, Py_ssize_t count):
        """The next bytes, which are consumed."""
        cdef const char* at = <const char*>self.data + self.start
        self.skip(count)
        return at[:count] if count else b""
