"""Numbers that both decoders and their callers share."""

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
# What a row takes beside its values: op, seq, commit code and commit time.
ROW_OVERHEAD_BYTES = 21
