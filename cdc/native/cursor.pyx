# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Failed checks of the cursor, and the check of text."""

cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.string cimport memcpy

from cdc.errors import DecodeError

# The high bit of eight bytes at once: none set means eight ASCII characters.
cdef uint64_t HIGH_BITS = 0x8080808080808080ULL


cdef int raise_truncated(Py_ssize_t wanted, Py_ssize_t left) except -1:
    raise DecodeError(f"{wanted} bytes expected, {left} are left")


cdef int raise_trailing(Py_ssize_t left) except -1:
    raise DecodeError(f"{left} bytes more than expected")


cdef int require_utf8(const unsigned char* at, Py_ssize_t size) except -1:
    """Strict UTF-8 (no surrogates, no overlong forms, nothing over U+10FFFF), else DecodeError."""
    if not _is_utf8(at, size):
        raise DecodeError("text that is not valid UTF-8")
    return 0


cdef bint _is_utf8(const unsigned char* at, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t length
    cdef uint64_t eight
    while i < size:
        if size - i >= 8:
            memcpy(&eight, at + i, 8)
            if not (eight & HIGH_BITS):
                i += 8
                continue
        if at[i] < 0x80:
            i += 1
            continue
        length = _sequence(at + i, size - i)
        if length == 0:
            return False
        i += length
    return True


cdef Py_ssize_t _sequence(const unsigned char* at, Py_ssize_t left) noexcept nogil:
    """The length of the sequence of two or more bytes that begins here; 0 when there is none."""
    cdef unsigned char first = at[0]
    cdef unsigned char low = 0x80
    cdef unsigned char high = 0xBF
    cdef Py_ssize_t length
    cdef Py_ssize_t i
    if 0xC2 <= first <= 0xDF:
        length = 2
    elif 0xE0 <= first <= 0xEF:
        length = 3
        if first == 0xE0:
            low = 0xA0
        elif first == 0xED:
            high = 0x9F
    elif 0xF0 <= first <= 0xF4:
        length = 4
        if first == 0xF0:
            low = 0x90
        elif first == 0xF4:
            high = 0x8F
    else:
        return 0
    if left < length or at[1] < low or at[1] > high:
        return 0
    for i in range(2, length):
        if at[i] < 0x80 or at[i] > 0xBF:
            return 0
    return length


@cython.final
cdef class Reader:
    def __dealloc__(self):
        self.close()

    cdef int require(self, Py_ssize_t first, Py_ssize_t last) except -1:
        """These offsets, from the first byte, lie within the bytes."""
        if first < 0 or last < first or last > self.tell() + self.cursor.left:
            raise_truncated(last - first, self.tell() + self.cursor.left - first)
        return 0

    cdef object view(self, Py_ssize_t first, Py_ssize_t last):
        """The bytes between two offsets, as they lie; they must not outlive the reader's use of them."""
        self.require(first, last)
        return PyMemoryView_FromMemory(<char*>self.first + first, last - first, PyBUF_READ)

    cdef bytes slice(self, Py_ssize_t first, Py_ssize_t last):
        self.require(first, last)
        return (<const char*>self.first)[first:last]

    cdef Reader clamp(self, Py_ssize_t count):
        """A reader of its own over the next bytes; they must be there as long as it is."""
        cdef Reader part = Reader.__new__(Reader)
        self.share(part, count)
        return part

    cdef int share(self, Reader other, Py_ssize_t count) except -1:
        """Have another one read the next bytes."""
        return other.point(advance(&self.cursor, count), count)
