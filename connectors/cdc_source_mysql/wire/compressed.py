"""MariaDB's compression with zlib: values of COMPRESSED columns, statements and the bodies of rows events.

The first byte says how the rest is stored: 0, as it is; else `0x80 | raw << 3 | n`: n bytes of the original
length, big-endian, then deflate (`raw`) or zlib. An empty value has no bytes at all.
"""

from __future__ import annotations

import struct
import zlib

from cdc.errors import DecodeError
from cdc_source_mysql.wire.codes import HEADER_BYTES, QUERY_COMPRESSED_EVENT, QUERY_EVENT

_STORED = 0
_ZLIB = 0x80
_METHOD_MASK = 0xF0
_RAW = 0x08
_LENGTH_MASK = 0x07
_MAX_LENGTH_BYTES = 4
# Where an event's header has its type and its size.
_TYPE_AT = 4
_SIZE_AT = 9
# In a statement's event, after the header: thread, time, length of the database's name, error, length of the
# variables.
_POST_HEADER = struct.Struct("<IIBHH")
_SIZE = struct.Struct("<I")
# The methods and lengths that a compressed body's first byte may say: zlib, with 1 to 4 bytes of length.
_ZLIB_FIRST, _ZLIB_LAST = 0x81, 0x84


def inflate(data: bytes) -> bytes:
    """The value; no more memory is taken than its declared length."""
    if not data or data[0] == _STORED:
        return data[1:]
    length_bytes = data[0] & _LENGTH_MASK
    if data[0] & _METHOD_MASK != _ZLIB or not 1 <= length_bytes <= _MAX_LENGTH_BYTES:
        message = f"a compressed value with the header {data[0]:#04x}, which is not zlib's"
        raise DecodeError(message)
    size = int.from_bytes(data[1 : 1 + length_bytes], "big")
    decompress = zlib.decompressobj(-zlib.MAX_WBITS if data[0] & _RAW else zlib.MAX_WBITS)
    try:
        # One byte of room more than declared shows what is too long.
        value = decompress.decompress(data[1 + length_bytes :], size + 1)
    except zlib.error:
        message = "a compressed value that is damaged"
        raise DecodeError(message) from None
    if len(value) != size or not decompress.eof or decompress.unused_data:
        message = "a compressed value whose length is not the declared one"
        raise DecodeError(message)
    return value


def plain_query(event: bytes) -> bytes:
    """The event as it is, but MariaDB's QUERY_COMPRESSED as the QUERY that it was."""
    if event[_TYPE_AT] != QUERY_COMPRESSED_EVENT:
        return event
    if len(event) < HEADER_BYTES + _POST_HEADER.size:
        message = "a compressed statement that ends in its header"
        raise DecodeError(message)
    _, _, database, _, variables = _POST_HEADER.unpack_from(event, HEADER_BYTES)
    at = HEADER_BYTES + _POST_HEADER.size + variables + database + 1
    plain = bytearray(event[:at] + inflate_body(event[at:]))
    plain[_TYPE_AT] = QUERY_EVENT
    _SIZE.pack_into(plain, _SIZE_AT, len(plain))
    return bytes(plain)


def inflate_body(data: bytes) -> bytes:
    """Inflate the compressed part of an event's body."""
    if not data or not _ZLIB_FIRST <= data[0] <= _ZLIB_LAST:
        message = "a compressed event whose compression is not zlib's"
        raise DecodeError(message)
    return inflate(data)
