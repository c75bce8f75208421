"""Headers and the small events, read from the bytes."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from cdc.native.cursor cimport Cursor


cdef struct Event:
    uint32_t at_seconds
    uint8_t type
    uint32_t server_id
    uint32_t size
    uint32_t log_pos
    uint16_t flags
    # All of it, and what is behind the header; neither has the checksum.
    Cursor whole
    Cursor body


cdef enum:
    # Kinds of GTIDs.
    NO_GTID
    MYSQL_GTID
    MARIADB_GTID


cdef struct Gtid:
    uint8_t kind
    uint32_t flags
    unsigned char uuid[16]
    unsigned char tag[32]
    Py_ssize_t tag_size
    uint64_t number
    uint32_t domain
    uint32_t server_id
    # Microseconds since 1970; 0 when the event doesn't say.
    int64_t commit_at


cdef int read_header(Cursor* cursor, Event* event) except -1
cdef int read_fields(Cursor* cursor, Event* event) except -1
cdef uint64_t caught_up(uint64_t end, uint32_t log_pos) noexcept
cdef bint is_text(Cursor* statement, const char* text, Py_ssize_t size) noexcept
cdef int read_lenenc(Cursor* cursor, uint64_t* value) except -1
cdef int read_gtid(Cursor* cursor, Gtid* gtid) except -1
cdef int read_tagged_gtid(Cursor* cursor, Gtid* gtid) except -1
cdef int read_mariadb_gtid(Cursor* cursor, Gtid* gtid) except -1
cdef int read_statement(Cursor* cursor, Cursor* statement) except -1
cdef int read_payload_fields(Cursor* cursor, uint64_t* fields) except -1
cdef int read_heartbeat(Cursor* cursor, uint64_t* position) except -1
