"""Numbers and words that both decoders and their callers share."""

from __future__ import annotations

# What `drain` answers.
WOULD_BLOCK = 0
ENDED = 1
MESSAGE = 2
KEEPALIVE = 3
FULL = 4
PART = 5

# 'w', start, end, send time.
XLOG_HEADER_BYTES = 25
COPY_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
# What a row takes besides its values: op, seq, commit code and commit time.
ROW_OVERHEAD_BYTES = 21

# Values that Arrow can't hold, as errors name them.
INFINITY = "infinity"
NOT_A_NUMBER = "NaN"
BEFORE_YEAR_1 = "a year before 1 (BC)"
BEYOND_RANGE = "a timestamp beyond the year 294246"
MIDNIGHT_24 = "the time 24:00:00"
ARRAY_DIMENSIONS = "an array whose number of dimensions differs from the column's declaration"
ARRAY_BOUNDS = "an array whose lower bound is not 1"
OBJECT_NAME = "the name of an object, where its oid is needed (the server sends it so in text form)"
