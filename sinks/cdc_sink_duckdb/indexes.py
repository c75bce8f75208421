"""Indexes that someone made on the sink's tables: a table that replaces another gets them too.

DuckDB can't make an index in the transaction that renames its table. The transaction that drops the old table
notes its indexes in `_cdc.indexes`; they are made after it, or, if the process ends first, at the next start.
"""

from __future__ import annotations

from cdc.model import TableId
from cdc.spi import SinkContext
from cdc.sql import Connection


def note(connection: Connection, place: TableId) -> None:
    """Note the indexes of a table that is about to be dropped."""
    connection.query(
        f"insert into {connection.dialect.own('indexes')} "
        "select sql from duckdb_indexes() where database_name = current_database() "
        "and schema_name = ? and table_name = ? and sql is not null",
        [place.schema, place.name],
    )


def make_again(connection: Connection, context: SinkContext) -> None:
    """Make the indexes that are noted; one that does not fit its table any more is reported and forgotten."""
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
