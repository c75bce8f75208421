# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Dates and times to Arrow's counts and to the server's text; the twin is `calendar.py`. And the fields of their
columns: how rows events store them, in the forms before and since MySQL 5.6.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cdc.native.columns cimport FixedColumn, VariableColumn, fixed_slot, variable_append
from cdc.native.cursor cimport Cursor, advance, load_u32
from cdc_source_mysql.wire.field cimport SizedField, little_u24, little_u32, little_u64

from cdc.errors import DecodeError
from cdc.native.calendar import MICROSECONDS_PER_SECOND as _MICROSECONDS_PER_SECOND
from cdc_source_mysql.wire import calendar as _calendar, codes
from cdc_source_mysql.wire.calendar import FSP_MAX

cdef int[13] MONTH_DAYS = _calendar.MONTH_DAYS
cdef int MAX_HOURS = _calendar.MAX_HOURS
cdef enum:
    MICROSECONDS_PER_SECOND = 1000000
    SECONDS_PER_DAY = 86400
    DAYS_PER_ERA = 146097
    # 0000-03-01, counted from 1970-01-01.
    ERA_START = -719468
assert _MICROSECONDS_PER_SECOND == MICROSECONDS_PER_SECOND


cdef int check_moment(const Moment* moment) except -1:
    if not (0 <= moment.year <= 9999 and 0 <= moment.month <= 12 and 0 <= moment.day <= 31):
        raise DecodeError("a date with a number that no calendar has")
    if not (
        0 <= moment.hour <= 23
        and 0 <= moment.minute <= 59
        and 0 <= moment.second <= 59
        and 0 <= moment.microsecond < MICROSECONDS_PER_SECOND
    ):
        raise DecodeError("a time of day outside 00:00 to 24:00")
    return 0


cdef int unpack_moment(uint64_t whole, int microsecond, Moment* moment) except -1:
    cdef uint64_t months = whole >> 22
    moment.year = <int>min(months // 13, <uint64_t>10000)
    moment.month = <int>(months % 13)
    moment.day = whole >> 17 & 31
    moment.hour = whole >> 12 & 31
    moment.minute = whole >> 6 & 63
    moment.second = whole & 63
    moment.microsecond = microsecond
    return check_moment(moment)


cdef int moment_of_epoch(int64_t seconds, int microsecond, Moment* moment) except -1:
    cdef int64_t days = seconds // SECONDS_PER_DAY
    cdef int rest = <int>(seconds - days * SECONDS_PER_DAY)
    cdef int month
    if seconds < 0:
        raise DecodeError("a TIMESTAMP before 1970")
    moment.year = moment.month = moment.day = moment.hour = moment.minute = moment.second = 0
    moment.microsecond = microsecond
    if seconds != 0 or microsecond != 0:
        _civil_from_days(days, moment)
        moment.hour = rest // 3600
        moment.minute = rest // 60 % 60
        moment.second = rest % 60
    return check_moment(moment)


cdef void _civil_from_days(int64_t days, Moment* moment) noexcept:
    """For days from 1970 on, which are after the era's start."""
    cdef int64_t era = (days - ERA_START) // DAYS_PER_ERA
    cdef int64_t day_of_era = days - ERA_START - era * DAYS_PER_ERA
    cdef int64_t year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    cdef int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef int64_t month_from_march = (5 * day_of_year + 2) // 153
    moment.day = <int>(day_of_year - (153 * month_from_march + 2) // 5 + 1)
    moment.month = <int>(month_from_march + 3 if month_from_march < 10 else month_from_march - 9)
    moment.year = <int>(year_of_era + era * 400 + (moment.month <= 2))


cdef int64_t _days(const Moment* moment) noexcept:
    """Days since 1970-01-01; the year is at least 1."""
    cdef int64_t shifted = moment.year - (moment.month <= 2)
    cdef int64_t era = shifted // 400
    cdef int64_t year_of_era = shifted - era * 400
    cdef int64_t day_of_year = (
        153 * (moment.month - 3 if moment.month > 2 else moment.month + 9) + 2
    ) // 5 + moment.day - 1
    return (
        era * DAYS_PER_ERA + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year + ERA_START
    )


cdef inline bint _is_leap(int year) noexcept:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


cdef object _fault(const Moment* moment):
    """Why Arrow can't hold the date; None when it can."""
    if moment.year == 0 and moment.month == 0 and moment.day == 0:
        return codes.ZERO_DATE
    if moment.month == 0 or moment.day == 0:
        return codes.PARTIAL_DATE
    if moment.year == 0:
        return codes.YEAR_ZERO
    if moment.day > MONTH_DAYS[moment.month] + (moment.month == 2 and _is_leap(moment.year)):
        return codes.INVALID_DATE
    return None


cdef int append_date(Field field, const Moment* moment) except -1:
    cdef int32_t days
    fault = _fault(moment)
    if fault is not None:
        return field.refuse(fault)
    days = <int32_t>_days(moment)
    memcpy(fixed_slot(<FixedColumn>field.column), &days, 4)
    return 0


cdef int append_moment(Field field, const Moment* moment) except -1:
    cdef int64_t count
    fault = _fault(moment)
    if fault is not None:
        return field.refuse(fault)
    count = (_days(moment) * 24 + moment.hour) * 3600 + moment.minute * 60 + moment.second
    count = count * MICROSECONDS_PER_SECOND + moment.microsecond
    memcpy(fixed_slot(<FixedColumn>field.column), &count, 8)
    return 0


cdef int append_epoch(Field field, int64_t seconds, int microsecond) except -1:
    cdef int64_t count = seconds * MICROSECONDS_PER_SECOND + microsecond
    if count == 0:
        return field.refuse(codes.ZERO_DATE)
    memcpy(fixed_slot(<FixedColumn>field.column), &count, 8)
    return 0


cdef int append_date_text(VariableColumn column, const Moment* moment) except -1:
    cdef unsigned char text[TEMPORAL_TEXT_BYTES]
    return variable_append(column, text, write_date(moment, text))


cdef int append_moment_text(VariableColumn column, const Moment* moment, int fsp) except -1:
    cdef unsigned char text[TEMPORAL_TEXT_BYTES]
    return variable_append(column, text, write_moment(moment, fsp, text))


cdef int append_time_text(
    VariableColumn column, bint is_negative, int hours, int minute, int second, int microsecond, int fsp
) except -1:
    cdef unsigned char text[TEMPORAL_TEXT_BYTES]
    return variable_append(
        column, text, write_time(is_negative, hours, minute, second, microsecond, fsp, text)
    )


cdef inline void _two(unsigned char* out, int number) noexcept:
    out[0] = <unsigned char>(48 + number // 10)
    out[1] = <unsigned char>(48 + number % 10)


cdef int _write_clock(int minute, int second, int microsecond, int fsp, unsigned char* out) noexcept:
    """`:MM:SS[.ffffff]`."""
    cdef int unit = MICROSECONDS_PER_SECOND
    cdef int i
    out[0] = out[3] = c":"
    _two(out + 1, minute)
    _two(out + 4, second)
    if fsp <= 0:
        return 6
    out[6] = c"."
    for i in range(min(fsp, 6)):
        unit //= 10
        out[7 + i] = <unsigned char>(48 + microsecond // unit % 10)
    return 7 + min(fsp, 6)


cdef int write_date(const Moment* moment, unsigned char* out) except -1:
    check_moment(moment)
    _two(out, moment.year // 100)
    _two(out + 2, moment.year % 100)
    out[4] = out[7] = c"-"
    _two(out + 5, moment.month)
    _two(out + 8, moment.day)
    return 10


cdef int write_moment(const Moment* moment, int fsp, unsigned char* out) except -1:
    write_date(moment, out)
    out[10] = c" "
    _two(out + 11, moment.hour)
    return 13 + _write_clock(moment.minute, moment.second, moment.microsecond, fsp, out + 13)


cdef int write_time(
    bint is_negative, int hours, int minute, int second, int microsecond, int fsp, unsigned char* out
) except -1:
    cdef int size = 0
    if not (
        0 <= hours <= MAX_HOURS
        and 0 <= minute <= 59
        and 0 <= second <= 59
        and 0 <= microsecond < MICROSECONDS_PER_SECOND
    ):
        raise DecodeError("a TIME outside -838:59:59 to 838:59:59")
    if is_negative:
        out[0] = c"-"
        size = 1
    if hours > 99:
        out[size] = <unsigned char>(48 + hours // 100)
        size += 1
    _two(out + size, hours % 100)
    size += 2
    return size + _write_clock(minute, second, microsecond, fsp, out + size)


cdef uint64_t DATETIME_SIGN = 0x8000000000
cdef int64_t TIME_SIGN = 0x800000
cdef int[4] FRACTION_LIMITS = [1, 100, 10000, 1000000]


cdef class TemporalField(SizedField):
    """`fraction_bytes` hold microseconds in units of 100^-fraction_bytes seconds."""

    cdef int fsp
    cdef int fraction_bytes
    cdef bint as_text

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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
    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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
    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        self.size = 4 + self.fraction_bytes
        self.column = _column(plan, 8)

    cdef int value(self, Cursor* cursor) except -1:
        cdef const unsigned char* at = advance(cursor, self.size)
        return self.put_epoch(load_u32(at), self.fraction(at + 4))


@cython.final
cdef class OldTimestampField(TemporalField):
    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        self.size = 4
        self.column = _column(plan, 8)

    cdef int value(self, Cursor* cursor) except -1:
        return self.put_epoch(little_u32(advance(cursor, 4)), 0)


@cython.final
cdef class TimeField(TemporalField):
    """A packed number with its sign bit inverted; the fraction counts down for negative times."""

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
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
