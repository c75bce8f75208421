"""One column's values decoded into Arrow memory: what every kind of field does."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from cdc.native.columns cimport Column
from cdc.native.cursor cimport Cursor, advance


# Little-endian loads, byte by byte: no alignment is assumed, and compilers make one instruction of each.
cdef inline uint16_t little_u16(const unsigned char* at) noexcept nogil:
    return <uint16_t>(at[0] | (<uint16_t>at[1] << 8))


cdef inline uint32_t little_u24(const unsigned char* at) noexcept nogil:
    return at[0] | (<uint32_t>at[1] << 8) | (<uint32_t>at[2] << 16)


cdef inline uint32_t little_u32(const unsigned char* at) noexcept nogil:
    return at[0] | (<uint32_t>at[1] << 8) | (<uint32_t>at[2] << 16) | (<uint32_t>at[3] << 24)


cdef inline uint64_t little_u64(const unsigned char* at) noexcept nogil:
    return little_u32(at) | (<uint64_t>little_u32(at + 4) << 32)


cdef inline int clamp(Cursor* cursor, Py_ssize_t size, Cursor* value) except -1:
    """The next `size` bytes as a cursor of their own."""
    value.at = advance(cursor, size)
    value.left = size
    return 0


cdef inline int clamp_prefixed(Cursor* cursor, int prefix_bytes, Cursor* value) except -1:
    """The bytes behind a length of `prefix_bytes` (1 to 4) as a cursor of their own."""
    cdef const unsigned char* at = advance(cursor, prefix_bytes)
    cdef Py_ssize_t size = at[0]
    if prefix_bytes == 2:
        size = little_u16(at)
    elif prefix_bytes == 3:
        size = little_u24(at)
    elif prefix_bytes == 4:
        size = little_u32(at)
    return clamp(cursor, size, value)


cdef int require_size(Cursor* value, Py_ssize_t size) except -1


cdef class Field:
    cdef readonly object plan
    cdef readonly object policy
    cdef Column column
    # One null, in place of the next value.
    cdef int null(self) except -1
    # Exactly one value as rows events hold it, its length prefix included.
    cdef int value(self, Cursor* cursor) except -1
    # The same value without decoding it: `value` is clamped to its bytes, without the length prefix.
    cdef int span(self, Cursor* cursor, Cursor* value) except -1
    # A JSON value: the document `before` (clamped, without prefix) with the clamped sequence of diffs applied.
    cdef int partial(self, Cursor* before, Cursor* diffs) except -1
    cdef int refuse(self, what) except -1
    cpdef object finish(self)


cdef class SizedField(Field):
    """Values of `size` bytes each, without a length prefix."""

    cdef Py_ssize_t size


cdef class PrefixedField(Field):
    """Values behind a length; a subclass says in `put` what becomes of the bytes."""

    cdef int prefix_bytes
    cdef bint is_compressed
    cdef int put(self, Cursor* value) except -1
    cdef int put_compressed(self, Cursor* value) except -1
