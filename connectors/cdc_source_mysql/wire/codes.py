"""Numbers and words of the binlog and of result sets that both decoders and their callers share."""

from __future__ import annotations

from typing import Literal

Flavour = Literal["mysql", "mariadb"]

# What `next` answers.
NEED = 0
EVENT = 1
TABLE = 2
FULL = 3
PART = 4
ENDED = 5
REFUSED = 6

# Events of MySQL, as the header's type byte names them.
QUERY_EVENT = 2
STOP_EVENT = 3
ROTATE_EVENT = 4
INTVAR_EVENT = 5
RAND_EVENT = 13
USER_VAR_EVENT = 14
FORMAT_DESCRIPTION_EVENT = 15
XID_EVENT = 16
APPEND_BLOCK_EVENT = 9
DELETE_FILE_EVENT = 11
BEGIN_LOAD_QUERY_EVENT = 17
EXECUTE_LOAD_QUERY_EVENT = 18
TABLE_MAP_EVENT = 19
WRITE_ROWS_EVENT_V1 = 23
UPDATE_ROWS_EVENT_V1 = 24
DELETE_ROWS_EVENT_V1 = 25
INCIDENT_EVENT = 26
HEARTBEAT_EVENT = 27
IGNORABLE_EVENT = 28
ROWS_QUERY_EVENT = 29
WRITE_ROWS_EVENT = 30
UPDATE_ROWS_EVENT = 31
DELETE_ROWS_EVENT = 32
GTID_EVENT = 33
ANONYMOUS_GTID_EVENT = 34
PREVIOUS_GTIDS_EVENT = 35
TRANSACTION_CONTEXT_EVENT = 36
VIEW_CHANGE_EVENT = 37
XA_PREPARE_EVENT = 38
PARTIAL_UPDATE_ROWS_EVENT = 39
TRANSACTION_PAYLOAD_EVENT = 40
HEARTBEAT_EVENT_V2 = 41
GTID_TAGGED_EVENT = 42
# Events of MariaDB.
ANNOTATE_ROWS_EVENT = 160
BINLOG_CHECKPOINT_EVENT = 161
MARIADB_GTID_EVENT = 162
MARIADB_GTID_LIST_EVENT = 163
START_ENCRYPTION_EVENT = 164
QUERY_COMPRESSED_EVENT = 165
WRITE_ROWS_COMPRESSED_EVENT_V1 = 166
UPDATE_ROWS_COMPRESSED_EVENT_V1 = 167
DELETE_ROWS_COMPRESSED_EVENT_V1 = 168
WRITE_ROWS_COMPRESSED_EVENT = 169
UPDATE_ROWS_COMPRESSED_EVENT = 170
DELETE_ROWS_COMPRESSED_EVENT = 171
PARTIAL_ROW_DATA_EVENT = 172

# Flags of the header.
# Of a statement that needs its session's temporary tables.
THREAD_SPECIFIC_FLAG = 0x04
ARTIFICIAL_FLAG = 0x20
IGNORABLE_FLAG = 0x80

# Flags of MariaDB's GTID event (`gtid_flags`; those of its second byte are shifted by 8).
MARIADB_STANDALONE = 0x01
MARIADB_DDL = 0x20
MARIADB_PREPARED_XA = 0x40
MARIADB_COMPLETED_XA = 0x80
MARIADB_START_ALTER = 0x0200
MARIADB_COMMIT_ALTER = 0x0400
MARIADB_ROLLBACK_ALTER = 0x0800

# What `Packets.look` answers.
NOTHING = 0
WHOLE = 1
STREAMED = 2

# Kinds of GTIDs.
NO_GTID = 0
MYSQL_GTID = 1
MARIADB_GTID = 2

HEADER_BYTES = 19
# The offset of the event's size in a header.
SIZE_AT = 9
CHECKSUM_BYTES = 4
# A packet of this length is continued by the next one.
LONGEST_PACKET_BYTES = 0xFFFFFF
# What a row takes besides its values: op, seq, commit code and commit time.
ROW_OVERHEAD_BYTES = 21
# Where a packet's payload has the event's type: after the status byte and the time.
TYPE_AT = 5
# A TRANSACTION_PAYLOAD from this size on is decompressed as it arrives.
STREAMED_FROM_BYTES = 65536
# The table number that means no table: the event only ends a statement.
DUMMY_TABLE = 0xFFFFFF
# Table maps kept by their bodies; with more, at the end of a file, all are asked for again. Applications that
# make tables by the thousand would fill the memory in the course of months.
MOST_TABLE_MAPS = 10_000
# Of a compressed transaction: what is looked at to read its header fields (four, each a type, a length and a
# number of at most 9 bytes), and what is handed to the decompressor at once.
PAYLOAD_HEAD_BYTES = 1 + HEADER_BYTES + 64
PIECE_BYTES = 256 * 1024
# A position that is said to be less than this before the one that we counted is wrong; anything else is
# ahead of it, by what the server left out.
LATE_BYTES = 16 * 1024 * 1024
# Events for the caller, beside statements and XA PREPARE.
FOR_CALLER = frozenset(
    {
        INTVAR_EVENT,
        APPEND_BLOCK_EVENT,
        DELETE_FILE_EVENT,
        RAND_EVENT,
        USER_VAR_EVENT,
        BEGIN_LOAD_QUERY_EVENT,
        EXECUTE_LOAD_QUERY_EVENT,
        INCIDENT_EVENT,
        TRANSACTION_CONTEXT_EVENT,
        VIEW_CHANGE_EVENT,
    }
)
# Events that change nothing.
SKIPPED = frozenset(
    {
        STOP_EVENT,
        HEARTBEAT_EVENT,
        IGNORABLE_EVENT,
        ROWS_QUERY_EVENT,
        PREVIOUS_GTIDS_EVENT,
        BINLOG_CHECKPOINT_EVENT,
        MARIADB_GTID_LIST_EVENT,
        START_ENCRYPTION_EVENT,
    }
)

# Values that Arrow can't hold, as errors name them.
ZERO_DATE = "the zero date 0000-00-00"
PARTIAL_DATE = "a date whose month or day is 0"
YEAR_ZERO = "a date in the year 0"
INVALID_DATE = "a day that its month does not have"
UNDEFINED_BYTES = "bytes that have no character in the column's character set"


# A geometry is an SRID, then WKB, which begins with its byte order and type. In EWKB, which PostGIS, GEOS and
# DuckDB read, a flag of the type says that an SRID follows.
SRID_BYTES = 4
WKB_HEAD_BYTES = 5
SRID_FLAG = 0x20000000

# Type codes of result columns; what isn't here has a length in front.
FIXED_BYTES = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 8: 8, 9: 4, 13: 2}
TEMPORAL = frozenset({7, 10, 11, 12})
_TINY, _SHORT, _LONG, _FLOAT, _DOUBLE, _LONGLONG, _INT24, _YEAR = 1, 2, 3, 4, 5, 8, 9, 13
_TIMESTAMP, _DATE, _TIME, _DATETIME, _BIT = 7, 10, 11, 12, 16
_NEWDECIMAL = 246
# The types that a column of a kind may have in a result set; kinds that aren't here come as bytes. MariaDB
# gives small unsigned numbers as INT.
EXPECTED: dict[str, frozenset[int]] = {
    "int8": frozenset({_TINY}),
    "int16": frozenset({_SHORT}),
    "int24": frozenset({_INT24}),
    "int32": frozenset({_LONG}),
    "int64": frozenset({_LONGLONG}),
    "float32": frozenset({_FLOAT}),
    "float64": frozenset({_DOUBLE}),
    "decimal": frozenset({_NEWDECIMAL}),
    "year": frozenset({_YEAR}),
    "bool": frozenset({_BIT}),
    "bit": frozenset({_BIT}),
    "date": frozenset({_DATE}),
    "datetime": frozenset({_DATETIME}),
    "datetime_old": frozenset({_DATETIME}),
    "timestamp": frozenset({_TIMESTAMP}),
    "timestamp_old": frozenset({_TIMESTAMP}),
    "time": frozenset({_TIME}),
    "time_old": frozenset({_TIME}),
    "enum": frozenset({_LONG, _LONGLONG}),
    "set": frozenset({_LONG, _LONGLONG}),
}


def is_expected(kind: str, code: int) -> bool:
    """Whether a column of that kind can come as that type."""
    expected = EXPECTED.get(kind)
    if expected is None:
        return code not in FIXED_BYTES and code not in TEMPORAL
    return code in expected
