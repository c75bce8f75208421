"""Dates and times to Arrow's counts and to the server's text; refusals go by the field's policy."""

from libc.stdint cimport int64_t, uint64_t

from cdc.native.columns cimport VariableColumn
from cdc_source_mysql.wire.field cimport Field


cdef struct Moment:
    # Month and day may be 0; the other numbers are as a clock shows them.
    int year
    int month
    int day
    int hour
    int minute
    int second
    int microsecond


cdef enum:
    # A sign, three digits of hours, and six of microseconds; `YYYY-MM-DD HH:MM:SS.ffffff` is longer.
    TEMPORAL_TEXT_BYTES = 32

# Raises DecodeError for numbers that no calendar or clock has.
cdef int check_moment(const Moment* moment) except -1
# DATETIME's packed form without its microseconds.
cdef int unpack_moment(uint64_t whole, int microsecond, Moment* moment) except -1
# The moment of a TIMESTAMP, in UTC; 0 means the zero date.
cdef int moment_of_epoch(int64_t seconds, int microsecond, Moment* moment) except -1

# One value appended to a field whose column is fixed (date32, timestamp(us)), or a refusal by its policy.
cdef int append_date(Field field, const Moment* moment) except -1
cdef int append_moment(Field field, const Moment* moment) except -1
cdef int append_epoch(Field field, int64_t seconds, int microsecond) except -1
# One value appended as the server's text, with `fsp` digits of fraction.
cdef int append_date_text(VariableColumn column, const Moment* moment) except -1
cdef int append_moment_text(VariableColumn column, const Moment* moment, int fsp) except -1
cdef int append_time_text(
    VariableColumn column, bint is_negative, int hours, int minute, int second, int microsecond, int fsp
) except -1

# The same texts written to `out`, which has room for TEMPORAL_TEXT_BYTES; they give the length.
cdef int write_date(const Moment* moment, unsigned char* out) except -1
cdef int write_moment(const Moment* moment, int fsp, unsigned char* out) except -1
cdef int write_time(
    bint is_negative, int hours, int minute, int second, int microsecond, int fsp, unsigned char* out
) except -1
