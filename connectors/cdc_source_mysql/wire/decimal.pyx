# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""DECIMAL in its stored form, to Arrow's decimals and to text; the twin is `decimals.py`."""

cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from cdc.native.columns cimport FixedColumn, fixed_slot
from cdc.native.cursor cimport Cursor, advance
from cdc.native.limbs cimport LIMBS, multiply_add, negate
from cdc_source_mysql.wire.field cimport SizedField

from cdc.errors import DecodeError
from cdc_source_mysql.wire import decimals as _decimals

cdef enum:
    GROUP_DIGITS = 9
    # Digits that surely fit 64 bits.
    SMALL_DIGITS = 18
assert _decimals.DIGITS_PER_GROUP == GROUP_DIGITS
cdef int[10] LEFTOVER_BYTES = _decimals.LEFTOVER_BYTES
cdef uint32_t[10] POWERS = [10**i for i in range(10)]
cdef int MAX_PRECISION = _decimals.MAX_PRECISION
cdef int MAX_SCALE = _decimals.MAX_SCALE


cdef int plan_layout(int precision, int scale, Layout* layout) except -1:
    cdef int index
    if not 0 < precision <= MAX_PRECISION or not 0 <= scale <= min(precision, MAX_SCALE):
        raise DecodeError(f"a decimal of precision {precision} and scale {scale}")
    layout.precision = precision
    layout.scale = scale
    layout.count = layout.width = 0
    _add_group(layout, (precision - scale) % GROUP_DIGITS)
    for index in range((precision - scale) // GROUP_DIGITS + scale // GROUP_DIGITS):
        _add_group(layout, GROUP_DIGITS)
    _add_group(layout, scale % GROUP_DIGITS)
    return 0


cdef void _add_group(Layout* layout, int digits) noexcept:
    if digits:
        layout.digits[layout.count] = digits
        layout.sizes[layout.count] = LEFTOVER_BYTES[digits]
        layout.width += LEFTOVER_BYTES[digits]
        layout.count += 1


cdef int read_digits(const Layout* layout, const unsigned char* at, Digits* digits) except -1:
    """The groups of the `layout.width` bytes at `at`."""
    cdef unsigned char inverted
    cdef unsigned char first = at[0] ^ 0x80
    cdef uint32_t group
    cdef int i
    cdef int j
    digits.is_negative = at[0] < 0x80
    inverted = 0xFF if digits.is_negative else 0
    for i in range(layout.count):
        group = 0
        for j in range(layout.sizes[i]):
            group = (group << 8) | ((first if i == 0 and j == 0 else at[j]) ^ inverted)
        if group >= POWERS[layout.digits[i]]:
            raise DecodeError(
                f"a decimal with more than {layout.digits[i]} digits in a group of {layout.digits[i]}"
            )
        digits.groups[i] = group
        at += layout.sizes[i]
    return 0


cdef int write_decimal(const Layout* layout, const Digits* digits, unsigned char* slot, int width) except -1:
    cdef uint32_t limbs[LIMBS]
    cdef uint64_t small = 0
    cdef int i
    memset(limbs, 0, sizeof(limbs))
    if layout.precision <= SMALL_DIGITS:
        for i in range(layout.count):
            small = small * POWERS[layout.digits[i]] + digits.groups[i]
        memcpy(limbs, &small, 8)
    else:
        for i in range(layout.count):
            multiply_add(limbs, width // 4, POWERS[layout.digits[i]], digits.groups[i])
    if digits.is_negative:
        negate(limbs)
    # Arrow's decimals are in the machine's own byte order, which the build requires to be little-endian.
    memcpy(slot, limbs, width)
    return 0


cdef Py_ssize_t decimal_text(const Layout* layout, const Digits* digits, unsigned char* out) noexcept:
    cdef unsigned char plain[GROUPS * GROUP_DIGITS]
    cdef unsigned char* start = out
    cdef int whole = layout.precision - layout.scale
    cdef int count = 0
    cdef int first = 0
    cdef bint is_zero = True
    cdef int i
    cdef int j
    for i in range(layout.count):
        is_zero = is_zero and digits.groups[i] == 0
        for j in range(layout.digits[i] - 1, -1, -1):
            plain[count] = <unsigned char>(48 + digits.groups[i] // POWERS[j] % 10)
            count += 1
    if digits.is_negative and not is_zero:
        out[0] = c"-"
        out += 1
    while first < whole and plain[first] == c"0":
        first += 1
    if first == whole:
        out[0] = c"0"
        out += 1
    memcpy(out, plain + first, whole - first)
    out += whole - first
    if layout.scale:
        out[0] = c"."
        memcpy(out + 1, plain + whole, layout.scale)
        out += 1 + layout.scale
    return out - start


@cython.final
cdef class DecimalField(SizedField):
    """DECIMAL to decimal128 or decimal256."""

    cdef Layout layout

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        plan_layout(plan.precision, plan.scale, &self.layout)
        self.size = self.layout.width
        self.column = FixedColumn(plan.arrow.byte_width)

    cdef int value(self, Cursor* cursor) except -1:
        cdef Digits digits
        cdef FixedColumn column = <FixedColumn>self.column
        read_digits(&self.layout, advance(cursor, self.size), &digits)
        return write_decimal(&self.layout, &digits, fixed_slot(column), <int>column.width)
