"""How far the sink is, kept in `_cdc.cursors` and changed in the same transaction as the tables.

`_cdc.fences` holds the newest epoch that opened the sink: an older process is refused, whatever it still has
in hand.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from cdc.errors import SinkRefused
from cdc.model import Position
from cdc.spi import Cursor, SinkContext, fencing
from cdc.spi.fencing import Fence
from cdc_sink_duckdb.catalog import FORMAT_VERSION, TABLES
from cdc_sink_duckdb.shape import run

_AT = pa.timestamp("us", "UTC")


def prepare(connection: Any, source: str, context: SinkContext, path: str) -> None:
    """Make the sink's own tables and take the fence; within a transaction."""
    for statement in TABLES.strip().removesuffix(";").split(";"):
        run(connection, statement)
    found = connection.execute("select format from _cdc.meta").fetchall()
    if not found:
        run(connection, f"insert into _cdc.meta values ({FORMAT_VERSION})")
    elif found[0][0] > FORMAT_VERSION:
        raise SinkRefused(
            f"the file is of format {found[0][0]}, this version writes {FORMAT_VERSION}",
            where=path,
            remedy="Upgrade the daemon to the version that wrote the file.",
        )
    check_fence(connection, source, context, path, has_rows=read(connection, source) is not None)
    connection.execute("delete from _cdc.fences where source = ?", [source]).fetchall()
    connection.execute(
        "insert into _cdc.fences (source, epoch, log) values (?, ?, ?)",
        [source, context.epoch, context.log_id],
    ).fetchall()


def check_fence(
    connection: Any, source: str, context: SinkContext, path: str, *, has_rows: bool = True
) -> None:
    """SinkFenced when a newer process has opened the sink, SinkRefused when it holds another log's rows."""
    found = connection.execute("select epoch, log from _cdc.fences where source = ?", [source]).fetchall()
    fence = Fence(found[0][0], found[0][1] or "") if found else None
    fencing.check_fence(fence, context, has_rows=has_rows, where=path)


def is_there(connection: Any) -> bool:
    """Whether the file has cursors: it is one of ours, prepared at least once."""
    known = connection.execute(
        "select 1 from duckdb_tables() where database_name = current_database() "
        "and schema_name = '_cdc' and table_name = 'cursors'"
    ).fetchall()
    return bool(known)


def read(connection: Any, source: str) -> Cursor | None:
    """The cursor; None when nothing was ever applied."""
    # Microseconds, not a timestamp: DuckDB would need the package pytz to make Python values of those.
    found = connection.execute(
        'select "offset", position_order, position, epoch_us(commit_at), epoch, high '
        "from _cdc.cursors where source = ?",
        [source],
    ).fetchall()
    if not found:
        return None
    offset, order, text, commit_us, epoch, high = found[0]
    commit_at = None if commit_us is None else pa.scalar(commit_us, _AT).as_py().replace(tzinfo=UTC)
    return Cursor(source, offset, Position(int(order), text), commit_at, epoch, high)


def write(connection: Any, cursor: Cursor) -> None:
    """Replace the cursor of this source."""
    row = pa.table(
        {
            "source": [cursor.source],
            "offset": [cursor.next],
            "position": [cursor.position.text],
            "commit_at": pa.array([cursor.commit_at], _AT),
            "epoch": [cursor.epoch],
            "high": [cursor.high],
            "applied_at": pa.array([datetime.now(UTC)], _AT),
            "position_order": [str(cursor.position.order)],
        }
    )
    connection.execute("delete from _cdc.cursors where source = ?", [cursor.source]).fetchall()
    run(connection, "insert into _cdc.cursors select * from _cdc_given", row)
