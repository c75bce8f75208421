"""The rare events of the binlog, parsed without any I/O.

Rows, transactions' begins and ends, and heartbeats are not here: the decoders of `connectors.mysql.wire` read
them. Bodies come without the 19-byte header and without a checksum. Anything that isn't whole is a
DecodeError.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER_BYTES = 19


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
    raise NotImplementedError


def parse_format_description(body: bytes | memoryview) -> FormatDescription:
    """`body` whole, with the 4 checksum bytes that this event always has at its end."""
    raise NotImplementedError


def parse_rotate(body: bytes | memoryview) -> Rotate:
    raise NotImplementedError


def parse_query(body: bytes | memoryview) -> Query:
    """QUERY (2); unknown status variables are skipped."""
    raise NotImplementedError


def parse_query_compressed(body: bytes | memoryview) -> Query:
    """MariaDB's QUERY_COMPRESSED (165)."""
    raise NotImplementedError


def parse_xa_prepare(body: bytes | memoryview) -> XaPrepare:
    raise NotImplementedError


def parse_incident(body: bytes | memoryview) -> Incident:
    raise NotImplementedError


def parse_payload_header(body: bytes | memoryview) -> PayloadHeader:
    """`body` may end anywhere after the header fields."""
    raise NotImplementedError


def parse_mariadb_gtid(body: bytes | memoryview, server_id: int) -> MariadbGtid:
    """`server_id` is the one of the event's header."""
    raise NotImplementedError


def parse_gtid_list(body: bytes | memoryview) -> dict[int, tuple[int, int]]:
    """MariaDB's GTID_LIST (163): domain → (server id, sequence number); the last entry of a domain wins."""
    raise NotImplementedError
