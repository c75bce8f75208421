# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Headers and the small events, read from the bytes; the twin is `events_python.py`."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from cdc.native.cursor cimport Cursor, advance, read_u8
from cdc_source_mysql.wire.field cimport little_u16, little_u24, little_u32, little_u64

from cdc.errors import DecodeError
from cdc_source_mysql.wire import codes as _codes

cdef Py_ssize_t HEADER = _codes.HEADER_BYTES
cdef uint32_t LATE_BYTES = _codes.LATE_BYTES
cdef uint64_t LARGEST = 0x7FFFFFFFFFFFFFFF
# Fields of a tagged GTID event, by their numbers.
cdef enum:
    FLAGS_FIELD, UUID_FIELD, NUMBER_FIELD, TAG_FIELD, PARENT_FIELD, SEQUENCE_FIELD, IMMEDIATE_FIELD, ORIGINAL_FIELD
# Flags of MariaDB's GTID event.
cdef enum:
    GROUP_COMMIT = 0x02
    ANY_XA = 0xC0
# An original commit time stands behind the immediate one.
cdef uint64_t HAS_ORIGINAL = 1ULL << 55


cdef int read_header(Cursor* cursor, Event* event) except -1:
    """`cursor` holds one event, all of it."""
    read_fields(cursor, event)
    if event.size != <uint64_t>event.whole.left:
        raise DecodeError(f"an event of {event.whole.left} bytes that says it has {event.size}")
    return 0


cdef int read_fields(Cursor* cursor, Event* event) except -1:
    """The header of an event of which more may come; its body is what is there behind."""
    cdef const unsigned char* at
    event.whole = cursor[0]
    at = advance(cursor, HEADER)
    event.at_seconds = little_u32(at)
    event.type = at[4]
    event.server_id = little_u32(at + 5)
    event.size = little_u32(at + 9)
    event.log_pos = little_u32(at + 13)
    event.flags = little_u16(at + 17)
    event.body = cursor[0]
    return 0


cdef uint64_t caught_up(uint64_t end, uint32_t log_pos) noexcept:
    """The end of an event as counted, corrected by the low 32 bits that its header says; 0 says nothing."""
    cdef uint32_t ahead = <uint32_t>(log_pos - <uint32_t>end)
    if log_pos == 0 or ahead > <uint32_t>(0xFFFFFFFF - LATE_BYTES):
        return end
    return end + ahead


cdef bint is_text(Cursor* statement, const char* text, Py_ssize_t size) noexcept:
    """Whether the statement begins with this text."""
    return statement.left >= size and memcmp(statement.at, text, size) == 0


cdef int read_lenenc(Cursor* cursor, uint64_t* value) except -1:
    """A length-encoded number."""
    cdef uint8_t first
    read_u8(cursor, &first)
    value[0] = first
    if first == 0xFC:
        value[0] = little_u16(advance(cursor, 2))
    elif first == 0xFD:
        value[0] = little_u24(advance(cursor, 3))
    elif first == 0xFE:
        value[0] = little_u64(advance(cursor, 8))
    elif first > 0xFA:
        raise DecodeError(f"a length that begins with {first}")
    return 0


cdef uint64_t read_u56(Cursor* cursor) except? 0:
    cdef const unsigned char* at = advance(cursor, 7)
    return little_u32(at) | (<uint64_t>little_u16(at + 4) << 32) | (<uint64_t>at[6] << 48)


cdef int read_gtid(Cursor* cursor, Gtid* gtid) except -1:
    """GTID and ANONYMOUS_GTID; an event of 5.7 ends before the commit times."""
    cdef uint64_t immediate
    memset(gtid, 0, sizeof(Gtid))
    gtid.flags = advance(cursor, 1)[0]
    memcpy(gtid.uuid, advance(cursor, 16), 16)
    gtid.number = little_u64(advance(cursor, 8))
    gtid.kind = MYSQL_GTID
    require_number(gtid.number)
    if cursor.left < 1 + 16 + 7:
        return 0
    advance(cursor, 1 + 16)
    immediate = read_u56(cursor)
    gtid.commit_at = <int64_t>(read_u56(cursor) if immediate & HAS_ORIGINAL else immediate)
    return 0


cdef int require_number(uint64_t number) except -1:
    if number > LARGEST:
        raise DecodeError("a GTID whose number is out of range")
    return 0


cdef int read_varlen(Cursor* cursor, uint64_t* value) except -1:
    """A number of 1 to 9 bytes: as many follow the first as it has ones at its end."""
    cdef unsigned char first = advance(cursor, 1)[0]
    cdef Py_ssize_t more = 0
    cdef Py_ssize_t i
    cdef const unsigned char* at
    cdef uint64_t rest = 0
    while more < 8 and (first >> more) & 1:
        more += 1
    at = advance(cursor, more)
    for i in range(more):
        rest |= <uint64_t>at[i] << (8 * i)
    value[0] = rest
    if more < 7:
        value[0] = (rest << (7 - more)) | (first >> (more + 1))
    return 0


cdef int read_tagged_gtid(Cursor* cursor, Gtid* gtid) except -1:
    """GTID_TAGGED_LOG; fields that are new to us come last, and are left out."""
    cdef uint64_t value = 0
    cdef uint64_t field = 0
    cdef uint64_t seen = 0
    cdef Py_ssize_t i
    memset(gtid, 0, sizeof(Gtid))
    gtid.kind = MYSQL_GTID
    for i in range(3):
        # Version of the format, size, the last field that must be understood.
        read_varlen(cursor, &value)
    if value > ORIGINAL_FIELD + 4:
        raise DecodeError("a tagged GTID event with a field that must be understood and is not")
    while cursor.left:
        read_varlen(cursor, &field)
        if field > ORIGINAL_FIELD:
            break
        seen |= 1ULL << field
        if field == UUID_FIELD:
            for i in range(16):
                read_varlen(cursor, &value)
                gtid.uuid[i] = <unsigned char>value
            continue
        read_varlen(cursor, &value)
        if field == TAG_FIELD:
            if value > 32:
                raise DecodeError(f"a GTID tag of {value} bytes: expected 32 at most")
            gtid.tag_size = <Py_ssize_t>value
            memcpy(gtid.tag, advance(cursor, gtid.tag_size), gtid.tag_size)
            require_tag(gtid)
        elif field == FLAGS_FIELD:
            gtid.flags = <uint32_t>value & 0xFF
        elif field == NUMBER_FIELD:
            gtid.number = value >> 1
        elif field >= IMMEDIATE_FIELD:
            gtid.commit_at = <int64_t>(value & LARGEST)
    if seen & 0b110 != 0b110:
        raise DecodeError("a tagged GTID event without its uuid or its number")
    return 0


cdef int require_tag(Gtid* gtid) except -1:
    cdef Py_ssize_t i
    for i in range(gtid.tag_size):
        if gtid.tag[i] < 0x21 or gtid.tag[i] > 0x7E:
            raise DecodeError("a GTID tag that is not a name")
    return 0


cdef int read_mariadb_gtid(Cursor* cursor, Gtid* gtid) except -1:
    """MariaDB's GTID event; the server id stands in the header."""
    cdef const unsigned char* at
    memset(gtid, 0, sizeof(Gtid))
    gtid.kind = MARIADB_GTID
    gtid.number = little_u64(advance(cursor, 8))
    require_number(gtid.number)
    gtid.domain = little_u32(advance(cursor, 4))
    gtid.flags = advance(cursor, 1)[0]
    if gtid.flags & GROUP_COMMIT:
        advance(cursor, 8)
    if gtid.flags & ANY_XA:
        at = advance(cursor, 6)
        advance(cursor, <Py_ssize_t>at[4] + at[5])
    if cursor.left:
        gtid.flags |= <uint32_t>advance(cursor, 1)[0] << 8
    return 0


cdef int read_statement(Cursor* cursor, Cursor* statement) except -1:
    """The text of a QUERY, as bytes of the client's character set."""
    cdef const unsigned char* at = advance(cursor, 13)
    advance(cursor, little_u16(at + 11))
    advance(cursor, <Py_ssize_t>at[8] + 1)
    statement[0] = cursor[0]
    return 0


cdef int read_payload_fields(Cursor* cursor, uint64_t* fields) except -1:
    """The fields of a TRANSACTION_PAYLOAD by their types (1 size, 2 compression, 3 size before it); the cursor is
    then at the payload.
    """
    cdef uint64_t kind
    cdef uint64_t length
    cdef Cursor value
    fields[1] = fields[2] = fields[3] = 0
    while True:
        read_lenenc(cursor, &kind)
        if kind == 0:
            return 0
        read_lenenc(cursor, &length)
        value.left = <Py_ssize_t>min(length, LARGEST)
        value.at = advance(cursor, value.left)
        if kind < 4:
            read_lenenc(&value, &fields[kind])


cdef int read_heartbeat(Cursor* cursor, uint64_t* position) except -1:
    """The position that a HEARTBEAT_V2 names; 0 when it doesn't."""
    cdef uint64_t length
    cdef uint8_t field
    cdef Cursor value
    position[0] = 0
    while cursor.left:
        read_u8(cursor, &field)
        if field == 0:
            return 0
        read_lenenc(cursor, &length)
        value.left = <Py_ssize_t>min(length, LARGEST)
        value.at = advance(cursor, value.left)
        if field == 2:
            read_lenenc(&value, position)
    return 0
