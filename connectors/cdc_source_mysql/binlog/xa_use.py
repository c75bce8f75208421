"""Whether XA is used on a MariaDB server, whose binlog has such rows before they can be seen."""

from __future__ import annotations

from typing import Any

# Counted when the statement begins, before anything of it is in the binlog. FLUSH STATUS sets the counters
# back, and leaves the two times apart.
_USES = """
    select variable_name, variable_value from information_schema.global_status
    where variable_name in ('COM_XA_COMMIT', 'COM_XA_ROLLBACK', 'UPTIME', 'UPTIME_SINCE_FLUSH_STATUS')
"""


def may_have_xa(cursor: Any, *, rolled_back: bool = False) -> bool:
    """Whether an XA COMMIT (or, where asked, an XA ROLLBACK) has begun since the server's start, or nothing
    tells that there was none.
    """
    cursor.execute(_USES)
    found = {str(name).upper(): int(value) for name, value in cursor.fetchall()}
    uses = found["COM_XA_COMMIT"] + (found["COM_XA_ROLLBACK"] if rolled_back else 0)
    return uses > 0 or found["UPTIME"] != found["UPTIME_SINCE_FLUSH_STATUS"]
