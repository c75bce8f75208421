# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The values of one row of a binary result set, and their form in rows events; the twin is
`result_row_python.py`.
"""

cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from cdc.native.cursor cimport Cursor, Reader, advance, finish
from cdc_source_mysql.wire.events_native cimport read_lenenc
from cdc_source_mysql.wire.field cimport Field

from cdc.errors import DecodeError
from cdc_source_mysql.wire.codes import FIXED_BYTES, TEMPORAL

cdef enum:
    AS_IT_IS
    INT24
    CUT
    WIDEN
    PREFIXED
    DECIMAL
    YEAR
    DATE
    DATETIME
    DATETIME_OLD
    TIMESTAMP
    TIMESTAMP_OLD
    TIME
    TIME_OLD

cdef dict KINDS = {
    "int8": AS_IT_IS, "int16": AS_IT_IS, "int32": AS_IT_IS, "int64": AS_IT_IS,
    "float32": AS_IT_IS, "float64": AS_IT_IS,
    "int24": INT24, "enum": CUT, "set": CUT, "bool": WIDEN, "bit": WIDEN, "decimal": DECIMAL,
    "year": YEAR, "date": DATE, "datetime": DATETIME, "datetime_old": DATETIME_OLD,
    "timestamp": TIMESTAMP, "timestamp_old": TIMESTAMP_OLD, "time": TIME, "time_old": TIME_OLD,
}
cdef int GROUP_DIGITS = 9
cdef int* GROUP_BYTES = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4]
cdef uint32_t* TENS = [1, 10, 100, 1000, 10000, 100000, 1000000]
# Days before each month of a year that begins in March.
cdef int64_t DAYS_TO_1970 = 719468
cdef int* MONTH_DAYS = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


cdef struct Moment:
    uint32_t year
    uint32_t month
    uint32_t day
    uint32_t hour
    uint32_t minute
    uint32_t second
    uint32_t micros


cdef int raise_malformed() except -1:
    raise DecodeError("a date or time that no calendar has")


cdef inline uint32_t little_u32(const uint8_t* at) noexcept nogil:
    return at[0] | (<uint32_t>at[1] << 8) | (<uint32_t>at[2] << 16) | (<uint32_t>at[3] << 24)


cdef inline void put_little(unsigned char* out, uint64_t value, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        out[i] = <unsigned char>(value >> (8 * i))


cdef inline void put_big(unsigned char* out, uint64_t value, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        out[i] = <unsigned char>(value >> (8 * (count - 1 - i)))


cdef int read_moment(Cursor* value, Moment* moment) except -1:
    """A date or datetime; all zero when nothing is sent."""
    cdef Py_ssize_t size = value.left
    cdef const uint8_t* at
    memset(moment, 0, sizeof(Moment))
    if size not in (0, 4, 7, 11):
        raise_malformed()
    at = advance(value, size)
    if size >= 4:
        moment.year = at[0] | (<uint32_t>at[1] << 8)
        moment.month = at[2]
        moment.day = at[3]
    if size >= 7:
        moment.hour = at[4]
        moment.minute = at[5]
        moment.second = at[6]
    if size == 11:
        moment.micros = little_u32(at + 7)
    if moment.year > 9999 or moment.month > 12 or moment.day > 31 or moment.hour > 23:
        raise_malformed()
    return check_clock(moment)


cdef int check_clock(Moment* moment) except -1:
    if moment.minute > 59 or moment.second > 59 or moment.micros > 999999:
        raise_malformed()
    return 0


cdef int read_clock(Cursor* value, Moment* moment, bint* negative) except -1:
    """A time; its days are added to the hours."""
    cdef Py_ssize_t size = value.left
    cdef const uint8_t* at
    cdef uint32_t days
    memset(moment, 0, sizeof(Moment))
    negative[0] = False
    if size not in (0, 8, 12):
        raise_malformed()
    at = advance(value, size)
    if size == 0:
        return 0
    days = little_u32(at + 1)
    if at[0] > 1 or at[5] > 23 or days > 34 or days * 24 + at[5] > 838:
        raise_malformed()
    negative[0] = at[0] == 1
    moment.hour = days * 24 + at[5]
    moment.minute = at[6]
    moment.second = at[7]
    if size == 12:
        moment.micros = little_u32(at + 8)
    return check_clock(moment)


cdef int64_t epoch_of(Moment* moment) except -1:
    """Seconds since 1970 of a datetime in UTC; 0 for the zero date."""
    cdef int64_t year = moment.year
    cdef int64_t month, days, seconds
    cdef bint leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if not (moment.year or moment.month or moment.day or moment.hour or moment.minute or moment.second):
        return 0
    if moment.year < 1 or moment.month < 1 or moment.day < 1:
        raise_malformed()
    if <int>moment.day > MONTH_DAYS[moment.month] + (1 if leap and moment.month == 2 else 0):
        raise_malformed()
    if moment.month <= 2:
        year -= 1
    month = (moment.month + 9) % 12
    days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + moment.day - 1
    seconds = (days - DAYS_TO_1970) * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second
    if not 0 <= seconds <= 0xFFFFFFFF:
        raise DecodeError("a timestamp outside of what the server stores")
    return seconds


@cython.final
cdef class Imager:
    """For the values of one column."""

    def __init__(self, plan):
        self.kind = KINDS.get(plan.kind, PREFIXED)
        self.fsp = plan.fsp
        self.size = plan.size
        if self.kind == WIDEN:
            self.size = max(plan.size, 1)
        elif self.kind == PREFIXED:
            self.size = plan.prefix_bytes
        self.scale = plan.scale
        self.whole = plan.precision - plan.scale

    def __dealloc__(self):
        free(self.scratch)

    cdef int image(self, Cursor* value, Cursor* image) except -1:
        cdef int kind = self.kind
        if kind == AS_IT_IS:
            image[0] = value[0]
        elif kind == INT24:
            image.left = 3
            image.at = advance(value, 3)
        elif kind == PREFIXED:
            self.prefixed(value, image)
        elif kind == DECIMAL:
            self.decimal(value, image)
        elif kind == CUT:
            self.cut(value, image)
        elif kind == WIDEN:
            self.widen(value, image)
        elif kind == TIME or kind == TIME_OLD:
            self.clock(value, image)
        else:
            self.moment(value, image)
        return 0

    cdef unsigned char* room(self, Cursor* image, Py_ssize_t size) except NULL:
        """Space for the image, which `image` then covers."""
        cdef void* grown
        if size > self.capacity or self.scratch == NULL:
            grown = realloc(self.scratch, size + 64)
            if grown == NULL:
                raise MemoryError
            self.scratch = <unsigned char*>grown
            self.capacity = size + 64
        image.at = self.scratch
        image.left = size
        return self.scratch

    cdef int prefixed(self, Cursor* value, Cursor* image) except -1:
        cdef Py_ssize_t size = value.left
        cdef unsigned char* out
        if size >= <Py_ssize_t>1 << (8 * self.size):
            raise DecodeError("a value that is longer than its column allows")
        out = self.room(image, self.size + size)
        put_little(out, size, <int>self.size)
        memcpy(out + self.size, advance(value, size), size)
        return 0

    cdef int cut(self, Cursor* value, Cursor* image) except -1:
        cdef Py_ssize_t i, size = value.left
        cdef const unsigned char* at = advance(value, size)
        cdef unsigned char* out = self.room(image, self.size)
        for i in range(self.size, size):
            if at[i]:
                raise DecodeError("a number of an enum or set that its column does not have")
        memset(out, 0, self.size)
        memcpy(out, at, min(size, self.size))
        return 0

    cdef int widen(self, Cursor* value, Cursor* image) except -1:
        cdef Py_ssize_t size = value.left
        cdef unsigned char* out
        if size > self.size:
            raise DecodeError(f"a bit value of {size} bytes in a column of {self.size}")
        out = self.room(image, self.size)
        memset(out, 0, self.size - size)
        memcpy(out + self.size - size, advance(value, size), size)
        return 0

    cdef int decimal(self, Cursor* value, Cursor* image) except -1:
        cdef bint negative = value.left > 0 and value.at[0] == c"-"
        cdef Py_ssize_t whole = 0, fraction = 0, i, size
        cdef const unsigned char* digits
        cdef const unsigned char* point
        cdef unsigned char* out
        if negative:
            advance(value, 1)
        while value.left and value.at[0] == c"0":
            advance(value, 1)
        digits = value.at
        while value.left and value.at[0] != c".":
            advance(value, 1)
            whole += 1
        point = value.at
        if value.left:
            fraction = value.left - 1
            advance(value, value.left)
            if self.scale == 0:
                raise_decimal()
            point += 1
        if whole > self.whole or fraction > self.scale:
            raise_decimal()
        size = packed_bytes(self.whole) + packed_bytes(self.scale)
        out = self.room(image, size)
        out = pack(out, digits, whole, self.whole, self.whole % GROUP_DIGITS, self.whole - whole)
        pack(out, point, fraction, self.scale, 0, 0)
        self.scratch[0] ^= 0x80
        if negative:
            for i in range(size):
                self.scratch[i] ^= 0xFF
        return 0

    cdef int moment(self, Cursor* value, Cursor* image) except -1:
        cdef Moment moment
        cdef unsigned char* out
        cdef uint64_t number
        if self.kind == YEAR:
            return year_image(value, image, self.room(image, 1))
        read_moment(value, &moment)
        if self.kind == DATE:
            if moment.hour or moment.minute or moment.second or moment.micros:
                raise_malformed()
            put_little(self.room(image, 3), (moment.year << 9) | (moment.month << 5) | moment.day, 3)
        elif self.kind == DATETIME:
            out = self.room(image, 5 + (self.fsp + 1) // 2)
            number = <uint64_t>(moment.year * 13 + moment.month) << 22 | moment.day << 17
            number |= moment.hour << 12 | moment.minute << 6 | moment.second
            put_big(out, number + 0x8000000000, 5)
            self.fraction(out + 5, moment.micros)
        elif self.kind == TIMESTAMP:
            out = self.room(image, 4 + (self.fsp + 1) // 2)
            put_big(out, epoch_of(&moment), 4)
            self.fraction(out + 4, moment.micros)
        elif self.kind == TIMESTAMP_OLD:
            put_little(self.room(image, 4), epoch_of(&moment), 4)
        else:
            number = moment.year * 10000 + moment.month * 100 + moment.day
            number = number * 1000000 + moment.hour * 10000 + moment.minute * 100 + moment.second
            put_little(self.room(image, 8), number, 8)
        return 0

    cdef int clock(self, Cursor* value, Cursor* image) except -1:
        cdef Moment moment
        cdef bint negative
        cdef int width = (self.fsp + 1) // 2
        cdef int64_t number
        read_clock(value, &moment, &negative)
        if self.kind == TIME_OLD:
            number = moment.hour * 10000 + moment.minute * 100 + moment.second
            put_little(self.room(image, 3), <uint64_t>(-number if negative else number), 3)
            return 0
        number = moment.hour << 12 | moment.minute << 6 | moment.second
        number = (number << (8 * width)) | (moment.micros // TENS[6 - 2 * width])
        number = (-number if negative else number) + (<int64_t>0x800000 << (8 * width))
        put_big(self.room(image, 3 + width), <uint64_t>number, 3 + width)
        return 0

    cdef int fraction(self, unsigned char* out, unsigned int micros) except -1:
        cdef int width = (self.fsp + 1) // 2
        put_big(out, micros // TENS[6 - 2 * width], width)
        return 0


cdef int year_image(Cursor* value, Cursor* image, unsigned char* out) except -1:
    cdef const unsigned char* at = advance(value, 2)
    cdef int year = at[0] | (<int>at[1] << 8)
    if year and not 1901 <= year <= 2155:
        raise DecodeError("a year outside of 1901 to 2155")
    out[0] = <unsigned char>(year - 1900 if year else 0)
    return 0


cdef int raise_decimal() except -1:
    raise DecodeError("a decimal that its column cannot hold")


cdef Py_ssize_t packed_bytes(Py_ssize_t digits) noexcept:
    return digits // GROUP_DIGITS * 4 + GROUP_BYTES[digits % GROUP_DIGITS]


cdef unsigned char* pack(
    unsigned char* out, const unsigned char* digits, Py_ssize_t given, Py_ssize_t wanted,
    Py_ssize_t first, Py_ssize_t zeros,
) except NULL:
    """`wanted` digits in groups, of which the first has `first` digits (0: nine): `zeros`, then those given,
    then zeros again.
    """
    cdef Py_ssize_t place = 0, left = first if first else min(<Py_ssize_t>GROUP_DIGITS, wanted)
    cdef uint32_t group
    cdef int size
    while place < wanted:
        size = GROUP_BYTES[left]
        group = 0
        while left:
            group *= 10
            if zeros <= place < zeros + given:
                if not c"0" <= digits[place - zeros] <= c"9":
                    raise_decimal()
                group += digits[place - zeros] - c"0"
            place += 1
            left -= 1
        put_big(out, group, size)
        out += size
        left = min(<Py_ssize_t>GROUP_DIGITS, wanted - place)
    return out


cdef enum:
    SHORT_LENGTH = -1
    LONG_LENGTH = -2


cdef class ResultRow:
    """`column` is the one that is being read, for errors; -1 for none."""

    def __init__(self, plans):
        self.imagers = [Imager(plan) for plan in plans]
        self.width = len(self.imagers)
        self.column = -1
        self.sizes = <int*>calloc(max(self.width, 1), sizeof(int))
        if self.sizes == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.sizes)

    cdef int define(self, Py_ssize_t column, int code) except -1:
        """The column's values are of this type; it is one of ours."""
        if not 0 <= column < self.width:
            raise DecodeError("more columns in a result set than were selected")
        self.sizes[column] = FIXED_BYTES.get(code, SHORT_LENGTH if code in TEMPORAL else LONG_LENGTH)
        return 0

    cdef int append(self, Reader reader, list fields) except -1:
        """Read a row, whole, and decode its values into their columns."""
        cdef Cursor* body = &reader.cursor
        cdef const unsigned char* nulls
        cdef Cursor value, image
        cdef uint64_t length
        cdef Py_ssize_t i
        if PyList_GET_SIZE(fields) != self.width:
            raise DecodeError("a row decoded into another table's columns")
        if advance(body, 1)[0] != 0:
            raise DecodeError("a packet that is no row of a result set")
        nulls = advance(body, (self.width + 9) // 8)
        for i in range(self.width):
            self.column = i
            if nulls[(i + 2) >> 3] >> ((i + 2) & 7) & 1:
                (<Field>PyList_GET_ITEM(fields, i)).null()
                continue
            value.left = self.sizes[i]
            if value.left == SHORT_LENGTH:
                value.left = advance(body, 1)[0]
            elif value.left == LONG_LENGTH:
                length = read_lenenc(reader)
                if length > 0x7FFFFFFFFFFFFFFF:
                    raise DecodeError("a length that no packet has")
                value.left = <Py_ssize_t>length
            value.at = advance(body, value.left)
            (<Imager>PyList_GET_ITEM(self.imagers, i)).image(&value, &image)
            (<Field>PyList_GET_ITEM(fields, i)).value(&image)
            finish(&image)
        self.column = -1
        return finish(body)
