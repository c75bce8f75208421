# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Text in its character set, bytes, and the labels of ENUM and SET."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from cdc.native.columns cimport VariableColumn, variable_append, variable_slot
from cdc.native.cursor cimport Cursor, advance, require_utf8
from cdc_source_mysql.wire.field cimport Field, PrefixedField, SizedField

import pyarrow as pa

from cdc.errors import DecodeError
from cdc_source_mysql.wire import codes
from cdc_source_mysql.schema.charsets import decode_text
from cdc_source_mysql.schema.charsets import convert_texts

# The high bit of eight bytes at once: none set means eight ASCII characters.
cdef uint64_t HIGH_BITS = 0x8080808080808080ULL
# UTF-8 of every byte of MySQL's latin1, and its length.
cdef unsigned char[256][3] LATIN1_BYTES
cdef unsigned char[256] LATIN1_SIZES
cdef enum:
    UTF8, ASCII, LATIN1_SET, PILED
    LABELS_MAX = 64
cdef dict SETS = {"utf8": UTF8, "ascii": ASCII, "latin1": LATIN1_SET}


cdef int _fill_latin1() except -1:
    cdef Py_ssize_t code
    for code in range(256):
        encoded = decode_text(bytes([code]), "latin1").encode()
        LATIN1_SIZES[code] = <unsigned char>len(encoded)
        memcpy(&LATIN1_BYTES[code][0], PyBytes_AS_STRING(encoded), len(encoded))
    return 0


_fill_latin1()


cdef bint _is_ascii(const unsigned char* at, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef uint64_t eight
    while size - i >= 8:
        memcpy(&eight, at + i, 8)
        if eight & HIGH_BITS:
            return False
        i += 8
    while i < size:
        if at[i] >= 0x80:
            return False
        i += 1
    return True


# All that is left of the value goes to the field's column; bytes that have no character are refused.


cdef int append_utf8(Field field, Cursor* value) except -1:
    cdef Py_ssize_t size = value.left
    cdef const unsigned char* at = advance(value, size)
    try:
        require_utf8(at, size)
    except DecodeError:
        return field.refuse(codes.UNDEFINED_BYTES)
    return variable_append(<VariableColumn>field.column, at, size)


cdef int append_ascii(Field field, Cursor* value) except -1:
    cdef Py_ssize_t size = value.left
    cdef const unsigned char* at = advance(value, size)
    if not _is_ascii(at, size):
        return field.refuse(codes.UNDEFINED_BYTES)
    return variable_append(<VariableColumn>field.column, at, size)


cdef int append_latin1(Field field, Cursor* value) except -1:
    cdef Py_ssize_t size = value.left
    cdef const unsigned char* at = advance(value, size)
    cdef VariableColumn column = <VariableColumn>field.column
    cdef unsigned char* slot
    cdef Py_ssize_t needed = 0
    cdef Py_ssize_t i
    if _is_ascii(at, size):
        return variable_append(column, at, size)
    for i in range(size):
        needed += LATIN1_SIZES[at[i]]
    slot = variable_slot(column, needed)
    for i in range(size):
        memcpy(slot, &LATIN1_BYTES[at[i]][0], LATIN1_SIZES[at[i]])
        slot += LATIN1_SIZES[at[i]]
    return 0


cdef int append_bytes(VariableColumn column, Cursor* value) except -1:
    cdef Py_ssize_t size = value.left
    return variable_append(column, advance(value, size), size)


cdef int append_padded(VariableColumn column, Cursor* value, Py_ssize_t size) except -1:
    cdef Py_ssize_t given = value.left
    cdef unsigned char* slot
    if given > size:
        raise DecodeError(f"{given} bytes where at most {size} are expected")
    slot = variable_slot(column, size)
    memcpy(slot, advance(value, given), given)
    memset(slot + given, 0, size - given)
    return 0


@cython.final
cdef class StringField(PrefixedField):
    """CHAR, VARCHAR and TEXT; character sets that aren't read here are converted by `finish`."""

    cdef int charset

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.charset = SETS.get(plan.charset, PILED)
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        if self.charset == UTF8:
            return append_utf8(self, value)
        if self.charset == ASCII:
            return append_ascii(self, value)
        if self.charset == LATIN1_SET:
            return append_latin1(self, value)
        return append_bytes(<VariableColumn>self.column, value)

    cpdef object finish(self):
        if self.charset != PILED:
            return self.column.finish(self.plan.arrow)
        stored = self.column.finish(pa.binary())
        return convert_texts(stored, self.plan.charset, self.plan.arrow, self.refusals)


@cython.final
cdef class BytesField(PrefixedField):
    """VARBINARY and BLOB."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        return append_bytes(<VariableColumn>self.column, value)


@cython.final
cdef class BinaryField(PrefixedField):
    """BINARY: rows events leave out the zeros at its end."""

    cdef Py_ssize_t size

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = plan.size
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        return append_padded(<VariableColumn>self.column, value, self.size)


cdef class LabelsField(SizedField):
    """`size` bytes, little-endian, that choose from the labels."""

    cdef list labels
    cdef Py_ssize_t count

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        if not 1 <= plan.size <= 8:
            raise DecodeError(f"labels chosen by {plan.size} bytes where 1 to 8 are expected")
        self.size = plan.size
        self.labels = [label.encode() for label in plan.labels]
        self.count = len(self.labels)
        self.column = VariableColumn()

    cdef uint64_t chosen(self, Cursor* cursor) except? 0xFFFFFFFFFFFFFFFF:
        cdef const unsigned char* at = advance(cursor, self.size)
        cdef uint64_t number = 0
        cdef Py_ssize_t i
        for i in range(self.size):
            number |= <uint64_t>at[i] << (8 * i)
        return number


@cython.final
cdef class EnumField(LabelsField):
    """The number of a label; 0 is the empty text of a refused value."""

    cdef int value(self, Cursor* cursor) except -1:
        cdef uint64_t number = self.chosen(cursor)
        cdef void* label
        if number == 0:
            variable_slot(<VariableColumn>self.column, 0)
            return 0
        if number > <uint64_t>self.count:
            raise DecodeError(f"label {number} of an ENUM of {self.count} labels")
        label = PyList_GET_ITEM(self.labels, <Py_ssize_t>number - 1)
        return variable_append(
            <VariableColumn>self.column,
            <const unsigned char*>PyBytes_AS_STRING(<object>label),
            PyBytes_GET_SIZE(<object>label),
        )


@cython.final
cdef class SetField(LabelsField):
    """A bit for every label; the text names the chosen ones, with commas between."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        if self.count > LABELS_MAX:
            raise DecodeError(f"a SET of {self.count} labels")

    cdef int value(self, Cursor* cursor) except -1:
        cdef uint64_t bits = self.chosen(cursor)
        cdef Py_ssize_t needed = 0
        cdef Py_ssize_t i
        cdef unsigned char* slot
        if self.count < LABELS_MAX and bits >> self.count:
            raise DecodeError(f"a label beyond the {self.count} of a SET")
        for i in range(self.count):
            if bits >> i & 1:
                needed += PyBytes_GET_SIZE(<object>PyList_GET_ITEM(self.labels, i)) + 1
        slot = variable_slot(<VariableColumn>self.column, needed - 1 if needed else 0)
        self.write(bits, slot)
        return 0

    cdef int write(self, uint64_t bits, unsigned char* slot) except -1:
        cdef bint is_first = True
        cdef Py_ssize_t i
        cdef Py_ssize_t size
        for i in range(self.count):
            if not bits >> i & 1:
                continue
            if not is_first:
                slot[0] = c","
                slot += 1
            is_first = False
            size = PyBytes_GET_SIZE(<object>PyList_GET_ITEM(self.labels, i))
            memcpy(slot, PyBytes_AS_STRING(<object>PyList_GET_ITEM(self.labels, i)), size)
            slot += size
        return 0
