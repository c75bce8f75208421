"""Builds binlog events and the packets that carry them, byte by byte, as MySQL and MariaDB send them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from cdc.model import TableId
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition
from cdc_source_mysql.schema.type_plan import ColumnPlan, TablePlan, plan_table
from cdc_source_mysql.wire import codes

UUID = bytes(range(16))
UUID_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"
FILE = "binlog.000001"
# A column that an image does not have.
ABSENT = object()
Image = Sequence[Any]


def plans(*types: str, policy: str = "error", flavour: str = "mysql") -> tuple[ColumnPlan, ...]:
    """Columns c0, c1, … of these types, as information_schema names them."""
    columns = tuple(
        ColumnDefinition(
            f"c{i}",
            text,
            charset="utf8mb4" if _has_characters(text) else None,
            collation="utf8mb4_bin" if _has_characters(text) else None,
            labels=tuple(text.partition("(")[2].rstrip(")").replace("'", "").split(","))
            if text.startswith(("enum", "set"))
            else (),
        )
        for i, text in enumerate(types)
    )
    return plan_table(TableDefinition(TableId("s", "t"), columns), None, flavour, policy)


def _has_characters(text: str) -> bool:
    return text.startswith(("char", "varchar", "enum", "set")) or text.endswith("text")


def table_plan(
    columns: Sequence[ColumnPlan], key: Sequence[int] = (0,), handle: int = 1, **more: Any
) -> TablePlan:
    return TablePlan(handle, more.pop("table", "s.t"), tuple(columns), tuple(key), **more)


def event(
    kind: int,
    body: bytes,
    *,
    log_pos: int = 0,
    flags: int = 0,
    at: int = 1_700_000_000,
    server_id: int = 1,
    checksum: bool = False,
) -> bytes:
    size = codes.HEADER_BYTES + len(body) + (codes.CHECKSUM_BYTES if checksum else 0)
    data = struct.pack("<IBIIIH", at, kind, server_id, size, log_pos, flags) + body
    return data + struct.pack("<I", zlib.crc32(data)) if checksum else data


def packet(data: bytes, *, status: bytes = b"\0") -> bytes:
    """The packet, or the packets, of one event."""
    payload = status + data
    parts = []
    while len(payload) >= codes.LONGEST_PACKET_BYTES:
        parts.append(payload[: codes.LONGEST_PACKET_BYTES])
        payload = payload[codes.LONGEST_PACKET_BYTES :]
    parts.append(payload)
    return b"".join(len(p).to_bytes(3, "little") + bytes([i % 256]) + p for i, p in enumerate(parts))


def packets(events: Iterable[bytes]) -> bytes:
    return b"".join(map(packet, events))


def lenenc(number: int) -> bytes:
    if number < 0xFB:
        return bytes([number])
    return b"\xfc" + struct.pack("<H", number) if number < 1 << 16 else b"\xfe" + struct.pack("<Q", number)


def rotate(file: str = FILE, position: int = 4, *, artificial: bool = True, checksum: bool = False) -> bytes:
    flags, at = (codes.ARTIFICIAL_FLAG, 0) if artificial else (0, 1)
    body = struct.pack("<Q", position) + file.encode()
    return event(codes.ROTATE_EVENT, body, flags=flags, at=at, checksum=checksum)


def format_description(*, checksum: bool = False, log_pos: int = 0, created: int = 0) -> bytes:
    body = struct.pack("<H50sIB", 4, b"9.7.4", created, 19) + bytes(42) + bytes([checksum])
    return event(codes.FORMAT_DESCRIPTION_EVENT, body, checksum=True, log_pos=log_pos)


def start(*, checksum: bool = False) -> list[bytes]:
    """What every dump begins with."""
    return [rotate(), format_description(checksum=checksum)]


def gtid(
    number: int = 1, *, commit_us: int = 0, original_us: int = 0, uuid: bytes = UUID, **more: Any
) -> bytes:
    body = struct.pack("<B16sqB", 0, uuid, number, 2) + struct.pack("<qq", 0, 1)
    if commit_us:
        body += (commit_us | (1 << 55 if original_us else 0)).to_bytes(7, "little")
        body += original_us.to_bytes(7, "little") if original_us else b""
        body += lenenc(100) + struct.pack("<I", 90704)
    return event(more.pop("kind", codes.GTID_EVENT), body, **more)


def varlen(number: int) -> bytes:
    """A number in the format of tagged GTID events."""
    more = max(0, (number.bit_length() - 1) // 7)
    if more >= 8:
        return b"\xff" + struct.pack("<Q", number)
    return (number << (more + 1) | ((1 << more) - 1)).to_bytes(more + 1, "little")


def tagged_gtid(number: int, tag: str, *, commit_us: int = 0, **more: Any) -> bytes:
    fields = b"".join(
        [
            varlen(0) + varlen(0),
            varlen(1) + b"".join(map(varlen, UUID)),
            varlen(2) + varlen(number << 1),
            varlen(3) + varlen(len(tag)) + tag.encode(),
            varlen(4) + varlen(0),
            varlen(5) + varlen(2),
            varlen(6) + varlen(commit_us),
            varlen(8) + varlen(300),
        ]
    )
    return event(codes.GTID_TAGGED_EVENT, varlen(1) + varlen(60) + varlen(0) + fields, **more)


def mariadb_gtid(number: int, domain: int = 0, flags: int = 0, *, xid: bytes = b"", **more: Any) -> bytes:
    body = struct.pack("<QIB", number, domain, flags)
    if flags & (codes.MARIADB_PREPARED_XA | codes.MARIADB_COMPLETED_XA):
        body += struct.pack("<IBB", 1, len(xid), 0) + xid
    return event(codes.MARIADB_GTID_EVENT, body.ljust(19, b"\0"), **more)


def query(sql: str, database: str = "s", *, variables: bytes = b"", **more: Any) -> bytes:
    name = database.encode()
    body = struct.pack("<IIBHH", 7, 0, len(name), 0, len(variables)) + variables + name + b"\0" + sql.encode()
    return event(codes.QUERY_EVENT, body, **more)


def compressed(data: bytes) -> bytes:
    """As MariaDB compresses the body of an event."""
    size = len(data).to_bytes(4, "big")
    return b"\x84" + size + zlib.compress(data)


def query_compressed(sql: str) -> bytes:
    body = struct.pack("<IIBHH", 7, 0, 1, 0, 0) + b"s\0" + compressed(sql.encode())
    return event(codes.QUERY_COMPRESSED_EVENT, body)


def xid(number: int = 5, **more: Any) -> bytes:
    return event(codes.XID_EVENT, struct.pack("<Q", number), **more)


def table_map_body(table_id: int = 70, table: str = "t", columns: int = 2, tail: bytes = b"") -> bytes:
    """Enough of one for a decoder, which knows tables by these bytes."""
    name = table.encode()
    head = table_id.to_bytes(6, "little") + struct.pack("<H", 1)
    return (
        head + b"\x01s\0" + bytes([len(name)]) + name + b"\0" + lenenc(columns) + bytes([3]) * columns + tail
    )


def table_map(
    table_id: int = 70, table: str = "t", columns: int = 2, tail: bytes = b"", **more: Any
) -> bytes:
    return event(codes.TABLE_MAP_EVENT, table_map_body(table_id, table, columns, tail), **more)


def bitmap(flags: Sequence[bool], *, padding: bool = True) -> bytes:
    """The first flag in the lowest bit; MySQL pads with ones."""
    count = (len(flags) + 7) // 8
    bits = sum(1 << i for i, flag in enumerate(flags) if flag)
    if padding:
        bits |= sum(1 << i for i in range(len(flags), count * 8))
    return bits.to_bytes(count, "little")


def image(values: Image) -> bytes:
    here = [value for value in values if value is not ABSENT]
    nulls = bitmap([value is None for value in here], padding=False)
    return nulls + b"".join(value for value in here if value is not None)


def present(values: Image) -> bytes:
    return bitmap([value is not ABSENT for value in values])


def rows_body(images: Sequence[Image], *, pairs: bool = False, table_id: int = 70, version: int = 2) -> bytes:
    """Images of rows; in pairs, of updated ones: old, new, old, new. All have the columns of the first."""
    head = rows_head(images, pairs=pairs, table_id=table_id, version=version)
    return head + b"".join(map(image, images))


def rows_head(images: Sequence[Image], *, pairs: bool, table_id: int = 70, version: int = 2) -> bytes:
    head = table_id.to_bytes(6, "little") + struct.pack("<H", 1)
    if version == 2:
        head += struct.pack("<H", 7) + b"\x01\0\0\0\0"
    shapes = images[:2] if pairs else images[:1]
    return head + lenenc(len(images[0])) + b"".join(map(present, shapes))


def write(*images: Image, table_id: int = 70, **more: Any) -> bytes:
    return event(codes.WRITE_ROWS_EVENT, rows_body(images, table_id=table_id), **more)


def update(*images: Image, table_id: int = 70, **more: Any) -> bytes:
    return event(codes.UPDATE_ROWS_EVENT, rows_body(images, pairs=True, table_id=table_id), **more)


def delete(*images: Image, table_id: int = 70, **more: Any) -> bytes:
    return event(codes.DELETE_ROWS_EVENT, rows_body(images, table_id=table_id), **more)


def payload(events: Sequence[bytes], *, method: int = 0, size: int | None = None, **more: Any) -> bytes:
    """A compressed transaction."""
    plain = b"".join(events)
    data = pa.compress(plain, codec="zstd", asbytes=True) if method == 0 else plain
    fields = [(2, lenenc(method)), (3, lenenc(len(plain) if size is None else size)), (1, lenenc(len(data)))]
    head = b"".join(lenenc(kind) + lenenc(len(value)) + value for kind, value in fields)
    return event(codes.TRANSACTION_PAYLOAD_EVENT, head + b"\0" + data, **more)


def transaction(*events: bytes, number: int = 1) -> list[bytes]:
    """With a GTID, on MySQL."""
    return [gtid(number), query("BEGIN"), *events, xid()]


def i32(value: int) -> bytes:
    return struct.pack("<i", value)


def text(value: str) -> bytes:
    """Of a varchar of less than 256 bytes."""
    data = value.encode()
    return bytes([len(data)]) + data
