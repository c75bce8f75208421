# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Unique identifiers, network addresses, geometries and vectors."""

cimport cython
from libc.stdint cimport uint32_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset

from cdc.native.columns cimport (
    Column,
    FixedColumn,
    ListColumn,
    VariableColumn,
    extend,
    fixed_slot,
    variable_append,
    variable_slot,
)
from cdc.native.cursor cimport Cursor, advance, load_u16, load_u32
from cdc_source_mysql.wire.field cimport PrefixedField, little_u32

from cdc.errors import DecodeError
from cdc_source_mysql.wire import codes as _codes

cdef enum:
    INET4_BYTES = 4
    INET6_BYTES = 16
    INET6_WORDS = 8
    UUID_BYTES = 16
    # `ffff:` eight times is 40.
    INET_TEXT_BYTES = 64
    FLOAT_BYTES = 4
cdef Py_ssize_t SRID_BYTES = _codes.SRID_BYTES
cdef Py_ssize_t WKB_HEAD_BYTES = _codes.WKB_HEAD_BYTES
cdef uint32_t SRID_FLAG = _codes.SRID_FLAG


cdef int take_padded(Cursor* value, unsigned char* out, Py_ssize_t size) except -1:
    """A value of `size` bytes, of which rows events leave out the zeros at its end."""
    cdef Py_ssize_t given = value.left
    if given > size:
        raise DecodeError(f"{given} bytes where at most {size} are expected")
    memset(out, 0, size)
    memcpy(out, advance(value, given), given)
    return 0


@cython.final
cdef class UuidField(PrefixedField):
    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.column = FixedColumn(UUID_BYTES)

    cdef int put(self, Cursor* value) except -1:
        cdef unsigned char plain[UUID_BYTES]
        take_padded(value, plain, UUID_BYTES)
        memcpy(fixed_slot(<FixedColumn>self.column), plain, UUID_BYTES)
        return 0


cdef int write_inet4(const unsigned char* at, char* out) noexcept:
    return snprintf(out, 16, b"%d.%d.%d.%d", at[0], at[1], at[2], at[3])


cdef int write_inet6(const unsigned char* at, char* out) noexcept:
    """As MariaDB does: the first longest run of zeros is `::`, even if it is one; IPv4 within has dots."""
    cdef unsigned int words[INET6_WORDS]
    cdef int gap = -1
    cdef int gap_length = 0
    cdef int run = 0
    cdef int size = 0
    cdef int i
    for i in range(INET6_WORDS):
        words[i] = load_u16(at + 2 * i)
        run = 0 if words[i] else run + 1
        if run > gap_length:
            gap = i + 1 - run
            gap_length = run
    i = 0
    while i < INET6_WORDS:
        if i == gap:
            if i == 0:
                out[size] = c":"
                size += 1
            out[size] = c":"
            size += 1
            i += gap_length
            continue
        if i == 6 and gap == 0 and (gap_length == 6 or (gap_length == 5 and words[5] == 0xFFFF)):
            return size + write_inet4(at + 12, out + size)
        size += snprintf(out + size, 5, b"%x", words[i])
        if i + 1 != INET6_WORDS:
            out[size] = c":"
            size += 1
        i += 1
    return size


@cython.final
cdef class InetField(PrefixedField):
    """MariaDB's INET4 and INET6."""

    cdef bint is_inet6

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.is_inet6 = plan.kind == "inet6"
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        cdef unsigned char plain[INET6_BYTES]
        cdef char text[INET_TEXT_BYTES]
        cdef int size
        if self.is_inet6:
            take_padded(value, plain, INET6_BYTES)
            size = write_inet6(plain, text)
        else:
            take_padded(value, plain, INET4_BYTES)
            size = write_inet4(plain, text)
        return variable_append(<VariableColumn>self.column, <unsigned char*>text, size)


cdef int append_geometry(VariableColumn column, Cursor* value) except -1:
    cdef Py_ssize_t size = value.left
    cdef const unsigned char* at = advance(value, size)
    cdef uint32_t srid
    cdef uint32_t kind
    cdef unsigned char* slot
    if size == 0:
        # A NOT NULL column that was given no value.
        return variable_append(column, at, 0)
    if size < SRID_BYTES + WKB_HEAD_BYTES or at[SRID_BYTES] > 1:
        raise DecodeError("a geometry that is not an SRID followed by WKB")
    srid = little_u32(at)
    at += SRID_BYTES
    size -= SRID_BYTES
    if srid == 0:
        return variable_append(column, at, size)
    kind = (little_u32(at + 1) if at[0] else load_u32(at + 1)) | SRID_FLAG
    slot = variable_slot(column, size + SRID_BYTES)
    slot[0] = at[0]
    _store(slot + 1, kind, at[0])
    _store(slot + 5, srid, at[0])
    memcpy(slot + 9, at + WKB_HEAD_BYTES, size - WKB_HEAD_BYTES)
    return 0


cdef void _store(unsigned char* slot, uint32_t number, bint is_little) noexcept:
    cdef int i
    for i in range(4):
        slot[i] = <unsigned char>(number >> (8 * i if is_little else 24 - 8 * i))


@cython.final
cdef class GeometryField(PrefixedField):
    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        return append_geometry(<VariableColumn>self.column, value)


@cython.final
cdef class VectorField(PrefixedField):
    """float32s, little-endian as Arrow's."""

    cdef FixedColumn numbers

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.numbers = FixedColumn(FLOAT_BYTES)
        self.column = ListColumn()

    cdef int put(self, Cursor* value) except -1:
        cdef Py_ssize_t size = value.left
        cdef Py_ssize_t count = size // FLOAT_BYTES
        cdef const unsigned char* at = advance(value, size)
        if size % FLOAT_BYTES:
            raise DecodeError(f"a vector of {size} bytes, which is no whole number of floats")
        (<ListColumn>self.column).append(count)
        memcpy(extend(&self.numbers.values, size), at, size)
        self.numbers.length += count
        return 0

    cpdef object finish(self):
        numbers = (<Column>self.numbers).finish(self.plan.arrow.value_type)
        return (<ListColumn>self.column).finish_list(self.plan.arrow, numbers)
