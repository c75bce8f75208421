"""numeric's binary form, parsed once, written as decimal or text."""

from libc.stdint cimport int16_t, uint16_t

from cdc.native.columns cimport VariableColumn
from cdc.native.cursor cimport Cursor


cdef struct Numeric:
    # `digits` are big-endian groups to the base 10,000; `weight` is the power of the first.
    const unsigned char* digits
    Py_ssize_t count
    Py_ssize_t weight
    uint16_t sign
    uint16_t dscale


cdef int read_numeric(Cursor* value, Numeric* numeric) except -1
cdef int write_decimal(Numeric* numeric, int precision, int scale, unsigned char* slot, int width) except -1
cdef int append_numeric_text(VariableColumn column, Numeric* numeric) except -1
