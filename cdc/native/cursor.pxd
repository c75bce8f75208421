"""The checked byte cursor: nothing else moves the pointer, and it never moves past the end."""

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
