"""The server's geometries (SRID and WKB) as EWKB, which PostGIS, GEOS and DuckDB read; the compiled twin is
in `special.pyx`.
"""

from __future__ import annotations

from typing import Literal

from cdc.errors import DecodeError

SRID_BYTES = 4
# The byte order and the type.
HEAD_BYTES = 5
SRID_FLAG = 0x20000000


def ewkb(data: bytes) -> bytes:
    """WKB where the SRID is 0, else EWKB with it."""
    if not data:
        # A NOT NULL column that was given no value.
        return data
    if len(data) < SRID_BYTES + HEAD_BYTES or data[SRID_BYTES] > 1:
        message = "a geometry that is not an SRID followed by WKB"
        raise DecodeError(message)
    srid, wkb = int.from_bytes(data[:SRID_BYTES], "little"), data[SRID_BYTES:]
    if srid == 0:
        return wkb
    order: Literal["little", "big"] = "little" if wkb[0] else "big"
    kind = int.from_bytes(wkb[1:HEAD_BYTES], order) | SRID_FLAG
    return wkb[:1] + kind.to_bytes(4, order) + srid.to_bytes(4, order) + wkb[HEAD_BYTES:]
