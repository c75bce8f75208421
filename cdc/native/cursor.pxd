"""The checked byte cursor: nothing else moves the pointer, and it never moves past the end."""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef struct Cursor:
    const unsigned char* at
    Py_ssize_t left


cdef int raise_truncated(Py_ssize_t wanted, Py_ssize_t left) except -1
cdef int raise_trailing(Py_ssize_t left) except -1


cdef inline const unsigned char* advance(Cursor* cursor, Py_ssize_t count) except NULL:
    """The start of the next `count` bytes, which are then behind the cursor."""
    cdef const unsigned char* start = cursor.at
    if count < 0 or count > cursor.left:
        raise_truncated(count, cursor.left)
    cursor.at = start + count
    cursor.left -= count
    return start


cdef inline int finish(Cursor* cursor) except -1:
    """Everything must have been read."""
    if cursor.left != 0:
        raise_trailing(cursor.left)
    return 0


# Big-endian loads, byte by byte: no alignment is assumed, and compilers make one instruction of each.
cdef inline uint16_t load_u16(const unsigned char* at) noexcept nogil:
    return <uint16_t>((<uint16_t>at[0] << 8) | at[1])


cdef inline uint32_t load_u32(const unsigned char* at) noexcept nogil:
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]


cdef inline uint64_t load_u64(const unsigned char* at) noexcept nogil:
    return (<uint64_t>load_u32(at) << 32) | load_u32(at + 4)


cdef inline int read_u8(Cursor* cursor, uint8_t* value) except -1:
    value[0] = advance(cursor, 1)[0]
    return 0


cdef inline int read_u16(Cursor* cursor, uint16_t* value) except -1:
    value[0] = load_u16(advance(cursor, 2))
    return 0


cdef inline int read_i16(Cursor* cursor, int16_t* value) except -1:
    value[0] = <int16_t>load_u16(advance(cursor, 2))
    return 0


cdef inline int read_u32(Cursor* cursor, uint32_t* value) except -1:
    value[0] = load_u32(advance(cursor, 4))
    return 0


cdef inline int read_i32(Cursor* cursor, int32_t* value) except -1:
    value[0] = <int32_t>load_u32(advance(cursor, 4))
    return 0


cdef inline int read_u64(Cursor* cursor, uint64_t* value) except -1:
    value[0] = load_u64(advance(cursor, 8))
    return 0


cdef inline int read_i64(Cursor* cursor, int64_t* value) except -1:
    value[0] = <int64_t>load_u64(advance(cursor, 8))
    return 0


cdef int require_utf8(const unsigned char* at, Py_ssize_t size) except -1


@cython.final
cdef class Reader:
    """The cursor as an object over the bytes of another one, for code that has a form in pure Python, too."""

    cdef Cursor cursor
    cdef Py_buffer view
    cdef bint is_open

    cdef int open(self, object data) except -1
    cdef int close(self) except -1

    cdef inline Py_ssize_t remaining(self) noexcept:
        return self.cursor.left

    cdef inline int skip(self, Py_ssize_t count) except -1:
        advance(&self.cursor, count)
        return 0

    cdef inline int u8(self) except -1:
        return advance(&self.cursor, 1)[0]

    cdef inline int u16(self) except -1:
        return load_u16(advance(&self.cursor, 2))

    cdef inline int i16(self) except? -1:
        return <int16_t>load_u16(advance(&self.cursor, 2))

    cdef inline uint32_t u32(self) except? 0xFFFFFFFF:
        return load_u32(advance(&self.cursor, 4))

    cdef inline int32_t i32(self) except? -1:
        return <int32_t>load_u32(advance(&self.cursor, 4))

    cdef inline uint64_t u64(self) except? 0xFFFFFFFFFFFFFFFF:
        return load_u64(advance(&self.cursor, 8))

    cdef inline int64_t i64(self) except? -1:
        return <int64_t>load_u64(advance(&self.cursor, 8))

    cdef inline bytes take(self, Py_ssize_t count):
        return (<const char*>advance(&self.cursor, count))[:count]

    cdef inline int finish(self) except -1:
        return finish(&self.cursor)
