"""Bytes that come in pieces and are read from the start."""

cimport cython
from libc.stdint cimport uint64_t

from cdc.native.cursor cimport Reader, raise_truncated


@cython.final
cdef class Buffer:
    cdef unsigned char* data
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef Py_ssize_t capacity
    cdef int make_room(self, Py_ssize_t count) except -1
    cdef int give_back(self) except -1
    cdef int append(self, object data) except -1
    cdef int cut(self, Py_ssize_t offset, Py_ssize_t count) except -1
    cdef bytes take(self, Py_ssize_t count)

    cdef inline Py_ssize_t held(self) noexcept:
        return self.end - self.start

    cdef inline int require(self, Py_ssize_t offset, Py_ssize_t count) except -1:
        if offset < 0 or count < 0 or offset + count > self.end - self.start:
            raise_truncated(count, self.end - self.start - offset)
        return 0

    cdef inline int show(self, Reader reader, Py_ssize_t offset, Py_ssize_t count) except -1:
        """Have these bytes read, which stay; valid until the next call of `append`, `cut` or `give_back`."""
        self.require(offset, count)
        return reader.point(self.data + self.start + offset, count)

    cdef inline int skip(self, Py_ssize_t count) except -1:
        self.require(0, count)
        self.start += count
        return 0

    cdef inline uint64_t little(self, Py_ssize_t offset, Py_ssize_t count) except? 0xFFFFFFFFFFFFFFFF:
        """The number in these bytes; it has at most 8 of them."""
        cdef uint64_t value = 0
        cdef Py_ssize_t i
        cdef const unsigned char* at
        if offset < 0 or count < 0 or offset + count > self.end - self.start:
            self.require(offset, count)
        at = self.data + self.start + offset
        for i in range(count):
            value |= <uint64_t>at[i] << (8 * i)
        return value
