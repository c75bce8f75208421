# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The fields of columns: numbers, years and bits; text in its character set, bytes, labels of ENUM and SET;
unique identifiers, network addresses, geometries and vectors. `make_field` chooses one for a column's plan.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM
from libc.stdint cimport int16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset

from cdc.native.columns cimport (
    BoolColumn,
    Column,
    FixedColumn,
    ListColumn,
    VariableColumn,
    extend,
    fixed_slot,
    variable_append,
    variable_slot,
)
from cdc.native.cursor cimport Cursor, advance, load_u16, load_u32, require_utf8
from cdc_source_mysql.wire.field cimport Field, PrefixedField, SizedField, little_u24, little_u32

import pyarrow as pa

from cdc.errors import DecodeError
from cdc_source_mysql.schema.charsets import convert_texts, decode_text
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.calendar import YEAR_BASE
from cdc_source_mysql.wire.decimal import DecimalField
from cdc_source_mysql.wire.json import JsonField
from cdc_source_mysql.wire.temporal import (
    DateField,
    DatetimeField,
    OldDatetimeField,
    OldTimeField,
    OldTimestampField,
    TimeField,
    TimestampField,
)

cdef int16_t BASE = YEAR_BASE
cdef dict WIDTHS = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "float64": 8}


@cython.final
cdef class NumberField(SizedField):
    """Numbers that are in Arrow as they are on the wire."""

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        self.size = plan.size
        self.column = FixedColumn(8)

    cdef int value(self, Cursor* cursor) except -1:
        cdef uint64_t bits
        read_bits(advance(cursor, self.size), self.size, &bits)
        memcpy(fixed_slot(<FixedColumn>self.column), &bits, 8)
        return 0


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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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
        return convert_texts(stored, self.plan.charset, self.plan.arrow, self.policy)


@cython.final
cdef class BytesField(PrefixedField):
    """VARBINARY and BLOB."""

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        return append_bytes(<VariableColumn>self.column, value)


@cython.final
cdef class BinaryField(PrefixedField):
    """BINARY: rows events leave out the zeros at its end."""

    cdef Py_ssize_t size

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        self.size = plan.size
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        return append_padded(<VariableColumn>self.column, value, self.size)


cdef class LabelsField(SizedField):
    """`size` bytes, little-endian, that choose from the labels."""

    cdef list labels
    cdef Py_ssize_t count

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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


cdef enum:
    INET4_BYTES = 4
    INET6_BYTES = 16
    INET6_WORDS = 8
    UUID_BYTES = 16
    # `ffff:` eight times is 40.
    INET_TEXT_BYTES = 64
    FLOAT_BYTES = 4
cdef Py_ssize_t SRID_BYTES = codes.SRID_BYTES
cdef Py_ssize_t WKB_HEAD_BYTES = codes.WKB_HEAD_BYTES
cdef uint32_t SRID_FLAG = codes.SRID_FLAG


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
    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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
    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        return append_geometry(<VariableColumn>self.column, value)


@cython.final
cdef class VectorField(PrefixedField):
    """float32s, little-endian as Arrow's."""

    cdef FixedColumn numbers

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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


cdef dict FIELDS = {
    **dict.fromkeys(("int8", "int16", "int32", "int64", "float32", "float64"), NumberField),
    "int24": MediumField,
    "decimal": DecimalField,
    "year": YearField,
    "bool": BoolField,
    "bit": BitField,
    "date": DateField,
    "datetime": DatetimeField,
    "datetime_old": OldDatetimeField,
    "timestamp": TimestampField,
    "timestamp_old": OldTimestampField,
    "time": TimeField,
    "time_old": OldTimeField,
    "enum": EnumField,
    "set": SetField,
    "string": StringField,
    "bytes": BytesField,
    "binary": BinaryField,
    "uuid": UuidField,
    "inet4": InetField,
    "inet6": InetField,
    "json": JsonField,
    "geometry": GeometryField,
    "vector": VectorField,
}


cpdef Field make_field(object plan, object policy):
    """The field that decodes a column's values by its plan."""
    return FIELDS[plan.kind](plan, policy)
