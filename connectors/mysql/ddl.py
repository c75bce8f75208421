"""What a QUERY event's statement does to tables.

Every statement that a server logs is understood, or Unknown, never guessed: `History.apply` then decides by
the names in it. Statements that touch no table's shape or rows give ().
"""

from __future__ import annotations

from connectors.mysql.ddl_changes import TableChange


def classify(
    sql: str | bytes, database: str, sql_mode: int = 0, charset: str = "utf8mb4", flavour: str = "mysql"
) -> tuple[TableChange, ...]:
    """The changes that the statement makes, in order; () for a harmless one.

    `sql`, `database` (of unqualified names), `sql_mode` (ANSI_QUOTES, NO_BACKSLASH_ESCAPES) and `charset` (the
    server's name of the client's character set, by which bytes are decoded) come from the QUERY event.
    """
    raise NotImplementedError
