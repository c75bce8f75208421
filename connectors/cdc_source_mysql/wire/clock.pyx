# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Columns of dates and times: how rows events store them, in the forms before and since MySQL 5.6."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from cdc.native.columns cimport FixedColumn, VariableColumn
from cdc.native.cursor cimport Cursor, advance, load_u32
from cdc_source_mysql.wire.field cimport SizedField, little_u24, little_u32, little_u64
from cdc_source_mysql.wire.temporal cimport (
    Moment,
    append_date,
    append_date_text,
    append_epoch,
    append_moment,
    append_moment_text,
    append_time_text,
    check_moment,
    moment_of_epoch,
    unpack_moment,
)

from cdc.errors import DecodeError
from cdc_source_mysql.wire.calendar import FSP_MAX

cdef uint64_t DATETIME_SIGN = 0x8000000000
cdef int64_t TIME_SIGN = 0x800000
cdef int[4] FRACTION_LIMITS = [1, 100, 10000, 1000000]


cdef class TemporalField(SizedField):
    """`fraction_bytes` hold microseconds in units of 100^-fraction_bytes seconds."""

    cdef int fsp
    cdef int fraction_bytes
    cdef bint as_text

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        if not 0 <= plan.fsp <= FSP_MAX:
            raise DecodeError(f"{plan.fsp} digits of fraction where 0 to {FSP_MAX} are expected")
        self.fsp = plan.fsp
        self.fraction_bytes = (self.fsp + 1) // 2
        self.as_text = plan.as_text

    cdef int fraction(self, const unsigned char* at) except -1:
        """Microseconds."""
        cdef int number = 0
        cdef int i
        for i in range(self.fraction_bytes):
            number = (number << 8) | at[i]
        return self.scaled(number)

    cdef int scaled(self, int number) except -1:
        if number >= FRACTION_LIMITS[self.fraction_bytes]:
            raise DecodeError("a fraction of a second that is not less than 1")
        return number * (1000000 // FRACTION_LIMITS[self.fraction_bytes])

    cdef int put_moment(self, const Moment* moment) except -1:
        if self.as_text:
            return append_moment_text(<VariableColumn>self.column, moment, self.fsp)
        return append_moment(self, moment)

    cdef int put_epoch(self, uint32_t seconds, int microsecond) except -1:
        cdef Moment moment
        if self.as_text:
            moment_of_epoch(seconds, microsecond, &moment)
            return append_moment_text(<VariableColumn>self.column, &moment, self.fsp)
        return append_epoch(self, seconds, microsecond)


cdef object _column(plan, width):
    return VariableColumn() if plan.as_text else FixedColumn(width)


@cython.final
cdef class DateField(TemporalField):
    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 3
        self.column = _column(plan, 4)

    cdef int value(self, Cursor* cursor) except -1:
        cdef uint32_t packed = little_u24(advance(cursor, 3))
        cdef Moment moment
        moment.year = packed >> 9
        moment.month = packed >> 5 & 15
        moment.day = packed & 31
        moment.hour = moment.minute = moment.second = moment.microsecond = 0
        check_moment(&moment)
        if self.as_text:
            return append_date_text(<VariableColumn>self.column, &moment)
        return append_date(self, &moment)


@cython.final
cdef class DatetimeField(TemporalField):
    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 5 + self.fraction_bytes
        self.column = _column(plan, 8)

    cdef int value(self, Cursor* cursor) except -1:
        cdef const unsigned char* at = advance(cursor, self.size)
        cdef uint64_t packed = (<uint64_t>load_u32(at) << 8) | at[4]
        cdef Moment moment
        if packed < DATETIME_SIGN:
            raise DecodeError("a DATETIME before the year 0")
        unpack_moment(packed - DATETIME_SIGN, self.fraction(at + 5), &moment)
        return self.put_moment(&moment)


@cython.final
cdef class OldDatetimeField(TemporalField):
    """YYYYMMDDhhmmss as a decimal number."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 8
        self.column = _column(plan, 8)

    cdef int value(self, Cursor* cursor) except -1:
        cdef uint64_t number = little_u64(advance(cursor, 8))
        cdef uint64_t date = number // 1000000
        cdef int clock = <int>(number % 1000000)
        cdef Moment moment
        moment.year = <int>min(date // 10000, <uint64_t>10000)
        moment.month = <int>(date // 100 % 100)
        moment.day = <int>(date % 100)
        moment.hour = clock // 10000
        moment.minute = clock // 100 % 100
        moment.second = clock % 100
        moment.microsecond = 0
        check_moment(&moment)
        return self.put_moment(&moment)


@cython.final
cdef class TimestampField(TemporalField):
    """Seconds since 1970, unsigned: MariaDB goes to 2106."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 4 + self.fraction_bytes
        self.column = _column(plan, 8)

    cdef int value(self, Cursor* cursor) except -1:
        cdef const unsigned char* at = advance(cursor, self.size)
        return self.put_epoch(load_u32(at), self.fraction(at + 4))


@cython.final
cdef class OldTimestampField(TemporalField):
    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 4
        self.column = _column(plan, 8)

    cdef int value(self, Cursor* cursor) except -1:
        return self.put_epoch(little_u32(advance(cursor, 4)), 0)


@cython.final
cdef class TimeField(TemporalField):
    """A packed number with its sign bit inverted; the fraction counts down for negative times."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 3 + self.fraction_bytes
        self.column = VariableColumn()

    cdef int value(self, Cursor* cursor) except -1:
        cdef const unsigned char* at = advance(cursor, self.size)
        cdef int bits = 8 * self.fraction_bytes
        cdef int64_t packed = 0
        cdef int64_t whole
        cdef bint is_negative
        cdef int i
        for i in range(self.size):
            packed = (packed << 8) | at[i]
        packed -= TIME_SIGN << bits
        is_negative = packed < 0
        if is_negative:
            packed = -packed
        whole = packed >> bits
        return append_time_text(
            <VariableColumn>self.column,
            is_negative,
            <int>(whole >> 12),
            <int>(whole >> 6 & 63),
            <int>(whole & 63),
            self.scaled(<int>(packed & ((<int64_t>1 << bits) - 1))),
            self.fsp,
        )


@cython.final
cdef class OldTimeField(TemporalField):
    """hhmmss as a decimal number of 24 bits with sign."""

    def __init__(self, plan, refusals):
        super().__init__(plan, refusals)
        self.size = 3
        self.column = VariableColumn()

    cdef int value(self, Cursor* cursor) except -1:
        cdef int number = <int>little_u24(advance(cursor, 3))
        cdef bint is_negative = number >= 0x800000
        if is_negative:
            number = 0x1000000 - number
        return append_time_text(
            <VariableColumn>self.column,
            is_negative,
            number // 10000,
            number // 100 % 100,
            number % 100,
            0,
            self.fsp,
        )
