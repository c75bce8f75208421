"""Append-only builders of Arrow columns; their memory is handed over, never copied."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset


cdef struct Memory:
    unsigned char* data
    size_t size
    size_t capacity


cdef int grow(Memory* memory, size_t extra) except -1
cdef object give(Memory* memory)
cdef int raise_too_large() except -1


cdef inline unsigned char* extend(Memory* memory, size_t count) except NULL:
    """Room for `count` bytes more, counted as used."""
    cdef unsigned char* start
    if memory.capacity - memory.size <= count:
        grow(memory, count)
    start = memory.data + memory.size
    memory.size += count
    return start


cdef class Column:
    cdef readonly Py_ssize_t length
    cdef Py_ssize_t nulls
    cdef Memory validity
    cdef int null(self) except -1
    cdef int begin_validity(self) except -1
    cdef object take_validity(self)
    cdef object finish(self, object type_)


cdef inline int append_bit(Memory* bits, Py_ssize_t index, bint value) except -1:
    """Set bit `index`, the one after the last."""
    if index & 7 == 0:
        extend(bits, 1)[0] = 0
    if value:
        bits.data[index >> 3] |= <unsigned char>(1 << (index & 7))
    return 0


cdef inline int note_valid(Column column) except -1:
    if column.nulls:
        append_bit(&column.validity, column.length, True)
    column.length += 1
    return 0


cdef inline int note_null(Column column) except -1:
    if column.nulls == 0:
        column.begin_validity()
    append_bit(&column.validity, column.length, False)
    column.nulls += 1
    column.length += 1
    return 0


cdef class FixedColumn(Column):
    cdef Memory values
    cdef readonly Py_ssize_t width
    cdef object release(self)


cdef inline unsigned char* fixed_slot(FixedColumn column) except NULL:
    """Where to write the next value, which is valid."""
    note_valid(column)
    return extend(&column.values, column.width)


# The next number of a column of this width that never has nulls.
cdef inline int append_int8(FixedColumn column, int value) except -1:
    column.length += 1
    extend(&column.values, 1)[0] = <unsigned char>value
    return 0


cdef inline int append_int32(FixedColumn column, int32_t value) except -1:
    column.length += 1
    (<int32_t*>extend(&column.values, 4))[0] = value
    return 0


cdef inline int append_int64(FixedColumn column, int64_t value) except -1:
    column.length += 1
    (<int64_t*>extend(&column.values, 8))[0] = value
    return 0


cdef inline int set_last_int32(FixedColumn column, int32_t value) except -1:
    """In place of the last value, which there is."""
    (<int32_t*>column.values.data)[column.length - 1] = value
    return 0


cdef class BoolColumn(Column):
    cdef Memory values
    cdef int append(self, bint value) except -1


cdef class VariableColumn(Column):
    cdef Memory offsets
    cdef Memory values
    cdef int begin(self) except -1


cdef inline unsigned char* variable_slot(VariableColumn column, size_t size) except NULL:
    """Where to write the next value of `size` bytes."""
    cdef unsigned char* start
    cdef int32_t end
    if column.values.size + size > 0x7FFFFFFF:
        raise_too_large()
    start = extend(&column.values, size)
    end = <int32_t>column.values.size
    memcpy(extend(&column.offsets, 4), &end, 4)
    note_valid(column)
    return start


cdef inline int variable_append(VariableColumn column, const unsigned char* at, size_t size) except -1:
    memcpy(variable_slot(column, size), at, size)
    return 0


cdef class ListColumn(Column):
    cdef Memory offsets
    cdef int32_t end
    cdef int begin(self) except -1
    cdef int append(self, Py_ssize_t count) except -1
    cdef object finish_list(self, object type_, object child)
