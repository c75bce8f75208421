"""Whole numbers of up to 256 bits as limbs of 32, the lowest first, as Arrow's decimals lie in memory."""

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    # Of a decimal256; a decimal128 has half of them.
    LIMBS = 8


cdef inline void multiply_add(uint32_t* limbs, int count, uint64_t factor, uint64_t carry) noexcept nogil:
    """The lowest `count` limbs times `factor`, plus `carry`."""
    cdef int i
    for i in range(count):
        carry += limbs[i] * factor
        limbs[i] = <uint32_t>carry
        carry >>= 32


cdef inline void negate(uint32_t* limbs) noexcept nogil:
    """All of them, in two's complement."""
    cdef uint64_t carry = 1
    cdef int i
    for i in range(LIMBS):
        carry += <uint32_t>~limbs[i]
        limbs[i] = <uint32_t>carry
        carry >>= 32
