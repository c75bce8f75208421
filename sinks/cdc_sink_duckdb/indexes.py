"""Indexes that someone made on the sink's tables: a table that replaces another gets them too.

DuckDB can't make an index in the transaction that renames its table. The transaction that drops the old table
notes its indexes in `_cdc.indexes`; they are made after it, or, if the process ends first, at the next start.
"""

from __future__ import annotations

from typing import Any

import duckdb

from cdc.model import TableId
from cdc.spi import SinkContext
from cdc_sink_duckdb.shape import run

_TABLE = "create table if not exists _cdc.indexes (statement varchar not null)"


def prepare(connection: Any) -> None:
    """Make the sink's own table of indexes to make again."""
    run(connection, _TABLE)


def note(connection: Any, place: TableId) -> None:
    """Note the indexes of a table that is about to be dropped."""
    connection.execute(
        "insert into _cdc.indexes select sql from duckdb_indexes() where database_name = current_database() "
        "and schema_name = ? and table_name = ? and sql is not null",
        [place.schema, place.name],
    ).fetchall()


def make_again(connection: Any, context: SinkContext) -> None:
    """Make the indexes that are noted; one that does not fit its table any more is reported and forgotten."""
    for (statement,) in connection.execute("select statement from _cdc.indexes").fetchall():
        run(connection, "begin transaction")
        try:
            run(connection, statement)
            _forget(connection, statement)
            run(connection, "commit")
        except duckdb.Error as error:
            run(connection, "rollback")
            context.log(
                "could not recreate an index: it no longer fits its table",
                level="warning",
                statement=statement,
                kind=type(error).__name__,
            )
            _forget(connection, statement)


def _forget(connection: Any, statement: str) -> None:
    connection.execute("delete from _cdc.indexes where statement = ?", [statement]).fetchall()
