"""The sink's cursor, stored in `_cdc.cursors` and changed in the same transaction as the tables.

`_cdc.fences` contains the newest epoch that opened the sink: an older process is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cdc.merge import continuity
from cdc.merge.continuity import Fence
from cdc.model import Position
from cdc.model.position import from_microseconds
from cdc.spi import Cursor, SinkContext
from cdc.sql.connection import Connection


def take_fence(connection: Connection, source: str, context: SinkContext, where: str) -> None:
    """Store this process as the newest one that opened the sink for this source; within a transaction."""
    check_fence(connection, source, context, where, has_rows=read(connection, source) is not None)
    fences = connection.dialect.own("fences")
    connection.query(f"delete from {fences} where source = ?", [source])
    connection.query(
        f"insert into {fences} (source, epoch, log) values (?, ?, ?)", [source, context.epoch, context.log_id]
    )


def check_fence(
    connection: Connection, source: str, context: SinkContext, where: str, *, has_rows: bool = True
) -> None:
    """Raise SinkFenced if a newer process has opened the sink, SinkRefused if it contains another log's
    rows.
    """
    query = f"select epoch, log from {connection.dialect.own('fences')} where source = ?"
    found = connection.query(query, [source])
    fence = Fence(found[0][0], found[0][1] or "") if found else None
    continuity.check_fence(fence, context, has_rows=has_rows, where=where)


def read(connection: Connection, source: str) -> Cursor | None:
    """Return the cursor; None if nothing was ever applied."""
    dialect = connection.dialect
    found = connection.query(
        f'select "offset", position_order, position, {dialect.microseconds("commit_at")}, epoch, high '
        f"from {dialect.own('cursors')} where source = ?",
        [source],
    )
    if not found:
        return None
    offset, order, text, commit_us, epoch, high = found[0]
    commit_at = None if commit_us is None else from_microseconds(commit_us)
    return Cursor(source, offset, Position(int(order), text), commit_at, epoch, high)


def log_of(connection: Connection, source: str) -> str:
    """Return the identity of the cursor's log; '' if an older version wrote it."""
    try:
        query = f"select log from {connection.dialect.own('fences')} where source = ?"
        found = connection.query(query, [source])
    except connection.Error:
        return ""
    return str(found[0][0] or "") if found else ""


def write(connection: Connection, cursor: Cursor) -> None:
    """Replace the cursor of this source."""
    dialect = connection.dialect
    cursors, position = dialect.own("cursors"), cursor.position
    columns = 'source, "offset", position, commit_at, epoch, high, applied_at, position_order'
    commit_at, now = dialect.moment(cursor.commit_at), dialect.moment(datetime.now(UTC))
    connection.query(f"delete from {cursors} where source = ?", [cursor.source])
    connection.query(
        f"insert into {cursors} ({columns}) values (?, ?, ?, {commit_at}, ?, ?, {now}, ?)",
        [cursor.source, cursor.next, position.text, cursor.epoch, cursor.high, str(position.order)],
    )
