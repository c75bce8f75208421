"""The tables that a DML statement changes, read by sqlglot. Imported when the first such statement comes."""

from __future__ import annotations

from collections.abc import Iterable

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cdc.model import TableId


def tables_of(sql: str, database: str) -> tuple[TableId, ...] | None:
    """In name order; none for a query; None when the statement can't be read."""
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
    return _ids(targets, database)


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
