# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Columns written row by row, every field with its length in front: for targets that take rows."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

import numpy as np

# The length of a null, and the most bytes that a field may have.
cdef uint32_t NULL_LENGTH = 0xFFFFFFFF
cdef int64_t LONGEST = 0x7FFFFFFF


cdef struct Source:
    const uint8_t* valid
    const uint8_t* data
    const int64_t* offsets
    Py_ssize_t width


def rowwise(Py_ssize_t count, list fields, bytes prefix, bint measured=False):
    """See `rowwise_python.rowwise`."""
    cdef Py_ssize_t total, number = len(fields)
    cdef Source* sources = <Source*> calloc(max(number, 1), sizeof(Source))
    cdef bytes out
    cdef int64_t[::1] starts
    if sources == NULL:
        raise MemoryError
    try:
        for i in range(number):
            _open(&sources[i], fields[i], count)
        total = _measure(sources, number, count, len(prefix))
        out = PyBytes_FromStringAndSize(NULL, total)
        offsets = np.zeros(count + 1 if measured else 1, np.int64)
        starts = offsets
        _write(sources, number, count, prefix, PyBytes_AS_STRING(out), &starts[0] if measured else NULL)
        return out, offsets if measured else None
    finally:
        free(sources)


cdef int _open(Source* source, field, Py_ssize_t count) except -1:
    cdef const uint8_t[::1] valid
    cdef const uint8_t[::1] data = field.data
    cdef const int64_t[::1] offsets
    if data.shape[0]:
        source.data = &data[0]
    if field.valid is not None:
        valid = field.valid
        if valid.shape[0] != count:
            raise ValueError("a field's mask is not as long as its column")
        if count:
            source.valid = &valid[0]
    if field.offsets is None:
        source.width = field.width
        if source.width < 0 or source.width * count > data.shape[0]:
            raise ValueError("a field's data are shorter than its column")
        return 0
    offsets = field.offsets
    if offsets.shape[0] != count + 1:
        raise ValueError("a field's offsets are not those of its column")
    source.offsets = &offsets[0]
    for i in range(count):
        if not 0 <= offsets[i] <= offsets[i + 1] <= data.shape[0] or offsets[i + 1] - offsets[i] > LONGEST:
            raise ValueError("a field's offsets point outside of its data")
    return 0


cdef Py_ssize_t _measure(
    const Source* sources, Py_ssize_t number, Py_ssize_t count, Py_ssize_t prefix
) noexcept nogil:
    cdef Py_ssize_t total = count * (prefix + 4 * number)
    cdef Py_ssize_t i, row
    cdef const Source* source
    for i in range(number):
        source = &sources[i]
        if source.valid == NULL:
            if source.offsets == NULL:
                total += count * source.width
            else:
                total += source.offsets[count] - source.offsets[0]
            continue
        for row in range(count):
            if source.valid[row]:
                total += _length(source, row)
    return total


cdef inline Py_ssize_t _length(const Source* source, Py_ssize_t row) noexcept nogil:
    if source.offsets == NULL:
        return source.width
    return source.offsets[row + 1] - source.offsets[row]


cdef void _write(
    const Source* sources, Py_ssize_t number, Py_ssize_t count, bytes prefix, char* out, int64_t* starts
) noexcept:
    cdef const char* head = PyBytes_AS_STRING(prefix)
    cdef Py_ssize_t head_size = len(prefix)
    cdef char* at = out
    cdef Py_ssize_t i, row, length
    cdef const Source* source
    with nogil:
        for row in range(count):
            memcpy(at, head, head_size)
            at += head_size
            for i in range(number):
                source = &sources[i]
                if source.valid != NULL and not source.valid[row]:
                    _put_length(at, NULL_LENGTH)
                    at += 4
                    continue
                length = _length(source, row)
                _put_length(at, <uint32_t> length)
                at += 4
                if source.offsets == NULL:
                    memcpy(at, source.data + row * length, length)
                else:
                    memcpy(at, source.data + source.offsets[row], length)
                at += length
            if starts != NULL:
                starts[row + 1] = at - out


cdef inline void _put_length(char* at, uint32_t length) noexcept nogil:
    at[0] = <char> (length >> 24)
    at[1] = <char> (length >> 16)
    at[2] = <char> (length >> 8)
    at[3] = <char> length
