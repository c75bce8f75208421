"""What a statement in text form changes and names: INSERT, UPDATE, DELETE and their like.

sqlglot reads which tables an UPDATE or DELETE changes; one that it can't read counts for every table whose
name is in it. What triggers and foreign keys change besides can't be told from a text: for that every table
and function that the statement names is in the Dml, found by its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import Dml, TableChange, Truncated
from cdc_source_mysql.schema.ddl.cursor import Cursor, NotUnderstood
from cdc_source_mysql.schema.ddl.dml_names import every_name, named_in
from cdc_source_mysql.schema.ddl.tokens import BYTES, QUOTED, STRING, Token

# What changes tables only by the functions that it calls.
CALLING = frozenset({"DO", "SELECT", "VALUES"})
# What may call a function or procedure that changes any table.
OPAQUE = frozenset({*CALLING, "CALL", "EXECUTE", "HANDLER"})
CHANGING = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "WITH"})
_LOWER = frozenset({"LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "QUICK"})


def parse_dml(cursor: Cursor, keyword: str) -> tuple[TableChange, ...]:
    """The statement that begins with `keyword`, which the cursor has passed."""
    if keyword in CALLING:
        # Servers log a query where it called a function that changes rows.
        named = named_in(cursor.rest(), cursor.context.database)
        return (Dml(keyword, (), named.tables, (), named.calls),)
    if keyword in OPAQUE:
        return (Dml(keyword, None),)
    while cursor.accept_any(_LOWER):
        pass
    if keyword in {"INSERT", "REPLACE"}:
        cursor.accept("INTO")
    emptied = _emptied(cursor) if keyword == "DELETE" else None
    if emptied is not None:
        # What hangs on the table may change more; servers empty MEMORY tables so after a start.
        return (Truncated(emptied), Dml(keyword, (), (emptied,), (emptied,)))
    tokens = cursor.rest()
    named = named_in(
        tokens, cursor.context.database, begins_with_table=keyword in {"INSERT", "REPLACE", "UPDATE"}
    )
    dml = Dml(keyword, None, named.tables, named.tables, named.calls)
    if keyword in {"INSERT", "REPLACE", "LOAD"}:
        table = _loaded(cursor) if keyword == "LOAD" else cursor.table()
        return (replace(dml, tables=(table,), written=(table,)),)
    found = _read_whole(keyword, tokens, cursor.context.database)
    if found is None:
        return (replace(dml, tables=tuple(sorted(every_name(tokens, cursor.context.database))) or None),)
    return (replace(dml, tables=found or None, written=found),)


def _emptied(cursor: Cursor) -> TableId | None:
    """The table of a DELETE FROM that has nothing else."""
    tokens = cursor.rest()
    is_qualified = len(tokens) == 4 and cursor.sees_symbol(".", 2)
    if not cursor.sees("FROM") or not (len(tokens) == 2 or is_qualified):
        return None
    cursor.take()
    return cursor.table()


def _loaded(cursor: Cursor) -> TableId:
    while not cursor.at_end:
        if cursor.accept("INTO", "TABLE"):
            return cursor.table()
        cursor.take()
    raise NotUnderstood("LOAD names no table")


def _read_whole(keyword: str, tokens: Sequence[Token], database: str) -> tuple[TableId, ...] | None:
    """The tables that the statement changes; None when it can't be read."""
    # Such statements are rare, and sqlglot takes 18 MiB.
    from cdc_source_mysql.schema.ddl.dml_tables import tables_of  # noqa: PLC0415

    return tables_of(f"{keyword} {_without_values(tokens)}", database)


def _without_values(tokens: Sequence[Token]) -> str:
    """The text of the tokens in the plainest spelling, with no literal's value in it."""
    text, end = "", tokens[0].start if tokens else 0
    for token in tokens:
        text += " " if token.start > end else ""
        text += _spelled(token)
        end = token.end
    return text


def _spelled(token: Token) -> str:
    if token.kind in {STRING, BYTES}:
        return "''"
    return "`" + token.text.replace("`", "``") + "`" if token.kind == QUOTED else token.text
