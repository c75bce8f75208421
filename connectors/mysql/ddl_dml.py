"""Which tables a statement in text form changes: INSERT, UPDATE, DELETE and their like, read by sqlglot.

A statement that sqlglot can't read counts for every table whose name is in it. What triggers and foreign keys
change besides can't be told from a text.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cdc.model import TableId
from connectors.mysql.ddl_changes import Dml, TableChange
from connectors.mysql.ddl_cursor import Cursor, NotUnderstood
from connectors.mysql.ddl_tokens import ANSI_QUOTES, NO_BACKSLASH_ESCAPES, QUOTED, WORD

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
    found = _by_sqlglot(sql, cursor)
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


def _by_sqlglot(sql: str, cursor: Cursor) -> tuple[TableId, ...] | None:
    """The tables that the statement changes; None when it can't be read."""
    if cursor.context.sql_mode & (ANSI_QUOTES | NO_BACKSLASH_ESCAPES):
        return None
    try:
        tree = sqlglot.parse_one(sql, read="mysql")
    except (SqlglotError, RecursionError):
        return None
    if isinstance(tree, exp.Update):
        targets = _updated(tree)
    elif isinstance(tree, exp.Delete):
        targets = _deleted(tree)
    elif isinstance(tree, exp.Insert):
        targets = list(tree.this.find_all(exp.Table))[:1]
    else:
        return () if isinstance(tree, exp.Query) else None
    return _ids(targets, cursor.context.database)


def _updated(tree: exp.Update) -> list[exp.Table]:
    """The joined tables whose columns are set; all of them for a column without a table."""
    joined = _joined(tree)
    if len(joined) == 1:
        return joined
    named: list[exp.Table] = []
    for assignment in tree.expressions:
        column = assignment.this
        if not isinstance(column, exp.Column) or not column.table:
            return joined
        named += [table for table in joined if column.table in {table.alias, table.name}]
    return named or joined


def _deleted(tree: exp.Delete) -> list[exp.Table]:
    joined = _joined(tree)
    listed = tree.args.get("tables") or []
    if not listed:
        return joined
    names = {table.name for table in listed}
    return [table for table in joined if names & {table.alias, table.name}] or joined


def _joined(tree: exp.Expression) -> list[exp.Table]:
    """The tables that may be changed: those outside of queries and common table expressions."""
    common = {expression.alias for expression in tree.find_all(exp.CTE)}
    tables = [table for table in tree.find_all(exp.Table) if table.find_ancestor(exp.Select) is None]
    return [table for table in tables if table.name not in common or table.db]


def _ids(tables: Iterable[exp.Table], database: str) -> tuple[TableId, ...]:
    found = {TableId(table.db or database, table.name) for table in tables if table.name}
    return tuple(sorted(found))
