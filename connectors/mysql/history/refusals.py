"""Errors of statements that the history cannot follow."""

from __future__ import annotations

from cdc.errors import UnknownEvent


def statement_logged(keyword: str, named: str, where: str) -> UnknownEvent:
    """Rows of followed tables were changed by a statement of which the binlog has the text only."""
    return UnknownEvent(
        f"{keyword} changes {named} by a statement, which the binary log holds without its rows",
        where=where,
        remedy="Run: set global binlog_format = row; and let no session set another. To continue,"
        " exclude the table in tables and restart. When the source has passed this statement, include the"
        " table again: the daemon then copies it.",
    )
