"""Values of MariaDB's COMPRESSED columns.

The first byte says how the rest is stored: 0, as it is; else `0x80 | raw << 3 | n`: n bytes of the original
length, big-endian, then deflate (`raw`) or zlib. An empty value has no bytes at all.
"""

from __future__ import annotations

import zlib

from cdc.errors import DecodeError

_STORED = 0
_ZLIB = 0x80
_METHOD_MASK = 0xF0
_RAW = 0x08
_LENGTH_MASK = 0x07
_MAX_LENGTH_BYTES = 4


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
