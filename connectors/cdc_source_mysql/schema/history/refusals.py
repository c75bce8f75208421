"""Why a table is copied again whose rows a statement changed of which the binlog has the text only."""

from __future__ import annotations

from cdc_source_mysql.schema.definitions import TableDefinition

ROWS_REMEDY = "Run: set global binlog_format = row; and let no session set another."
_VERSIONS_REMEDY = (
    "MariaDB logs every change of a table with versions by transaction as a statement: give it versions by"
    " timestamp(6), or exclude the table."
)


def statement_logged(keyword: str, where: str) -> str:
    return f"{keyword} was logged as a statement, without its rows, at {where}"


def rows_remedy(definition: TableDefinition | None) -> str:
    """What makes the server log rows of the table."""
    by_transaction = definition is not None and definition.has_versions_by_transaction
    return _VERSIONS_REMEDY if by_transaction else ROWS_REMEDY
