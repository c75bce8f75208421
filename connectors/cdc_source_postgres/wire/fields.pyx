# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""One column's values decoded into Arrow memory; the twin is `fields_python.py`.

A field is given a cursor clamped to the value, and consumes it whole or raises DecodeError.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cdc.native.columns cimport (
    BoolColumn,
    FixedColumn,
    ListColumn,
    VariableColumn,
    fixed_slot,
    variable_append,
)
from cdc.native.cursor cimport (
    advance,
    finish,
    load_u16,
    load_u32,
    load_u64,
    read_i32,
    read_i64,
    read_u8,
    read_u32,
    require_utf8,
)
from cdc_source_postgres.wire.numeric cimport Numeric, append_numeric_text, read_numeric, write_decimal

from cdc.errors import DecodeError
from cdc_source_postgres.wire import calendar as _calendar
from cdc_source_postgres.wire import codes
from cdc_source_postgres.wire.parse.text import unreadable
from cdc.native.calendar import MICROSECONDS_PER_DAY as _MICROSECONDS_PER_DAY
from cdc.native.unrepresentable import RowError
from cdc_source_postgres.wire.pending_values import PendingValues
from cdc_source_postgres.wire.render.nested import MAX_DIMENSIONS

cdef int64_t EPOCH_DAYS = _calendar.EPOCH_DAYS
cdef int64_t EPOCH_MICROSECONDS = _calendar.EPOCH_MICROSECONDS
cdef int64_t FIRST_DAY = _calendar.FIRST_DAY
cdef int64_t FIRST_MICROSECOND = _calendar.FIRST_MICROSECOND
cdef int64_t MICROSECONDS_PER_DAY = _MICROSECONDS_PER_DAY
cdef int64_t INT64_LARGEST = 0x7FFFFFFFFFFFFFFF
cdef int64_t INT64_SMALLEST = -INT64_LARGEST - 1
cdef int32_t INT32_LARGEST = 0x7FFFFFFF
cdef int32_t INT32_SMALLEST = -INT32_LARGEST - 1
cdef uint16_t NUMERIC_NAN = 0xC000
cdef uint16_t NUMERIC_INFINITY = 0xD000
cdef enum:
    DIMENSIONS = 6
assert MAX_DIMENSIONS == DIMENSIONS


cdef class Field:
    """The values of one column, or of the elements of a list, in the order they come."""

    def __init__(self, codec, policy):
        self.codec = codec
        self.policy = policy

    cdef int null(self) except -1:
        return self.column.null()

    cdef int binary(self, Cursor* value) except -1:
        raise NotImplementedError

    cdef int text(self, Cursor* value) except -1:
        return self.put_aside(value)

    cdef int put_aside(self, Cursor* value) except -1:
        """Keep the value for `finish`, and its row with a null."""
        if self.pending is None:
            self.pending = PendingValues(self.codec, self.policy)
        data = PyBytes_FromStringAndSize(<const char*>value.at, value.left)
        advance(value, value.left)
        self.pending.add(self.column.length, data)
        return self.null()

    cdef int refuse(self, what) except -1:
        self.policy.refuse(what)
        return self.null()

    cpdef object finish(self):
        """Return everything so far as an array, and start an empty one."""
        array = self.column.finish(self.codec.arrow)
        return array if self.pending is None else self.pending.merge(array)


cdef int require_size(Cursor* value, Py_ssize_t size) except -1:
    if value.left != size:
        raise DecodeError(f"{size} bytes expected, {value.left} came")
    return 0


@cython.final
cdef class BoolField(Field):
    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = BoolColumn()

    cdef int binary(self, Cursor* value) except -1:
        cdef uint8_t flag
        require_size(value, 1)
        read_u8(value, &flag)
        if flag > 1:
            raise DecodeError("a boolean that is neither 0 nor 1")
        return (<BoolColumn>self.column).append(flag)


@cython.final
cdef class SwappedField(Field):
    """Numbers that differ from Arrow's form by nothing but the order of their bytes."""

    cdef Py_ssize_t width

    def __init__(self, codec, policy, Py_ssize_t width):
        super().__init__(codec, policy)
        self.width = width
        self.column = FixedColumn(width)

    cdef int binary(self, Cursor* value) except -1:
        cdef unsigned char* slot
        cdef const unsigned char* at
        require_size(value, self.width)
        slot = fixed_slot(<FixedColumn>self.column)
        at = advance(value, self.width)
        if self.width == 4:
            (<uint32_t*>slot)[0] = load_u32(at)
        elif self.width == 8:
            (<uint64_t*>slot)[0] = load_u64(at)
        else:
            (<uint16_t*>slot)[0] = load_u16(at)
        return 0


@cython.final
cdef class DateField(Field):
    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = FixedColumn(4)

    cdef int binary(self, Cursor* value) except -1:
        cdef int32_t days
        require_size(value, 4)
        read_i32(value, &days)
        if days == INT32_LARGEST or days == INT32_SMALLEST:
            return self.refuse(codes.INFINITY)
        if days + EPOCH_DAYS < FIRST_DAY:
            return self.refuse(codes.BEFORE_YEAR_1)
        if days > INT32_LARGEST - EPOCH_DAYS:
            raise DecodeError("a date beyond the calendar's end")
        (<int32_t*>fixed_slot(<FixedColumn>self.column))[0] = <int32_t>(days + EPOCH_DAYS)
        return 0


@cython.final
cdef class TimeField(Field):
    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = FixedColumn(8)

    cdef int binary(self, Cursor* value) except -1:
        cdef int64_t clock
        require_size(value, 8)
        read_i64(value, &clock)
        if clock == MICROSECONDS_PER_DAY:
            return self.refuse(codes.MIDNIGHT_24)
        if not 0 <= clock < MICROSECONDS_PER_DAY:
            raise DecodeError("a time of day outside 00:00 to 24:00")
        (<int64_t*>fixed_slot(<FixedColumn>self.column))[0] = clock
        return 0


@cython.final
cdef class TimestampField(Field):
    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = FixedColumn(8)

    cdef int binary(self, Cursor* value) except -1:
        cdef int64_t moment
        require_size(value, 8)
        read_i64(value, &moment)
        if moment == INT64_LARGEST or moment == INT64_SMALLEST:
            return self.refuse(codes.INFINITY)
        if moment < FIRST_MICROSECOND - EPOCH_MICROSECONDS:
            return self.refuse(codes.BEFORE_YEAR_1)
        if moment > INT64_LARGEST - EPOCH_MICROSECONDS:
            return self.refuse(codes.BEYOND_RANGE)
        (<int64_t*>fixed_slot(<FixedColumn>self.column))[0] = moment + EPOCH_MICROSECONDS
        return 0


@cython.final
cdef class MoneyField(Field):
    """64 bits of a currency's smallest unit, widened to the 128 of a decimal."""

    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = FixedColumn(16)

    cdef int binary(self, Cursor* value) except -1:
        cdef int64_t units[2]
        require_size(value, 8)
        read_i64(value, &units[0])
        units[1] = -1 if units[0] < 0 else 0
        memcpy(fixed_slot(<FixedColumn>self.column), units, 16)
        return 0


@cython.final
cdef class DecimalField(Field):
    cdef int precision
    cdef int scale

    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.precision = codec.precision
        self.scale = codec.scale
        self.column = FixedColumn(codec.arrow.byte_width)

    cdef int binary(self, Cursor* value) except -1:
        cdef Numeric numeric
        cdef FixedColumn column = <FixedColumn>self.column
        cdef unsigned char decimal[32]
        read_numeric(value, &numeric)
        if numeric.sign >= NUMERIC_NAN:
            return self.refuse(codes.NOT_A_NUMBER if numeric.sign == NUMERIC_NAN else codes.INFINITY)
        write_decimal(&numeric, self.precision, self.scale, decimal, <int>column.width)
        memcpy(fixed_slot(column), decimal, column.width)
        return 0


@cython.final
cdef class NumericTextField(Field):
    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = VariableColumn()

    cdef int binary(self, Cursor* value) except -1:
        cdef Numeric numeric
        read_numeric(value, &numeric)
        return append_numeric_text(<VariableColumn>self.column, &numeric)

    cdef int text(self, Cursor* value) except -1:
        return append_text(<VariableColumn>self.column, value)


cdef int append_text(VariableColumn column, Cursor* value) except -1:
    """The rest of the value, which must be UTF-8."""
    cdef Py_ssize_t size = value.left
    cdef const unsigned char* at = advance(value, size)
    require_utf8(at, size)
    return variable_append(column, at, size)


@cython.final
cdef class TextField(Field):
    """Values that are UTF-8 on the wire and in Arrow; jsonb has a version byte before them."""

    cdef bint has_version

    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.has_version = codec.kind == "jsonb"
        self.column = VariableColumn()

    cdef int binary(self, Cursor* value) except -1:
        cdef uint8_t version
        if self.has_version:
            read_u8(value, &version)
            if version != 1:
                raise DecodeError("a value whose format version is not 1")
        return append_text(<VariableColumn>self.column, value)

    cdef int text(self, Cursor* value) except -1:
        return append_text(<VariableColumn>self.column, value)


@cython.final
cdef class CharField(Field):
    """The one-byte type "char": empty for zero, octal for what is not ASCII."""

    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = VariableColumn()

    cdef int binary(self, Cursor* value) except -1:
        cdef uint8_t byte
        cdef unsigned char octal[4]
        require_size(value, 1)
        read_u8(value, &byte)
        octal[:] = [c"\\", 48 + (byte >> 6), 48 + ((byte >> 3) & 7), 48 + (byte & 7)]
        if byte >= 0x80:
            return variable_append(<VariableColumn>self.column, octal, 4)
        return variable_append(<VariableColumn>self.column, &byte, 1 if byte else 0)

    cdef int text(self, Cursor* value) except -1:
        return append_text(<VariableColumn>self.column, value)


@cython.final
cdef class BytesField(Field):
    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = VariableColumn()

    cdef int binary(self, Cursor* value) except -1:
        cdef Py_ssize_t size = value.left
        return variable_append(<VariableColumn>self.column, advance(value, size), size)


@cython.final
cdef class UuidField(Field):
    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = FixedColumn(16)

    cdef int binary(self, Cursor* value) except -1:
        require_size(value, 16)
        memcpy(fixed_slot(<FixedColumn>self.column), advance(value, 16), 16)
        return 0


@cython.final
cdef class RenderField(Field):
    """Types that become the server's text, converted all together at the end."""

    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.column = VariableColumn()

    cdef int binary(self, Cursor* value) except -1:
        if self.codec.render is None:
            unreadable()
        return self.put_aside(value)

    cdef int text(self, Cursor* value) except -1:
        return append_text(<VariableColumn>self.column, value)


cdef struct Shape:
    # What an array's head says; `items` is no more than the bytes after it can hold.
    int32_t ndims
    int32_t lengths[DIMENSIONS]
    bint has_bounds
    uint32_t element_oid
    Py_ssize_t items


cdef int read_shape(Cursor* value, Shape* shape) except -1:
    cdef int32_t flags
    cdef int32_t lower
    cdef int i
    read_i32(value, &shape.ndims)
    read_i32(value, &flags)
    read_u32(value, &shape.element_oid)
    if not 0 <= shape.ndims <= DIMENSIONS or not 0 <= flags <= 1:
        raise DecodeError(f"an array of {shape.ndims} dimensions with flags {flags}")
    shape.items = 1
    shape.has_bounds = False
    for i in range(shape.ndims):
        read_i32(value, &shape.lengths[i])
        read_i32(value, &lower)
        shape.has_bounds = shape.has_bounds or lower != 1
        # Every element has at least its length word, so a longer shape can't be true.
        if shape.lengths[i] <= 0 or shape.lengths[i] > value.left // 4 // shape.items:
            raise DecodeError("an array whose dimensions do not fit its bytes")
        shape.items *= shape.lengths[i]
    return 0


cdef int append_elements(Field field, Cursor* value, Py_ssize_t items) except -1:
    cdef Cursor element
    cdef int32_t size
    cdef Py_ssize_t i
    for i in range(items):
        read_i32(value, &size)
        if size == -1:
            field.null()
            continue
        element.at = advance(value, size)
        element.left = size
        field.binary(&element)
    return finish(value)


@cython.final
cdef class ListField(Field):
    """Arrays of the declared number of dimensions: one list column a dimension, the outermost first."""

    cdef list levels
    cdef Field element
    cdef uint32_t element_oid
    cdef int dims

    def __init__(self, codec, policy):
        super().__init__(codec, policy)
        self.element = make_field(codec.element, policy)
        self.element_oid = codec.element_oid
        self.dims = codec.dims
        self.levels = [ListColumn() for _ in range(self.dims)]
        self.column = self.levels[0]

    cdef int binary(self, Cursor* value) except -1:
        cdef Shape shape
        read_shape(value, &shape)
        if shape.element_oid != self.element_oid:
            found = f"type oid {shape.element_oid} where {self.element_oid} is declared"
            raise DecodeError(f"an array of elements of {found}")
        if shape.ndims == 0:
            finish(value)
            return (<ListColumn>self.column).append(0)
        if shape.ndims != self.dims:
            return self.refuse(codes.ARRAY_DIMENSIONS)
        if shape.has_bounds:
            return self.refuse(codes.ARRAY_BOUNDS)
        self.append_levels(&shape)
        return append_elements(self.element, value, shape.items)

    cdef int append_levels(self, Shape* shape) except -1:
        cdef Py_ssize_t count = 1
        cdef Py_ssize_t i
        cdef int level
        for level in range(self.dims):
            for i in range(count):
                (<ListColumn>self.levels[level]).append(shape.lengths[level])
            count *= shape.lengths[level]
        return 0

    cpdef object finish(self):
        try:
            array = self.element.finish()
        except RowError as error:
            # The row is that of an element, not of the column.
            raise error.cause from None
        type_ = self.codec.arrow
        types = []
        for _ in range(self.dims):
            types.append(type_)
            type_ = type_.value_type
        for level, type_ in zip(reversed(self.levels), reversed(types)):
            array = (<ListColumn>level).finish_list(type_, array)
        return array if self.pending is None else self.pending.merge(array)


cdef dict WIDTHS = {
    "int2": 2, "int4": 4, "int8": 8, "uint4": 4, "uint8": 8, "float4": 4, "float8": 8,
}
cdef dict FIELDS = {
    "bool": BoolField,
    "date": DateField,
    "time": TimeField,
    "timestamp": TimestampField,
    "money": MoneyField,
    "numeric": DecimalField,
    "numtext": NumericTextField,
    "text": TextField,
    "jsonb": TextField,
    "char": CharField,
    "bytes": BytesField,
    "uuid": UuidField,
    "render": RenderField,
    "list": ListField,
}


cpdef Field make_field(object codec, object policy):
    """The field for a codec."""
    width = WIDTHS.get(codec.kind)
    if width is not None:
        return SwappedField(codec, policy, width)
    return FIELDS[codec.kind](codec, policy)
