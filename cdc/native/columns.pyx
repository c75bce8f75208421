# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Append-only builders of Arrow columns.

A builder owns its memory until `finish`, which hands it to Arrow without a copy and leaves the builder empty.
Offsets are 32 bits: a column of one batch holds less than 2 GiB; more raises DecodeError.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport free, realloc

import pyarrow as pa

from cdc.errors import DecodeError
from cdc.native.record_batches import assemble

# The first allocation; small, because wide tables have hundreds of columns and often few rows.
cdef size_t FIRST_BYTES = 64


@cython.final
cdef class OwnedMemory:
    """Memory that is freed when Arrow has done with it."""

    cdef unsigned char* data
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 1, flags)

    def __dealloc__(self):
        free(self.data)


cdef int raise_too_large() except -1:
    raise DecodeError("more than 2 GiB gathered in one column of one batch", remedy="Take the batch earlier.")


cdef int grow(Memory* memory, size_t extra) except -1:
    """Double, or more where that is not enough; one byte stays spare, so that a slot of no bytes has an address."""
    cdef size_t needed = memory.size + extra + 1
    cdef size_t capacity = max(memory.capacity * 2, FIRST_BYTES, needed)
    cdef void* data = realloc(memory.data, capacity)
    if data == NULL:
        raise MemoryError
    memory.data = <unsigned char*>data
    memory.capacity = capacity
    return 0


cdef object give(Memory* memory):
    """The memory as an Arrow buffer, cut to what is used; `memory` is empty then."""
    cdef OwnedMemory owner = OwnedMemory.__new__(OwnedMemory)
    cdef void* data
    if memory.data == NULL:
        grow(memory, 1)
    data = realloc(memory.data, max(memory.size, <size_t>1))
    owner.data = <unsigned char*>(data if data != NULL else memory.data)
    owner.size = <Py_ssize_t>memory.size
    memory.data = NULL
    memory.size = memory.capacity = 0
    return pa.py_buffer(owner)


cdef class Column:
    """Values of one Arrow type in the order they come; a subclass says how they lie in memory."""

    def __dealloc__(self):
        free(self.validity.data)

    cdef int null(self) except -1:
        raise NotImplementedError

    cdef int begin_validity(self) except -1:
        """The bitmap starts with the first null: all before it are valid."""
        cdef size_t count = (self.length + 7) >> 3
        if count:
            memset(extend(&self.validity, count), 0xFF, count)
            if self.length & 7:
                self.validity.data[count - 1] = <unsigned char>((1 << (self.length & 7)) - 1)
        return 0

    cdef object take_validity(self):
        return give(&self.validity) if self.nulls else None

    cdef object finish(self, object type_):
        raise NotImplementedError


@cython.final
cdef class FixedColumn(Column):
    """Values of `width` bytes each."""

    def __init__(self, Py_ssize_t width):
        self.width = width

    def __dealloc__(self):
        free(self.values.data)

    cdef int null(self) except -1:
        note_null(self)
        memset(extend(&self.values, self.width), 0, self.width)
        return 0

    cdef object release(self):
        """The values alone, as a buffer."""
        self.length = 0
        return give(&self.values)

    cdef object finish(self, object type_):
        array = assemble(type_, self.length, self.nulls, [self.take_validity(), give(&self.values)])
        self.length = self.nulls = 0
        return array


@cython.final
cdef class BoolColumn(Column):
    """One bit a value."""

    def __dealloc__(self):
        free(self.values.data)

    cdef int null(self) except -1:
        append_bit(&self.values, self.length, False)
        return note_null(self)

    cdef int append(self, bint value) except -1:
        append_bit(&self.values, self.length, value)
        return note_valid(self)

    cdef object finish(self, object type_):
        array = assemble(type_, self.length, self.nulls, [self.take_validity(), give(&self.values)])
        self.length = self.nulls = 0
        return array


@cython.final
cdef class VariableColumn(Column):
    """Text or bytes behind 32-bit offsets."""

    def __init__(self):
        self.begin()

    def __dealloc__(self):
        free(self.offsets.data)
        free(self.values.data)

    cdef int begin(self) except -1:
        memset(extend(&self.offsets, 4), 0, 4)
        return 0

    cdef int null(self) except -1:
        cdef int32_t end = <int32_t>self.values.size
        memcpy(extend(&self.offsets, 4), &end, 4)
        return note_null(self)

    cdef object finish(self, object type_):
        buffers = [self.take_validity(), give(&self.offsets), give(&self.values)]
        array = assemble(type_, self.length, self.nulls, buffers)
        self.length = self.nulls = 0
        self.begin()
        return array


@cython.final
cdef class ListColumn(Column):
    """One level of lists; whoever appends lists also fills the column of their elements."""

    def __init__(self):
        self.begin()

    def __dealloc__(self):
        free(self.offsets.data)

    cdef int begin(self) except -1:
        self.end = 0
        memset(extend(&self.offsets, 4), 0, 4)
        return 0

    cdef int null(self) except -1:
        memcpy(extend(&self.offsets, 4), &self.end, 4)
        return note_null(self)

    cdef int append(self, Py_ssize_t count) except -1:
        """A list of `count` elements."""
        if count > 0x7FFFFFFF - self.end:
            raise_too_large()
        self.end += <int32_t>count
        memcpy(extend(&self.offsets, 4), &self.end, 4)
        return note_valid(self)

    cdef object finish_list(self, object type_, object child):
        """The lists over the array of their elements."""
        buffers = [self.take_validity(), give(&self.offsets)]
        array = assemble(type_, self.length, self.nulls, buffers, [child])
        self.length = self.nulls = 0
        self.begin()
        return array
