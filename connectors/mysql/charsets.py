"""Character sets of the server: collation ids, and exact conversion of stored bytes to text.

"Exact" means: as the server itself converts to utf8mb4. Python's codecs differ from it in places; those
places are listed here and the tests compare every character with real servers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Collation:
    """One row of information_schema.COLLATIONS; `max_bytes` is CHARACTER_SETS.MAXLEN."""

    id: int
    name: str
    charset: str
    max_bytes: int


def wire_charset(charset: str) -> str:
    """What a ColumnPlan says of a character set: 'utf8' (utf8mb3 and utf8mb4), 'ascii', 'latin1', 'binary'
    are read natively; any other name is the server's own (`ucs2`, `gbk`, …) and goes through `decode_texts`.

    Raises:
        UnsupportedSchema: no exact conversion is known.
    """
    raise NotImplementedError


def decode_text(data: bytes, charset: str) -> str | None:
    """The text of bytes stored in `charset` (the server's name, or one of ColumnPlan.charset's); None when
    the bytes have no counterpart.
    """
    raise NotImplementedError
