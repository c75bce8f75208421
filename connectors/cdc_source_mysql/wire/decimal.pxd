"""DECIMAL in its stored form, to Arrow's decimals and to text."""

from libc.stdint cimport uint32_t

cdef enum:
    # 81 digits in groups of nine, with a leftover at either end.
    GROUPS = 10


cdef struct Layout:
    # How a DECIMAL of one precision and scale is stored: `count` groups in `width` bytes.
    int precision
    int scale
    int count
    int width
    int digits[GROUPS]
    int sizes[GROUPS]


cdef struct Digits:
    # A number's groups, each less than ten to the power of its digits.
    bint is_negative
    uint32_t groups[GROUPS]


cdef int plan_layout(int precision, int scale, Layout* layout) except -1
cdef int read_digits(const Layout* layout, const unsigned char* at, Digits* digits) except -1
# The number times 10^scale as a little-endian whole number of `width` bytes (16 or 32).
cdef int write_decimal(const Layout* layout, const Digits* digits, unsigned char* slot, int width) except -1
# As the server writes it; `out` has room for DECIMAL_TEXT_BYTES; gives the length.
cdef Py_ssize_t decimal_text(const Layout* layout, const Digits* digits, unsigned char* out) noexcept

cdef enum:
    # 81 digits, a sign, a point and a leading zero.
    DECIMAL_TEXT_BYTES = 84
