"""Headers and the small events in pure Python: the twin of `events.pyx`."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, auto
from zlib import crc32

from cdc.errors import DecodeError
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.codes import CHECKSUM_BYTES, HEADER_BYTES, LATE_BYTES
from cdc_source_mysql.wire.little_endian import LittleEndian

Run = tuple[str, str, int, int] | tuple[int, int, int]

_HEADER = struct.Struct("<IBIIIH")
_LARGEST = 2**63 - 1
_WORD = 1 << 32
_MAX_TAG_BYTES = 32
_GROUP_COMMIT = 0x02
_ANY_XA = 0xC0
# An original commit time stands behind the immediate one.
_HAS_ORIGINAL = 1 << 55
_FLAGS, _UUID, _NUMBER, _TAG, _, _, _IMMEDIATE, _ORIGINAL = range(8)
_LAST_KNOWN_FIELD = _ORIGINAL + 4


class State(Enum):
    """Where in a transaction the stream is. NAMED: its GTID came, and BEGIN or its only statement is due.
    CLOSED: its end came inside of a compressed payload, whose own end is due.
    """

    OUTSIDE = auto()
    NAMED = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(slots=True)
class Event:
    """`whole` has the header, `body` what is behind it; neither has the checksum."""

    at_seconds: int
    type: int
    server_id: int
    size: int
    log_pos: int
    flags: int
    whole: bytes

    @property
    def body(self) -> bytes:
        return self.whole[HEADER_BYTES:]


@dataclass(slots=True)
class Gtid:
    """`kind` is '' for none; `commit_at` is 0 when the event doesn't say."""

    kind: str = ""
    flags: int = 0
    uuid: str = ""
    tag: str = ""
    number: int = 0
    domain: int = 0
    server_id: int = 0
    commit_at: int = 0


class Runs:
    """The GTIDs of transactions ended, in their order; those that follow each other as one run."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._first: Gtid | None = None
        self._last = 0

    def note(self, gtid: Gtid) -> None:
        if not gtid.kind:
            return
        if not self._continues(gtid):
            self._finish()
            self._first = gtid
        self._last = gtid.number

    def _continues(self, gtid: Gtid) -> bool:
        first = self._first
        if first is None or first.kind != gtid.kind:
            return False
        if gtid.kind == "mariadb":
            return (first.domain, first.server_id) == (gtid.domain, gtid.server_id)
        return (first.uuid, first.tag, self._last + 1) == (gtid.uuid, gtid.tag, gtid.number)

    def _finish(self) -> None:
        first, self._first = self._first, None
        if first is not None and first.kind == "mysql":
            self._runs.append((first.uuid, first.tag, first.number, self._last))
        elif first is not None:
            self._runs.append((first.domain, first.server_id, self._last))

    def take(self) -> list[Run]:
        """Those since the last call."""
        self._finish()
        runs, self._runs = self._runs, []
        return runs


def read_header(data: bytes) -> Event:
    """One event, all of it."""
    event = read_fields(data)
    if event.size != len(data):
        message = f"an event of {len(data)} bytes that says it has {event.size}"
        raise DecodeError(message)
    return event


def read_fields(data: bytes) -> Event:
    """An event of which more may come."""
    if len(data) < HEADER_BYTES:
        message = f"{HEADER_BYTES} bytes expected, {len(data)} are left"
        raise DecodeError(message)
    at_seconds, kind, server_id, size, log_pos, flags = _HEADER.unpack_from(data)
    return Event(at_seconds, kind, server_id, size, log_pos, flags, data)


def take_checksum_off(event: Event, *, has_checksum: bool) -> bool:
    """Verify it first. Whether events have one, as a format description says, which has one itself."""
    whole = event.whole
    if event.type == codes.FORMAT_DESCRIPTION_EVENT:
        if len(event.body) < 1 + CHECKSUM_BYTES:
            message = "a format description that is too short"
            raise DecodeError(message)
        has_checksum = whole[-CHECKSUM_BYTES - 1] == 1
    elif not has_checksum:
        return has_checksum
    elif len(event.body) < CHECKSUM_BYTES:
        message = "an event without its checksum"
        raise DecodeError(message)
    elif crc32(whole[:-CHECKSUM_BYTES]) != int.from_bytes(whole[-CHECKSUM_BYTES:], "little"):
        message = "an event whose checksum is wrong"
        raise DecodeError(message)
    event.whole = whole[:-CHECKSUM_BYTES]
    return has_checksum


def end_of(event: Event, offset: int, *, in_transaction: bool) -> int:
    """Where in its file an event ends that begins at the offset. Its size counts; `log_pos` (32 bits, 0 in
    some) adds what the server left out.
    """
    if event.type == codes.FORMAT_DESCRIPTION_EVENT:
        return event.log_pos or offset
    if event.type == codes.ROTATE_EVENT:
        return offset
    heartbeats = (codes.HEARTBEAT_EVENT, codes.HEARTBEAT_EVENT_V2)
    if event.type in heartbeats or event.flags & codes.ARTIFICIAL_FLAG:
        return offset if in_transaction else caught_up(offset, event.log_pos)
    return caught_up(offset + event.size, event.log_pos)


def caught_up(end: int, log_pos: int) -> int:
    """The end of an event as counted, corrected by the low 32 bits that its header says; 0 says nothing."""
    ahead = (log_pos - end) % _WORD
    if log_pos == 0 or ahead > _WORD - 1 - LATE_BYTES:
        return end
    return end + ahead


def read_gtid(body: bytes) -> Gtid:
    """GTID and ANONYMOUS_GTID; an event of 5.7 ends before the commit times."""
    cursor = LittleEndian(body)
    gtid = Gtid("mysql", cursor.u8(), _uuid_text(cursor.take(16)), "", _number(cursor.u64()))
    if cursor.left < 1 + 16 + 7:
        return gtid
    cursor.skip(1 + 16)
    immediate = cursor.unsigned(7)
    gtid.commit_at = cursor.unsigned(7) if immediate & _HAS_ORIGINAL else immediate
    return gtid


def _number(number: int) -> int:
    if number > _LARGEST:
        message = "a GTID whose number is out of range"
        raise DecodeError(message)
    return number


def _uuid_text(data: bytes) -> str:
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _varlen(cursor: LittleEndian) -> int:
    """A number of 1 to 9 bytes: as many follow the first as it has ones at its end."""
    first = cursor.u8()
    more = 0
    while more < 8 and first >> more & 1:
        more += 1
    rest = cursor.unsigned(more)
    return (rest << (7 - more) | first >> (more + 1)) % (1 << 64) if more < 7 else rest


def read_tagged_gtid(body: bytes) -> Gtid:
    """GTID_TAGGED_LOG; fields that are new to us come last, and are left out."""
    cursor = LittleEndian(body)
    # Version of the format, size, the last field that must be understood.
    *_, last = (_varlen(cursor) for _ in range(3))
    if last > _LAST_KNOWN_FIELD:
        message = "a tagged GTID event with a field that must be understood and is not"
        raise DecodeError(message)
    gtid = Gtid("mysql")
    seen = set()
    while cursor.left:
        number = _varlen(cursor)
        if number > _ORIGINAL:
            break
        seen.add(number)
        _read_field(cursor, number, gtid)
    if not {_UUID, _NUMBER} <= seen:
        message = "a tagged GTID event without its uuid or its number"
        raise DecodeError(message)
    return gtid


def _read_field(cursor: LittleEndian, number: int, gtid: Gtid) -> None:
    if number == _UUID:
        gtid.uuid = _uuid_text(bytes(_varlen(cursor) & 0xFF for _ in range(16)))
        return
    value = _varlen(cursor)
    if number == _TAG:
        gtid.tag = _tag(cursor, value)
    elif number == _FLAGS:
        gtid.flags = value & 0xFF
    elif number == _NUMBER:
        gtid.number = value >> 1
    elif number >= _IMMEDIATE:
        gtid.commit_at = value & _LARGEST


def _tag(cursor: LittleEndian, size: int) -> str:
    if size > _MAX_TAG_BYTES:
        message = f"a GTID tag of {size} bytes: expected {_MAX_TAG_BYTES} at most"
        raise DecodeError(message)
    data = cursor.take(size)
    if any(not 0x21 <= byte <= 0x7E for byte in data):
        message = "a GTID tag that is not a name"
        raise DecodeError(message)
    return data.decode("ascii")


def read_mariadb_gtid(body: bytes, server_id: int) -> Gtid:
    """MariaDB's GTID event; the server id stands in the header."""
    cursor = LittleEndian(body)
    number, domain, flags = _number(cursor.u64()), cursor.u32(), cursor.u8()
    if flags & _GROUP_COMMIT:
        cursor.skip(8)
    if flags & _ANY_XA:
        lengths = cursor.take(6)
        cursor.skip(lengths[4] + lengths[5])
    if cursor.left:
        flags |= cursor.u8() << 8
    return Gtid("mariadb", flags, "", "", number, domain, server_id)


def read_statement(body: bytes) -> bytes:
    """The text of a QUERY, as bytes of the client's character set."""
    cursor = LittleEndian(body)
    cursor.skip(8)
    database, _, variables = cursor.u8(), cursor.u16(), cursor.u16()
    cursor.skip(variables)
    cursor.skip(database + 1)
    return cursor.take(cursor.left)


def read_payload_fields(body: bytes) -> tuple[list[int], bytes]:
    """The fields of a TRANSACTION_PAYLOAD by their types (1 size, 2 compression, 3 size before it), and what
    follows.
    """
    cursor = LittleEndian(body)
    fields = [0, 0, 0, 0]
    while kind := cursor.lenenc():
        value = cursor.clamp(cursor.lenenc())
        if kind < len(fields):
            fields[kind] = value.lenenc()
    return fields, cursor.take(cursor.left)


def read_heartbeat(body: bytes) -> int:
    """The position that a HEARTBEAT_V2 names; 0 when it doesn't."""
    cursor = LittleEndian(body)
    position = 0
    while cursor.left and (kind := cursor.u8()):
        value = cursor.clamp(cursor.lenenc())
        if kind == 2:
            position = value.lenenc()
    return position
