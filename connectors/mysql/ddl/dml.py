"""Which tables a statement in text form changes: INSERT, UPDATE, DELETE and their like, read by sqlglot.

A statement that sqlglot can't read counts for every table whose name is in it. What triggers and foreign keys
change besides can't be told from a text.
"""

from __future__ import annotations

from cdc.model import TableId
from connectors.mysql.ddl.changes import Dml, TableChange
from connectors.mysql.ddl.cursor import Cursor, NotUnderstood
from connectors.mysql.ddl.tokens import ANSI_QUOTES, NO_BACKSLASH_ESCAPES, QUOTED, WORD

# What may call a function or procedure that changes any table.
OPAQUE = frozenset({"CALL", "DO", "SELECT", "EXECUTE", "HANDLER", "VALUES"})
CHANGING = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "WITH"})
_LOWER = frozenset({"LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "QUICK"})


def parse_dml(cursor: Cursor, keyword: str, sql: str) -> tuple[TableChange, ...]:
    """The statement that begins with `keyword`, which the cursor has passed."""
    if keyword in OPAQUE:
        return (Dml(keyword, None),)
    if keyword == "LOAD":
        return (Dml(keyword, (_loaded(cursor),)),)
    if keyword in {"INSERT", "REPLACE"}:
        return (Dml(keyword, (_inserted(cursor),)),)
    found = _read_whole(sql, cursor)
    if found is None:
        found = _named(cursor)
    return (Dml(keyword, found or None),)


def _named(cursor: Cursor) -> tuple[TableId, ...]:
    """Every table that a name in the rest of the statement could be."""
    found: set[TableId] = set()
    while not cursor.at_end:
        if cursor.peek().kind in {WORD, QUOTED}:
            found.add(TableId(cursor.context.database, cursor.peek().text))
            if cursor.sees_symbol(".", 1) and cursor.peek(2).kind in {WORD, QUOTED}:
                found.add(TableId(cursor.peek().text, cursor.peek(2).text))
        cursor.take()
    return tuple(sorted(found))


def _inserted(cursor: Cursor) -> TableId:
    while cursor.accept_any(_LOWER):
        pass
    cursor.accept("INTO")
    return cursor.table()


def _loaded(cursor: Cursor) -> TableId:
    while not cursor.at_end:
        if cursor.accept("INTO", "TABLE"):
            return cursor.table()
        cursor.take()
    raise NotUnderstood("LOAD names no table")


def _read_whole(sql: str, cursor: Cursor) -> tuple[TableId, ...] | None:
    """The tables that the statement changes; None when it can't be read."""
    if cursor.context.sql_mode & (ANSI_QUOTES | NO_BACKSLASH_ESCAPES):
        return None
    # Such statements are rare, and sqlglot takes 18 MiB.
    from connectors.mysql.ddl.dml_tables import tables_of  # noqa: PLC0415

    return tables_of(sql, cursor.context.database)
