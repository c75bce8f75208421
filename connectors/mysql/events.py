"""The rare events of the binlog, parsed without any I/O.

Rows, transactions' begins and ends, and heartbeats are not here: the decoders of `connectors.mysql.wire` read
them. Bodies come without the 19-byte header and without a checksum. Anything that isn't whole is a
DecodeError.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from cdc.errors import DecodeError
from connectors.mysql.wire.little_endian import LittleEndian

HEADER_BYTES = 19
# The format description always ends with a checksum, computed or not.
CHECKSUM_BYTES = 4
_SERVER_VERSION_BYTES = 50
# Of every server since MySQL 5.0.
_BINLOG_VERSION = 4
# Status variables of a QUERY event: their numbers, and what follows each.
_FLAGS2, _SQL_MODE, _CATALOG_NZ, _CHARSET = 0, 1, 6, 4
_CATALOG, _TIME_ZONE, _INVOKER, _DATABASES = 2, 5, 11, 12
_DATABASES_NOT_LISTED = 254
_FIXED_BYTES = {
    **dict.fromkeys((14, 15), 0),
    **dict.fromkeys((19, 20, 21), 1),
    **dict.fromkeys((7, 8, 18), 2),
    **dict.fromkeys((13, 128), 3),
    **dict.fromkeys((3, 10), 4),
    **dict.fromkeys((9, 17, 129), 8),
}
_GTID_FLAGS, _CHARSET_COLLATIONS = 130, 131
_EXPLICIT_TIMESTAMPS = 16
# MariaDB (since 10.10) says it among the flags; older versions never do.
_EXPLICIT_TIMESTAMPS_FLAG = 1 << 24
# MariaDB's GTID flags (fl2) and extra flags.
_STANDALONE, _GROUP_COMMIT, _TRANSACTIONAL = 1, 2, 4
_DDL, _PREPARED_XA, _COMPLETED_XA = 0x20, 0x40, 0x80
_MULTI_ENGINE, _START_ALTER, _COMMIT_ALTER, _ROLLBACK_ALTER = 1, 2, 4, 8
_GTID_LIST_COUNT = 0x0FFFFFFF
# Fields of TRANSACTION_PAYLOAD's header.
_PAYLOAD_END, _PAYLOAD_SIZE, _PAYLOAD_COMPRESSION, _PAYLOAD_UNCOMPRESSED = 0, 1, 2, 3
_COMPRESSED_FLAG, _COMPRESSED_LENGTH_BYTES = 0x80, 0x07
# XA allows 64 bytes for each part of an xid.
_XID_PART_BYTES = 64


@dataclass(frozen=True, slots=True)
class Header:
    timestamp_seconds: int
    type: int
    server_id: int
    size: int
    log_pos: int
    flags: int


@dataclass(frozen=True, slots=True)
class FormatDescription:
    """`checksum` is the algorithm of the events that follow: 0 none, 1 CRC32 (4 bytes at the end of each)."""

    binlog_version: int
    server_version: str
    created: int
    header_bytes: int
    post_header_bytes: tuple[int, ...]
    checksum: int


@dataclass(frozen=True, slots=True)
class Rotate:
    position: int
    file: str


@dataclass(frozen=True, slots=True)
class Query:
    """`sql` is raw: its characters are of the collation id `charset_id` (the client's; 0 unknown)."""

    thread_id: int
    execution_seconds: int
    error: int
    database: str
    sql: bytes
    flags2: int = 0
    sql_mode: int = 0
    charset_id: int = 0
    gtid_flags: int = 0
    explicit_timestamps: bool | None = None


@dataclass(frozen=True, slots=True)
class XaPrepare:
    one_phase: bool
    format_id: int
    gtrid: bytes
    bqual: bytes


@dataclass(frozen=True, slots=True)
class Incident:
    number: int
    message: str


@dataclass(frozen=True, slots=True)
class PayloadHeader:
    """TRANSACTION_PAYLOAD up to its compressed bytes, which begin `header_bytes` into the body.
    `compression`: 0 zstd, 255 none.
    """

    compression: int
    uncompressed_bytes: int
    payload_bytes: int
    header_bytes: int


@dataclass(frozen=True, slots=True)
class MariadbGtid:
    """`xid` = (format id, gtrid, bqual) of a prepared or completed XA transaction; `alter` is '', 'start',
    'commit' or 'rollback'; `alter_start` the sequence number of the START ALTER that the latter two end.
    """

    domain: int
    server_id: int
    sequence: int
    standalone: bool
    transactional: bool
    ddl: bool
    prepared_xa: bool
    completed_xa: bool
    xid: tuple[int, bytes, bytes] | None = None
    alter: str = ""
    alter_start: int = 0


def parse_header(data: bytes | memoryview) -> Header:
    cursor = LittleEndian(data[:HEADER_BYTES])
    return Header(cursor.u32(), cursor.u8(), cursor.u32(), cursor.u32(), cursor.u32(), cursor.u16())


def parse_format_description(body: bytes | memoryview) -> FormatDescription:
    """`body` whole, with the 4 checksum bytes that this event always has at its end."""
    cursor = LittleEndian(body)
    version = cursor.u16()
    server_version = cursor.text(_SERVER_VERSION_BYTES).split("\0", 1)[0]
    created, header_bytes = cursor.u32(), cursor.u8()
    post_header = cursor.take(cursor.left - CHECKSUM_BYTES - 1)
    checksum = cursor.u8()
    if version != _BINLOG_VERSION or header_bytes != HEADER_BYTES or checksum not in (0, 1):
        message = f"a binlog of version {version} with checksums of kind {checksum}"
        raise DecodeError(message)
    return FormatDescription(version, server_version, created, header_bytes, tuple(post_header), checksum)


def parse_rotate(body: bytes | memoryview) -> Rotate:
    cursor = LittleEndian(body)
    return Rotate(cursor.u64(), cursor.text(cursor.left))


def parse_query(body: bytes | memoryview) -> Query:
    """QUERY (2); unknown status variables are skipped."""
    cursor = LittleEndian(body)
    return _query(cursor, compressed=False)


def parse_query_compressed(body: bytes | memoryview) -> Query:
    """MariaDB's QUERY_COMPRESSED (165)."""
    return _query(LittleEndian(body), compressed=True)


def _query(cursor: LittleEndian, *, compressed: bool) -> Query:
    thread_id, seconds = cursor.u32(), cursor.u32()
    database_bytes = cursor.u8()
    error, status_bytes = cursor.u16(), cursor.u16()
    status = _status(cursor.clamp(status_bytes))
    database = cursor.text(database_bytes)
    if cursor.u8():
        message = "a database name without its terminating NUL"
        raise DecodeError(message)
    sql = _inflate(cursor) if compressed else cursor.take(cursor.left)
    explicit = status.get(_EXPLICIT_TIMESTAMPS)
    if explicit is None and status.get(_FLAGS2, 0) & _EXPLICIT_TIMESTAMPS_FLAG:
        explicit = 1
    return Query(
        thread_id=thread_id,
        execution_seconds=seconds,
        error=error,
        database=database,
        sql=sql,
        flags2=status.get(_FLAGS2, 0),
        sql_mode=status.get(_SQL_MODE, 0),
        charset_id=status.get(_CHARSET, 0),
        gtid_flags=status.get(_GTID_FLAGS, 0),
        explicit_timestamps=bool(explicit) if explicit is not None else None,
    )


def _status(cursor: LittleEndian) -> dict[int, int]:
    """What we need of the status variables. After an unknown one nothing more can be told, so the rest is
    left out; the server writes those that we need first.
    """
    found: dict[int, int] = {}
    while cursor.left:
        number = cursor.u8()
        if number == _FLAGS2:
            found[number] = cursor.u32()
        elif number == _SQL_MODE:
            found[number] = cursor.u64()
        elif number == _CHARSET:
            found[number] = cursor.u16()
            cursor.skip(4)
        elif number == _EXPLICIT_TIMESTAMPS:
            found[number] = cursor.u8()
        elif number == _GTID_FLAGS:
            found[number] = cursor.u8()
            cursor.skip(8 if found[number] & (_COMMIT_ALTER | _ROLLBACK_ALTER) else 0)
        elif not _skip_status(cursor, number):
            break
    return found


def _skip_status(cursor: LittleEndian, number: int) -> bool:
    """Skip one status variable; False when its length isn't known."""
    if number in _FIXED_BYTES:
        cursor.skip(_FIXED_BYTES[number])
    elif number == _CATALOG:
        cursor.skip(cursor.u8() + 1)
    elif number in (_TIME_ZONE, _CATALOG_NZ):
        cursor.skip(cursor.u8())
    elif number == _INVOKER:
        cursor.skip(cursor.u8())
        cursor.skip(cursor.u8())
    elif number == _DATABASES:
        count = cursor.u8()
        for _ in range(0 if count == _DATABASES_NOT_LISTED else count):
            cursor.cstring()
    elif number == _CHARSET_COLLATIONS:
        cursor.skip(4 * cursor.u8())
    else:
        return False
    return True


def _inflate(cursor: LittleEndian) -> bytes:
    """MariaDB's compressed form: 0x80 | n, n bytes of length (big endian), a zlib stream."""
    flags = cursor.u8()
    length_bytes = flags & _COMPRESSED_LENGTH_BYTES
    if not flags & _COMPRESSED_FLAG or not 1 <= length_bytes <= 4:
        message = "a compressed statement with an unknown header"
        raise DecodeError(message)
    length = int.from_bytes(cursor.take(length_bytes), "big")
    inflater = zlib.decompressobj()
    try:
        # One byte more than promised, so that a longer stream shows.
        data = inflater.decompress(cursor.take(cursor.left), length + 1)
    except zlib.error as error:
        message = "a compressed statement that isn't a zlib stream"
        raise DecodeError(message) from error
    if len(data) != length or not inflater.eof:
        message = "a compressed statement of another length than announced"
        raise DecodeError(message)
    return data


def parse_xa_prepare(body: bytes | memoryview) -> XaPrepare:
    cursor = LittleEndian(body)
    one_phase, format_id = bool(cursor.u8()), cursor.u32()
    gtrid, bqual = _xid_parts(cursor, cursor.u32(), cursor.u32())
    cursor.finish()
    return XaPrepare(one_phase, format_id, gtrid, bqual)


def _xid_parts(cursor: LittleEndian, gtrid_bytes: int, bqual_bytes: int) -> tuple[bytes, bytes]:
    if gtrid_bytes > _XID_PART_BYTES or bqual_bytes > _XID_PART_BYTES:
        message = "an XA transaction id that is too long"
        raise DecodeError(message)
    return cursor.take(gtrid_bytes), cursor.take(bqual_bytes)


def parse_incident(body: bytes | memoryview) -> Incident:
    cursor = LittleEndian(body)
    number = cursor.u16()
    length = cursor.u8() if cursor.left else 0
    return Incident(number, cursor.take(length).decode("utf-8", "replace"))


def parse_payload_header(body: bytes | memoryview) -> PayloadHeader:
    """`body` may end anywhere after the header fields."""
    cursor = LittleEndian(body)
    fields: dict[int, int] = {}
    while (number := cursor.lenenc()) != _PAYLOAD_END:
        value = cursor.clamp(cursor.lenenc())
        if number in (_PAYLOAD_SIZE, _PAYLOAD_COMPRESSION, _PAYLOAD_UNCOMPRESSED):
            fields[number] = value.lenenc()
    missing = {_PAYLOAD_SIZE, _PAYLOAD_COMPRESSION} - fields.keys()
    if missing:
        message = "a compressed transaction without its size or kind of compression"
        raise DecodeError(message)
    return PayloadHeader(
        compression=fields[_PAYLOAD_COMPRESSION],
        # Left out when nothing is compressed.
        uncompressed_bytes=fields.get(_PAYLOAD_UNCOMPRESSED, fields[_PAYLOAD_SIZE]),
        payload_bytes=fields[_PAYLOAD_SIZE],
        header_bytes=len(body) - cursor.left,
    )


def parse_mariadb_gtid(body: bytes | memoryview, server_id: int) -> MariadbGtid:
    """`server_id` is the one of the event's header."""
    cursor = LittleEndian(body)
    sequence, domain, flags = cursor.u64(), cursor.u32(), cursor.u8()
    if flags & _GROUP_COMMIT:
        cursor.u64()
    xid = None
    if flags & (_PREPARED_XA | _COMPLETED_XA):
        format_id, gtrid_bytes, bqual_bytes = cursor.u32(), cursor.u8(), cursor.u8()
        xid = (format_id, *_xid_parts(cursor, gtrid_bytes, bqual_bytes))
    alter, alter_start = _alter(cursor)
    return MariadbGtid(
        domain=domain,
        server_id=server_id,
        sequence=sequence,
        standalone=bool(flags & _STANDALONE),
        transactional=bool(flags & _TRANSACTIONAL),
        ddl=bool(flags & _DDL),
        prepared_xa=bool(flags & _PREPARED_XA),
        completed_xa=bool(flags & _COMPLETED_XA),
        xid=xid,
        alter=alter,
        alter_start=alter_start,
    )


def _alter(cursor: LittleEndian) -> tuple[str, int]:
    extra = cursor.u8() if cursor.left else 0
    if extra & _MULTI_ENGINE:
        cursor.u8()
    if extra & _START_ALTER:
        return "start", 0
    if extra & (_COMMIT_ALTER | _ROLLBACK_ALTER):
        return ("commit" if extra & _COMMIT_ALTER else "rollback"), cursor.u64()
    return "", 0


def parse_gtid_list(body: bytes | memoryview) -> dict[int, tuple[int, int]]:
    """MariaDB's GTID_LIST (163): domain → (server id, sequence number); the last entry of a domain wins."""
    return {domain: (server_id, sequence) for domain, server_id, sequence in _gtid_list(LittleEndian(body))}


def _gtid_list(cursor: LittleEndian) -> Iterator[tuple[int, int, int]]:
    for _ in range(cursor.u32() & _GTID_LIST_COUNT):
        yield cursor.u32(), cursor.u32(), cursor.u64()
