"""The XA transactions that a server lists as prepared."""

from __future__ import annotations

from typing import Any, Final

from cdc_source_mysql.binlog.transactions import Xid

# Names are bytes. MySQL shows them as text, which not all of them are, unless it is asked for digits.
STATEMENTS: Final = {"mysql": "xa recover convert xid", "mariadb": "xa recover"}


def listed(cursor: Any, flavour: str) -> frozenset[str]:
    """Their names, as `Xid.key`."""
    cursor.execute(STATEMENTS[flavour])
    return frozenset(_key(*row) for row in cursor.fetchall())


def _key(format_id: int, gtrid_bytes: int, bqual_bytes: int, shown: str | bytes) -> str:
    del bqual_bytes
    name = bytes.fromhex(shown.removeprefix("0x")) if isinstance(shown, str) else shown
    return Xid(format_id, name[:gtrid_bytes], name[gtrid_bytes:]).key
