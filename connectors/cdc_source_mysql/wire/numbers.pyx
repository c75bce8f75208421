# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Whole and floating-point numbers, years and bits."""

cimport cython
from libc.stdint cimport int16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cdc.native.columns cimport BoolColumn, FixedColumn, fixed_slot
from cdc.native.cursor cimport Cursor, advance
from cdc_source_mysql.wire.field cimport SizedField, little_u24

from cdc.errors import DecodeError
from cdc_source_mysql.wire.calendar import YEAR_BASE

cdef int16_t BASE = YEAR_BASE
cdef dict WIDTHS = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "float64": 8}


@cython.final
cdef class NumberField(SizedField):
    """Numbers that are in Arrow as they are on the wire."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = WIDTHS[plan.kind]
        self.column = FixedColumn(self.size)

    cdef int value(self, Cursor* cursor) except -1:
        cdef const unsigned char* at = advance(cursor, self.size)
        cdef unsigned char* slot = fixed_slot(<FixedColumn>self.column)
        # Sizes that the compiler knows: each is one instruction.
        if self.size == 4:
            memcpy(slot, at, 4)
        elif self.size == 8:
            memcpy(slot, at, 8)
        elif self.size == 1:
            slot[0] = at[0]
        else:
            memcpy(slot, at, 2)
        return 0


@cython.final
cdef class MediumField(SizedField):
    """MEDIUMINT: 24 bits, widened to 32."""

    cdef bint is_unsigned

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 3
        self.is_unsigned = plan.unsigned
        self.column = FixedColumn(4)

    cdef int value(self, Cursor* cursor) except -1:
        cdef uint32_t number = little_u24(advance(cursor, 3))
        if number & 0x800000 and not self.is_unsigned:
            number |= 0xFF000000
        memcpy(fixed_slot(<FixedColumn>self.column), &number, 4)
        return 0


@cython.final
cdef class YearField(SizedField):
    """YEAR: one byte, 0 for the year 0000."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 1
        self.column = FixedColumn(2)

    cdef int value(self, Cursor* cursor) except -1:
        cdef int16_t year = advance(cursor, 1)[0]
        if year:
            year += BASE
        memcpy(fixed_slot(<FixedColumn>self.column), &year, 2)
        return 0


cdef int read_bits(const unsigned char* at, Py_ssize_t size, uint64_t* bits) except -1:
    """A big-endian number of up to eight bytes."""
    cdef Py_ssize_t i
    if not 0 < size <= 8:
        raise DecodeError(f"a bit value of {size} bytes where 1 to 8 are expected")
    bits[0] = 0
    for i in range(size):
        bits[0] = (bits[0] << 8) | at[i]
    return 0


@cython.final
cdef class BoolField(SizedField):
    """BIT(1)."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 1
        self.column = BoolColumn()

    cdef int value(self, Cursor* cursor) except -1:
        cdef unsigned char bit = advance(cursor, 1)[0]
        if bit > 1:
            raise DecodeError("a bit that is neither 0 nor 1")
        return (<BoolColumn>self.column).append(bit)


@cython.final
cdef class BitField(SizedField):
    """BIT(n), most significant byte first."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = plan.size
        self.column = FixedColumn(8)

    cdef int value(self, Cursor* cursor) except -1:
        cdef uint64_t bits
        read_bits(advance(cursor, self.size), self.size, &bits)
        memcpy(fixed_slot(<FixedColumn>self.column), &bits, 8)
        return 0
