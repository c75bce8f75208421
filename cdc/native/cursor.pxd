"""The checked byte cursor: nothing else moves the pointer, and it never moves past the end."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp


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


cdef inline uint64_t load_little(const unsigned char* at, Py_ssize_t count) noexcept nogil:
    cdef uint64_t value = 0
    cdef Py_ssize_t i
    if count == 2:
        return at[0] | (<uint64_t>at[1] << 8)
    if count == 4:
        return at[0] | (<uint64_t>at[1] << 8) | (<uint64_t>at[2] << 16) | (<uint64_t>at[3] << 24)
    if count == 8:
        for i in range(8):
            value |= <uint64_t>at[i] << (8 * i)
        return value
    for i in range(count):
        value |= <uint64_t>at[i] << (8 * i)
    return value


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
    # Where the bytes begin.
    cdef const unsigned char* first
    cdef Py_buffer buffer
    cdef bint is_open

    cdef int require(self, Py_ssize_t first, Py_ssize_t last) except -1
    cdef object view(self, Py_ssize_t first, Py_ssize_t last)
    cdef bytes slice(self, Py_ssize_t first, Py_ssize_t last)
    cdef Reader clamp(self, Py_ssize_t count)
    cdef int share(self, Reader other, Py_ssize_t count) except -1

    cdef inline int open(self, object data) except -1:
        """Read these bytes from their start, until `close`."""
        self.close()
        PyObject_GetBuffer(data, &self.buffer, PyBUF_SIMPLE)
        self.is_open = True
        self.first = <const unsigned char*>self.buffer.buf
        if self.first == NULL:
            self.first = b""
        self.cursor.at = self.first
        self.cursor.left = self.buffer.len
        return 0

    cdef inline int close(self) except -1:
        if self.is_open:
            self.is_open = False
            self.cursor.left = 0
            PyBuffer_Release(&self.buffer)
        return 0

    cdef inline int point(self, const unsigned char* at, Py_ssize_t count) except -1:
        """Read these bytes, which someone else keeps."""
        self.close()
        self.first = self.cursor.at = at
        self.cursor.left = count
        return 0

    cdef inline Py_ssize_t tell(self) noexcept:
        return self.cursor.at - self.first

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

    cdef inline uint64_t little(self, Py_ssize_t count) except? 0xFFFFFFFFFFFFFFFF:
        """A little-endian number of at most 8 bytes."""
        return load_little(advance(&self.cursor, count), count)

    cdef inline uint64_t little_at(self, Py_ssize_t offset, Py_ssize_t count) except? 0xFFFFFFFFFFFFFFFF:
        """The same from further on, without moving."""
        if offset < 0 or count < 0 or count > self.cursor.left - offset:
            raise_truncated(count, self.cursor.left - offset)
        return load_little(self.cursor.at + offset, count)

    cdef inline uint64_t cut(self, Py_ssize_t count) except? 0xFFFFFFFFFFFFFFFF:
        """The little-endian number in the last bytes, which are not read any more."""
        cdef uint64_t value = self.little_at(self.cursor.left - count, count)
        self.cursor.left -= count
        return value

    cdef inline bint starts_with(self, bytes text) noexcept:
        if self.cursor.left < PyBytes_GET_SIZE(text):
            return False
        return memcmp(self.cursor.at, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)) == 0

    cdef inline bint holds(self, bytes data) noexcept:
        """Whether exactly this remains."""
        return self.cursor.left == PyBytes_GET_SIZE(data) and self.starts_with(data)

    cdef inline bytes take(self, Py_ssize_t count):
        return (<const char*>advance(&self.cursor, count))[:count]

    cdef inline bytes rest(self):
        return self.take(self.cursor.left)

    cdef inline int finish(self) except -1:
        return finish(&self.cursor)
