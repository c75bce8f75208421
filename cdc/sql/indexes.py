"""Indexes that someone created on the sink's tables: a table that replaces another gets them too.

Not every target can create an index in the transaction that renames its table. The transaction that drops
the old table notes its indexes in `_cdc.indexes`. They are created after it, or at the
next start if the process ends first.
"""

from __future__ import annotations

from cdc.model import TableId
from cdc.spi import SinkContext
from cdc.sql.connection import Connection


def note(connection: Connection, place: TableId) -> None:
    """Note the indexes of a table that is about to be dropped."""
    for statement in connection.indexes_of(place):
        connection.query(f"insert into {connection.dialect.own('indexes')} values (?)", [statement])


def recreate(connection: Connection, context: SinkContext) -> None:
    """Create the indexes that are noted; one that no longer fits its table is reported and forgotten."""
    for (statement,) in connection.query(f"select statement from {connection.dialect.own('indexes')}"):
        connection.begin()
        try:
            connection.run(statement)
            _forget(connection, statement)
            connection.commit()
        except connection.Error as error:
            connection.roll_back()
            context.log(
                "could not recreate an index: it no longer fits its table",
                level="warning",
                statement=statement,
                kind=type(error).__name__,
            )
            _forget(connection, statement)


def _forget(connection: Connection, statement: str) -> None:
    connection.query(f"delete from {connection.dialect.own('indexes')} where statement = ?", [statement])
