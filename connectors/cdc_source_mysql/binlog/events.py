"""The rare events of the binlog, parsed without any I/O.

Rows, transactions' begins and ends, and heartbeats are not here: the decoders of `cdc_source_mysql.wire` read
them. Bodies come without the 19-byte header and without a checksum. Anything that isn't whole is a
DecodeError.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdc.errors import DecodeError
from cdc.native.cursor_python import Reader
from cdc_source_mysql.wire.codes import HEADER_BYTES, MARIADB_PREPARED_XA

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
# The second and third number of _CHARSET; no status variable has these numbers.
_CONNECTION_COLLATION, _SERVER_COLLATION = -2, -1
# MariaDB (since 10.10) says it among the flags; older versions never do.
_EXPLICIT_TIMESTAMPS_FLAG = 1 << 24
# MariaDB's extra flags, in a status variable.
_COMMIT_ALTER, _ROLLBACK_ALTER = 4, 8
# A flag of MariaDB's GTID event: the number of its group comes before the id of an XA transaction.
_GROUP_COMMIT = 2
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
class Query:
    """`sql` is raw: its characters are of the collation id `charset_id` (the client's; 0 unknown).
    `connection_collation_id` and `server_collation_id` are the session's collation_connection and
    collation_server (0 unknown).
    """

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
    connection_collation_id: int = 0
    server_collation_id: int = 0


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


def parse_header(data: bytes | memoryview) -> Header:
    cursor = Reader.of(data[:HEADER_BYTES])
    return Header(
        cursor.little(4), cursor.u8(), cursor.little(4), cursor.little(4), cursor.little(4), cursor.little(2)
    )


def parse_query(body: bytes | memoryview) -> Query:
    """QUERY (2); unknown status variables are skipped."""
    cursor = Reader.of(body)
    thread_id, seconds = cursor.little(4), cursor.little(4)
    database_bytes = cursor.u8()
    error, status_bytes = cursor.little(2), cursor.little(2)
    status = _status(cursor.clamp(status_bytes))
    database = cursor.text(database_bytes)
    if cursor.u8():
        message = "a database name without its terminating NUL"
        raise DecodeError(message)
    explicit = status.get(_EXPLICIT_TIMESTAMPS)
    if explicit is None and status.get(_FLAGS2, 0) & _EXPLICIT_TIMESTAMPS_FLAG:
        explicit = 1
    return Query(
        thread_id=thread_id,
        execution_seconds=seconds,
        error=error,
        database=database,
        sql=cursor.take(cursor.left),
        flags2=status.get(_FLAGS2, 0),
        sql_mode=status.get(_SQL_MODE, 0),
        charset_id=status.get(_CHARSET, 0),
        gtid_flags=status.get(_GTID_FLAGS, 0),
        explicit_timestamps=bool(explicit) if explicit is not None else None,
        connection_collation_id=status.get(_CONNECTION_COLLATION, 0),
        server_collation_id=status.get(_SERVER_COLLATION, 0),
    )


def _status(cursor: Reader) -> dict[int, int]:
    """Return the status variables that the connector needs. An unknown variable ends the reading, because
    its size is unknown; the server writes the needed ones first.
    """
    found: dict[int, int] = {}
    while cursor.left:
        number = cursor.u8()
        if number == _FLAGS2:
            found[number] = cursor.little(4)
        elif number == _SQL_MODE:
            found[number] = cursor.little(8)
        elif number == _CHARSET:
            found[number] = cursor.little(2)
            found[_CONNECTION_COLLATION] = cursor.little(2)
            found[_SERVER_COLLATION] = cursor.little(2)
        elif number == _EXPLICIT_TIMESTAMPS:
            found[number] = cursor.u8()
        elif number == _GTID_FLAGS:
            found[number] = cursor.u8()
            cursor.skip(8 if found[number] & (_COMMIT_ALTER | _ROLLBACK_ALTER) else 0)
        elif not _skip_status(cursor, number):
            break
    return found


def _skip_status(cursor: Reader, number: int) -> bool:
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
            cursor.until_nul()
    elif number == _CHARSET_COLLATIONS:
        cursor.skip(4 * cursor.u8())
    else:
        return False
    return True


def parse_xa_prepare(body: bytes | memoryview) -> XaPrepare:
    cursor = Reader.of(body)
    one_phase, format_id = bool(cursor.u8()), cursor.little(4)
    gtrid, bqual = _xid_parts(cursor, cursor.little(4), cursor.little(4))
    cursor.finish()
    return XaPrepare(one_phase, format_id, gtrid, bqual)


def _xid_parts(cursor: Reader, gtrid_bytes: int, bqual_bytes: int) -> tuple[bytes, bytes]:
    if gtrid_bytes > _XID_PART_BYTES or bqual_bytes > _XID_PART_BYTES:
        message = "an XA transaction id that is too long"
        raise DecodeError(message)
    return cursor.take(gtrid_bytes), cursor.take(bqual_bytes)


def parse_incident(body: bytes | memoryview) -> Incident:
    cursor = Reader.of(body)
    number = cursor.little(2)
    length = cursor.u8() if cursor.left else 0
    return Incident(number, cursor.take(length).decode("utf-8", "replace"))


def parse_prepared_xid(body: bytes | memoryview) -> tuple[int, bytes, bytes] | None:
    """Format id, gtrid and bqual of the XA transaction whose PREPARE follows a GTID event of MariaDB; None
    when something else does.
    """
    cursor = Reader.of(body)
    # Sequence number and domain.
    cursor.skip(12)
    flags = cursor.u8()
    if not flags & MARIADB_PREPARED_XA:
        return None
    if flags & _GROUP_COMMIT:
        cursor.skip(8)
    format_id, gtrid_bytes, bqual_bytes = cursor.little(4), cursor.u8(), cursor.u8()
    return format_id, *_xid_parts(cursor, gtrid_bytes, bqual_bytes)
