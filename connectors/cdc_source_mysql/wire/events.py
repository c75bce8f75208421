"""Headers and the small events, read from the bytes, and checks of the binlog's own structure.

One source for both implementations: `events_native` is compiled from it, with the types in
`events_native.pxd`.
"""

from __future__ import annotations

from typing import Any

from cdc.errors import DecodeError, UnknownEvent
from cdc_source_mysql.wire.codes import LATE_BYTES, MARIADB_GTID, MYSQL_GTID, NO_GTID

try:
    import cython
except ImportError:
    from cdc.native import interpreted as cython
if not cython.compiled:
    from cdc.native.cursor_python import Reader

LARGEST = 2**63 - 1
WORD = 2**32 - 1
LONG_WORD = 2**64 - 1
MAX_TAG_BYTES = 32
# Flags of MariaDB's GTID event.
GROUP_COMMIT = 0x02
ANY_XA = 0xC0
# An original commit time follows the immediate one.
HAS_ORIGINAL = 1 << 55
# Fields of a tagged GTID event, by their numbers.
FLAGS_FIELD, UUID_FIELD, NUMBER_FIELD, TAG_FIELD = 0, 1, 2, 3
IMMEDIATE_FIELD, ORIGINAL_FIELD = 6, 7
LAST_KNOWN_FIELD = ORIGINAL_FIELD + 4


class Event:
    """A header, and where its event lies in what it is read from: it ends before the checksum."""

    def __init__(self) -> None:
        self.at_seconds = 0
        self.type = 0
        self.server_id = 0
        self.size = 0
        self.log_pos = 0
        self.flags = 0
        self.start = 0
        self.end = 0

    def read(self, reader: Reader) -> int:
        """All of the event must be there."""
        self.read_fields(reader)
        if self.size != self.end - self.start:
            message = f"an event of {self.end - self.start} bytes that says it has {self.size}"
            raise DecodeError(message)
        return 0

    def read_fields(self, reader: Reader) -> int:
        """The reader is at the body then."""
        self.start = reader.tell()
        self.end = self.start + reader.remaining()
        self.at_seconds = reader.little(4)
        self.type = reader.u8()
        self.server_id = reader.little(4)
        self.size = reader.little(4)
        self.log_pos = reader.little(4)
        self.flags = reader.little(2)
        return 0


class Gtid:
    """`commit_at` counts microseconds since 1970; 0 when the event doesn't say."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> int:
        self.kind = NO_GTID
        self.flags = 0
        self.uuid = b""
        self.tag = b""
        self.number = 0
        self.domain = 0
        self.server_id = 0
        self.commit_at = 0
        return 0

    def read(self, reader: Reader) -> int:
        """GTID and ANONYMOUS_GTID; an event of 5.7 ends before the commit times."""
        self.clear()
        self.kind = MYSQL_GTID
        self.flags = reader.u8()
        self.uuid = reader.take(16)
        self.number = checked_number(reader.little(8))
        if reader.remaining() < 1 + 16 + 7:
            return 0
        reader.skip(1 + 16)
        immediate = reader.little(7)
        self.commit_at = reader.little(7) if immediate & HAS_ORIGINAL else immediate
        return 0

    def read_mariadb(self, reader: Reader, server_id: int) -> int:
        """MariaDB's GTID event; the server id is in the header."""
        self.clear()
        self.kind = MARIADB_GTID
        self.server_id = server_id
        self.number = checked_number(reader.little(8))
        self.domain = reader.little(4)
        self.flags = reader.u8()
        if self.flags & GROUP_COMMIT:
            reader.skip(8)
        if self.flags & ANY_XA:
            reader.skip(4)
            size = reader.u8()
            reader.skip(size + reader.u8())
        if reader.remaining():
            self.flags |= reader.u8() << 8
        return 0

    def read_tagged(self, reader: Reader) -> int:
        """GTID_TAGGED_LOG; fields that are new to us come last, and are left out."""
        self.clear()
        self.kind = MYSQL_GTID
        # Version of the format, and size.
        read_varlen(reader)
        read_varlen(reader)
        if read_varlen(reader) > LAST_KNOWN_FIELD:
            message = "a tagged GTID event with a field that must be understood and is not"
            raise DecodeError(message)
        has_uuid = has_number = False
        while reader.remaining():
            field = read_varlen(reader)
            if field > ORIGINAL_FIELD:
                break
            has_uuid = has_uuid or field == UUID_FIELD
            has_number = has_number or field == NUMBER_FIELD
            self.read_field(reader, field)
        if not (has_uuid and has_number):
            message = "a tagged GTID event without its uuid or its number"
            raise DecodeError(message)
        return 0

    def read_field(self, reader: Reader, field: int) -> int:
        if field == UUID_FIELD:
            self.uuid = bytes([read_varlen(reader) & 0xFF for _ in range(16)])
            return 0
        value = read_varlen(reader)
        if field == TAG_FIELD:
            self.tag = read_tag(reader, value)
        elif field == FLAGS_FIELD:
            self.flags = value & 0xFF
        elif field == NUMBER_FIELD:
            self.number = value >> 1
        elif field >= IMMEDIATE_FIELD:
            self.commit_at = value & LARGEST
        return 0


class Runs:
    """The GTIDs of transactions ended, in their order; those that follow each other as one run."""

    def __init__(self) -> None:
        self.runs: list[Any] = []
        # The first of the run that continues.
        self.kind = NO_GTID
        self.uuid = b""
        self.tag = b""
        self.first = 0
        self.domain = 0
        self.server_id = 0
        self.last = 0

    def note(self, gtid: Gtid) -> int:
        if gtid.kind == NO_GTID:
            return 0
        if not self.is_continued_by(gtid):
            self.finish()
            self.kind = gtid.kind
            self.uuid = gtid.uuid
            self.tag = gtid.tag
            self.first = gtid.number
            self.domain = gtid.domain
            self.server_id = gtid.server_id
        self.last = gtid.number
        return 0

    def is_continued_by(self, gtid: Gtid) -> bool:
        if self.kind != gtid.kind:
            return False
        if gtid.kind == MARIADB_GTID:
            return self.domain == gtid.domain and self.server_id == gtid.server_id
        return gtid.number == self.last + 1 and self.uuid == gtid.uuid and self.tag == gtid.tag

    def finish(self) -> int:
        if self.kind == MYSQL_GTID:
            self.runs.append((uuid_text(self.uuid), self.tag.decode("ascii"), self.first, self.last))
        elif self.kind == MARIADB_GTID:
            self.runs.append((self.domain, self.server_id, self.last))
        self.kind = NO_GTID
        return 0

    def take(self) -> list[Any]:
        """Those since the last call: (uuid, tag, first, last), or MariaDB's (domain, server id, last)."""
        self.finish()
        runs, self.runs = self.runs, []
        return runs


def checked_number(number: int) -> int:
    if number > LARGEST:
        message = "a GTID whose number is out of range"
        raise DecodeError(message)
    return number


def read_tag(reader: Reader, size: int) -> bytes:
    if size > MAX_TAG_BYTES:
        message = f"a GTID tag of {size} bytes: expected {MAX_TAG_BYTES} at most"
        raise DecodeError(message)
    tag = reader.take(size)
    if any([not 0x21 <= byte <= 0x7E for byte in tag]):  # noqa: C419  (Cython makes a closure of a generator)
        message = "a GTID tag that is not a name"
        raise DecodeError(message)
    return tag


def uuid_text(uuid: bytes) -> str:
    text = uuid.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def caught_up(end: int, log_pos: int) -> int:
    """The end of an event as counted, corrected by the low 32 bits that its header says; 0 says nothing."""
    ahead = (log_pos - end) & WORD
    if log_pos == 0 or ahead > WORD - LATE_BYTES:
        return end
    return end + ahead


def read_lenenc(reader: Reader) -> int:
    """A length-encoded number: one byte, or a mark and 2, 3 or 8 bytes."""
    first = reader.u8()
    if first < 0xFB:
        return first
    if first == 0xFC:
        return reader.little(2)
    if first == 0xFD:
        return reader.little(3)
    if first == 0xFE:
        return reader.little(8)
    message = f"a length that begins with {first}"
    raise DecodeError(message)


def read_varlen(reader: Reader) -> int:
    """A number of 1 to 9 bytes: as many follow the first as it has ones at its end."""
    first = reader.u8()
    more = 0
    while more < 8 and (first >> more) & 1:
        more += 1
    rest = reader.little(more)
    if more < 7:
        return (rest << (7 - more) | first >> (more + 1)) & LONG_WORD
    return rest


def skip_to_statement(reader: Reader) -> int:
    """Skip a QUERY's body up to its statement, which is in the client's character set."""
    reader.skip(8)
    database = reader.u8()
    reader.skip(2)
    variables = reader.little(2)
    reader.skip(variables)
    reader.skip(database + 1)
    return 0


def read_payload_fields(reader: Reader) -> list[int]:
    """The fields of a TRANSACTION_PAYLOAD by their types (1 size, 2 compression, 3 size before); the reader
    is at the payload then.
    """
    fields = [0, 0, 0, 0]
    while True:
        kind = read_lenenc(reader)
        if kind == 0:
            return fields
        value = reader.clamp(min(read_lenenc(reader), LARGEST))
        if kind < 4:
            fields[kind] = read_lenenc(value)


def read_heartbeat(reader: Reader) -> int:
    """The position that a HEARTBEAT_V2 names; 0 when it doesn't."""
    position = 0
    while reader.remaining():
        field = reader.u8()
        if field == 0:
            break
        value = reader.clamp(min(read_lenenc(reader), LARGEST))
        if field == 2:
            position = read_lenenc(value)
    return position


# In a format description: after its version and the server's.
_STARTED_AT = 2 + 50


def file_name(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        message = "a binlog file whose name is not text"
        raise DecodeError(message) from None


def is_server_start(description: bytes | memoryview) -> bool:
    """Whether a format description (its body) is from the server's start. Servers also leave the time
    out where a dump begins inside of a file.
    """
    return any(description[_STARTED_AT : _STARTED_AT + 4])


def nested() -> DecodeError:
    return DecodeError("a transaction begins inside another")


def unknown(event_type: int) -> UnknownEvent:
    return UnknownEvent(
        f"an event of type {event_type}, which this version does not support",
        remedy="Update the daemon; nothing after the event was read.",
    )
