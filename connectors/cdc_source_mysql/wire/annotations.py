"""What MariaDB says about the statement behind a rows event.

Its REPLACE over an existing row may be logged as an update, whose image holds the columns that the statement
names: all others have their defaults now, though the event reads as if they were unchanged. With full images
nothing is missing. Of other images only the statement tells which of the two they are.
"""

from __future__ import annotations

import re

# The statement's beginning is enough, and a bulk INSERT has megabytes.
KEPT_BYTES = 512
# Of a rows event: its statement has no further one.
STATEMENT_END = 0x01
_NAME = rb'(?:`(?:[^`]|``)+`|"(?:[^"]|"")+"|[0-9A-Za-z_$\x80-\xff]+)'
# An UPDATE, or an INSERT (with ON DUPLICATE KEY UPDATE), and the first table that it names.
_CHANGES = re.compile(
    rb"(?:\s|/\*[^!M].*?\*/|--\s[^\n]*\n|#[^\n]*\n)*"
    rb"(?:update(?:\s+(?:low_priority|ignore))*|insert(?:\s+(?:low_priority|delayed|high_priority|ignore))*(?:\s+into)?)"
    rb"\s*(?:(" + _NAME + rb")\s*\.\s*)?(" + _NAME + rb")(?=[\s(]|$)",
    re.IGNORECASE | re.DOTALL,
)


def is_update_of(statement: bytes, table: str) -> bool:
    """Whether the statement updates this table (`database.name`) itself, and so all that it does to it is in
    the images: no trigger or function may change a table that its statement uses.
    """
    found = _CHANGES.match(statement)
    if found is None:
        return False
    database, _, name = table.partition(".")
    said = _plain(found[1]) if found[1] else database.lower()
    return (said, _plain(found[2])) == (database.lower(), name.lower())


def _plain(name: bytes) -> str:
    quote = name[:1] if name[:1] in b'`"' else b""
    bare = name[1:-1].replace(quote * 2, quote) if quote else name
    return bare.decode("utf-8", "replace").lower()
