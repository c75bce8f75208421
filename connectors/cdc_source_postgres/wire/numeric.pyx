# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""numeric's binary form to decimal128, decimal256 and text; the twins are `decimals.py` and `render/scalar.py`."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cdc.native.columns cimport VariableColumn, variable_append, variable_slot
from cdc.native.cursor cimport Cursor, advance, finish, load_u16, read_i16, read_u16
from cdc.native.limbs cimport LIMBS, multiply_add, negate

from cdc.errors import DecodeError

cdef uint16_t NEGATIVE = 0x4000
cdef uint16_t NOT_A_NUMBER = 0xC000
cdef uint16_t PLUS_INFINITY = 0xD000
cdef uint16_t MINUS_INFINITY = 0xF000
cdef uint16_t DSCALE_MAX = 0x3FFF
cdef uint64_t POWERS[5]
POWERS[:] = [1, 10, 100, 1000, 10000]


cdef int read_numeric(Cursor* value, Numeric* numeric) except -1:
    """The whole value; digits and sign are valid then."""
    cdef uint16_t count
    cdef int16_t weight
    cdef Py_ssize_t i
    read_u16(value, &count)
    read_i16(value, &weight)
    read_u16(value, &numeric.sign)
    read_u16(value, &numeric.dscale)
    if not _is_sign(numeric.sign) or numeric.dscale > DSCALE_MAX:
        raise DecodeError("a numeric with an unknown sign or scale")
    numeric.weight = weight
    numeric.count = count
    numeric.digits = advance(value, 2 * <Py_ssize_t>count)
    finish(value)
    for i in range(count):
        if load_u16(numeric.digits + 2 * i) >= 10000:
            raise DecodeError("a numeric with a digit over 9999")
    return 0


cdef bint _is_sign(uint16_t sign) noexcept:
    return (
        sign == 0
        or sign == NEGATIVE
        or sign == NOT_A_NUMBER
        or sign == PLUS_INFINITY
        or sign == MINUS_INFINITY
    )


cdef inline uint32_t _group(Numeric* numeric, Py_ssize_t power) noexcept:
    cdef Py_ssize_t index = numeric.weight - power
    if index < 0 or index >= numeric.count:
        return 0
    return load_u16(numeric.digits + 2 * index)


cdef int write_decimal(Numeric* numeric, int precision, int scale, unsigned char* slot, int width) except -1:
    """The number times 10^scale as a little-endian whole number of `width` bytes (16 or 32)."""
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t last = numeric.count
    cdef Py_ssize_t weight = numeric.weight
    cdef Py_ssize_t shift
    cdef uint32_t limbs[LIMBS]
    # Groups of zeros at both ends carry nothing.
    while first < last and load_u16(numeric.digits + 2 * first) == 0:
        first += 1
        weight -= 1
    while last > first and load_u16(numeric.digits + 2 * (last - 1)) == 0:
        last -= 1
    memset(slot, 0, width)
    if first == last:
        return 0
    # The power of ten of the last group, in units of the result.
    shift = 4 * (weight - (last - first) + 1) + scale
    if shift <= -4 or 4 * weight + _digits(load_u16(numeric.digits + 2 * first)) + scale > precision:
        _raise_misfit(precision, scale)
    memset(limbs, 0, sizeof(limbs))
    if _accumulate(numeric.digits + 2 * first, last - first, shift, limbs) < 0:
        _raise_misfit(precision, scale)
    if numeric.sign == NEGATIVE:
        negate(limbs)
    for first in range(width // 4):
        _store(slot + 4 * first, limbs[first])
    return 0


cdef int _raise_misfit(int precision, int scale) except -1:
    raise DecodeError(f"a numeric that does not fit ({precision},{scale}), the column's precision and scale")


cdef inline int _digits(uint32_t group) noexcept:
    return 4 if group >= 1000 else 3 if group >= 100 else 2 if group >= 10 else 1


cdef int _accumulate(const unsigned char* digits, Py_ssize_t count, Py_ssize_t shift, uint32_t* limbs) noexcept:
    """All groups times 10^shift; -1 when the last group has digits below the unit."""
    cdef uint64_t small = 0
    cdef uint64_t last = load_u16(digits + 2 * (count - 1))
    cdef uint64_t factor = 10000
    cdef uint64_t rest
    cdef Py_ssize_t i
    if shift < 0:
        factor = POWERS[4 + shift]
        rest = last % POWERS[-shift]
        if rest:
            return -1
        last = last // POWERS[-shift]
    # Four groups fill 16 digits; most numbers need no more.
    for i in range(min(count - 1, <Py_ssize_t>3)):
        small = small * 10000 + load_u16(digits + 2 * i)
    limbs[0] = <uint32_t>small
    limbs[1] = <uint32_t>(small >> 32)
    for i in range(3, count - 1):
        multiply_add(limbs, LIMBS, 10000, load_u16(digits + 2 * i))
    multiply_add(limbs, LIMBS, factor, last)
    while shift >= 4:
        multiply_add(limbs, LIMBS, 10000, 0)
        shift -= 4
    if shift > 0:
        multiply_add(limbs, LIMBS, POWERS[shift], 0)
    return 0


cdef inline void _store(unsigned char* slot, uint32_t limb) noexcept:
    # Arrow's decimals are in the machine's own byte order, which the build requires to be little-endian.
    memcpy(slot, &limb, 4)


cdef int append_numeric_text(VariableColumn column, Numeric* numeric) except -1:
    """As numeric_out writes it."""
    if numeric.sign == NOT_A_NUMBER:
        return variable_append(column, b"NaN", 3)
    if numeric.sign == PLUS_INFINITY:
        return variable_append(column, b"Infinity", 8)
    if numeric.sign == MINUS_INFINITY:
        return variable_append(column, b"-Infinity", 9)
    return _append_digits(column, numeric)


cdef int _append_digits(VariableColumn column, Numeric* numeric) except -1:
    cdef int minus = numeric.sign == NEGATIVE
    cdef int head = _digits(_group(numeric, numeric.weight)) if numeric.weight >= 0 else 1
    cdef Py_ssize_t groups = numeric.weight if numeric.weight > 0 else 0
    cdef Py_ssize_t fraction = numeric.dscale
    cdef Py_ssize_t size = minus + head + 4 * groups + (1 + fraction if fraction else 0)
    cdef unsigned char* slot = variable_slot(column, size)
    cdef Py_ssize_t power
    cdef Py_ssize_t count
    if minus:
        slot[0] = c"-"
        slot += 1
    _write_group(slot, _group(numeric, numeric.weight) if numeric.weight >= 0 else 0, 4 - head, 4)
    slot += head
    for power in range(numeric.weight - 1, -1, -1):
        _write_group(slot, _group(numeric, power), 0, 4)
        slot += 4
    if fraction:
        slot[0] = c"."
        slot += 1
    power = -1
    while fraction > 0:
        count = min(fraction, <Py_ssize_t>4)
        _write_group(slot, _group(numeric, power), 0, <int>count)
        slot += count
        fraction -= count
        power -= 1
    return 0


cdef inline void _write_group(unsigned char* slot, uint32_t group, int start, int end) noexcept:
    """The digits `start` ≤ i < `end` of the four of a group."""
    cdef int i
    for i in range(start, end):
        slot[i - start] = <unsigned char>(48 + (group // <uint32_t>POWERS[3 - i]) % 10)
