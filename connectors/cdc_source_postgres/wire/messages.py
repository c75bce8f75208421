"""The rare messages of the replication protocol, parsed and built without any I/O.

Rows, Begin and Commit are not here: the decoders of `cdc_source_postgres.wire.decoder` read them.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor
from cdc_source_postgres.wire.calendar import EPOCH_MICROSECONDS

_STATUS = struct.Struct(">cQQQqB")
_KEY_FLAG = 1
_LSN_HALF_BITS = 32
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})\Z")


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """One column of a Relation message; `flags` is 1 for a part of the replica identity."""

    flags: int
    name: str
    type_oid: int
    typmod: int


@dataclass(frozen=True, slots=True)
class Relation:
    """The shape of the rows that follow; `replident` is d, n, f or i."""

    relid: int
    namespace: str
    name: str
    replident: str
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class Truncate:
    """The tables of a TRUNCATE, those that CASCADE reached included; their sequences are not followed."""

    relids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A type outside the built-in ones; for a domain the name is its base type's."""

    oid: int
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    transactional: bool
    lsn: int
    prefix: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Keepalive:
    wal_end: int
    sent_at_us: int
    reply_requested: bool


def _open(payload: bytes | memoryview, tag: str) -> BigEndianCursor:
    cursor = BigEndianCursor(payload)
    found = chr(cursor.u8())
    if found != tag:
        message = f"a message {found!r} where {tag!r} is expected"
        raise DecodeError(message)
    return cursor


def parse_relation(payload: bytes | memoryview) -> Relation:
    cursor = _open(payload, "R")
    relid = cursor.u32()
    # The server sends an empty name for pg_catalog.
    namespace = cursor.cstring() or "pg_catalog"
    name, replident, count = cursor.cstring(), chr(cursor.u8()), cursor.i16()
    if count < 0 or replident not in "dnfi":
        message = f"a relation of {count} columns with replica identity {replident!r}"
        raise DecodeError(message, where=f"{namespace}.{name}")
    columns = tuple(
        RelationColumn(cursor.u8() & _KEY_FLAG, cursor.cstring(), cursor.u32(), cursor.i32())
        for _ in range(count)
    )
    cursor.finish()
    return Relation(relid, namespace, name, replident, columns)


def parse_truncate(payload: bytes | memoryview) -> Truncate:
    cursor = _open(payload, "T")
    count, _options = cursor.u32(), cursor.u8()
    if count * 4 != cursor.left:
        message = f"a truncate of {count} tables in {cursor.left} bytes"
        raise DecodeError(message)
    return Truncate(tuple(cursor.u32() for _ in range(count)))


def parse_type(payload: bytes | memoryview) -> TypeInfo:
    cursor = _open(payload, "Y")
    info = TypeInfo(cursor.u32(), cursor.cstring() or "pg_catalog", cursor.cstring())
    cursor.finish()
    return info


def parse_message(payload: bytes | memoryview) -> LogicalMessage:
    cursor = _open(payload, "M")
    flags, lsn, prefix = cursor.u8(), cursor.u64(), cursor.cstring()
    content = cursor.take(cursor.u32())
    cursor.finish()
    return LogicalMessage(bool(flags & 1), lsn, prefix, content)


def parse_keepalive(payload: bytes | memoryview) -> Keepalive:
    """The whole `k` frame; `sent_at_us` counts from 1970."""
    cursor = _open(payload, "k")
    keepalive = Keepalive(cursor.u64(), cursor.i64() + EPOCH_MICROSECONDS, bool(cursor.u8()))
    cursor.finish()
    return keepalive


def encode_status(written: int, flushed: int, applied: int, clock_us: int, reply: bool) -> bytes:  # noqa: FBT001
    """A standby status update; `clock_us` counts from 1970."""
    return _STATUS.pack(b"r", written, flushed, applied, clock_us - EPOCH_MICROSECONDS, reply)


def lsn_text(lsn: int) -> str:
    """`16/B374D848`."""
    return f"{lsn >> _LSN_HALF_BITS:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_int(text: str) -> int:
    """The inverse of `lsn_text`; ValueError when it isn't one."""
    match = _LSN.match(text)
    if match is None:
        message = f"{text!r} is not a log sequence number"
        raise ValueError(message)
    return int(match[1], 16) << _LSN_HALF_BITS | int(match[2], 16)
