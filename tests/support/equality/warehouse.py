"""A mirror in a Postgres database in canonical form: that of the source's tables, whatever database it is."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.support.equality.postgres import SESSION, PostgresColumn, source_columns
from tests.support.equality.tables import MIRROR_COLUMNS, SourceTable
from tests.support.equality.values import plain
from tests.support.postgres.server import Database


def read_warehouse(database: Database, source: SourceTable) -> Counter[tuple[Any, ...]]:
    """The rows of the mirror of a source table, which must have exactly its columns."""
    name = source.name.replace("`", '"')
    with database.connect(autocommit=False) as connection:
        connection.execute(SESSION)
        columns = {column.name: column for column in source_columns(connection, name)}
        wanted = {column.name for column in source.columns}
        found = columns.keys() ^ (wanted | MIRROR_COLUMNS)
        assert not found, f"{name}: the mirror's columns differ: {found}"
        chosen = [_expression(columns[column.name]) for column in source.columns]
        fetched = connection.execute(f"select {', '.join(chosen)} from {name}".encode()).fetchall()
    if not chosen:
        return Counter({(): len(fetched)})
    return Counter(tuple(plain(value) for value in row) for row in fetched)


def canonical(database: Database, table: str, order: str) -> dict[str, list[Any]]:
    """The canonical values of each column of a table, in the order of one of them."""
    with database.connect(autocommit=False) as connection:
        connection.execute(SESSION)
        columns = source_columns(connection, table)
        chosen = ", ".join(_expression(column) for column in columns)
        fetched = connection.execute(f"select {chosen} from {table} order by {order}".encode()).fetchall()
    return {column.name: [plain(row[i]) for row in fetched] for i, column in enumerate(columns)}


def _expression(column: PostgresColumn) -> str:
    if column.element == "float4":
        # Vectors of MySQL and MariaDB.
        return '"' + column.name.replace('"', '""') + '"::float8[]'
    return column.expression
