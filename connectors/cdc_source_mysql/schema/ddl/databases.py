"""CREATE and ALTER DATABASE: the character set that new tables get."""

from __future__ import annotations

from cdc_source_mysql.schema.ddl.changes import DatabaseDefaults
from cdc_source_mysql.schema.ddl.columns import accept_charset, charset_of_collation
from cdc_source_mysql.schema.ddl.create import Options, parse_option
from cdc_source_mysql.schema.ddl.cursor import Cursor, NotUnderstood

_OPTIONS = frozenset({"DEFAULT", "CHARACTER", "CHARSET", "CHAR", "COLLATE", "ENCRYPTION", "READ", "COMMENT"})
# Those of them that a database may be called without quotes.
_UNRESERVED = frozenset({"CHARSET", "ENCRYPTION", "COMMENT"})


def parse_database(
    cursor: Cursor, name: str, *, created: bool, if_not_exists: bool = False
) -> tuple[DatabaseDefaults, ...]:
    """The options behind the name; without a character set a new database has that of the session."""
    options = Options()
    by_server = created
    while not cursor.at_end:
        if cursor.accept("READ", "ONLY"):
            cursor.accept_symbol("=")
            cursor.take()
        elif _names_default(cursor):
            by_server = True
        else:
            parse_option(cursor, options)
    if options.charset is None and by_server:
        options.collation = cursor.context.server_collation or None
        options.charset = charset_of_collation(options.collation) if options.collation else None
    elif options.charset is None and options.collation is None:
        return ()
    return (DatabaseDefaults(name, options.charset, options.collation, if_not_exists),)


def parse_alter_database(cursor: Cursor) -> tuple[DatabaseDefaults, ...]:
    """Everything after ALTER DATABASE; the session's database where none is named."""
    may_be_name = cursor.sees_any(_UNRESERVED) and cursor.peek(1).upper in _OPTIONS
    named = may_be_name or not cursor.sees_any(_OPTIONS)
    return parse_database(cursor, cursor.name() if named else cursor.context.database, created=False)


def _names_default(cursor: Cursor) -> bool:
    """Take CHARACTER SET = DEFAULT."""
    ahead = 1 if cursor.sees("DEFAULT") else 0
    ahead += 2 if cursor.peek(ahead).upper in {"CHARACTER", "CHAR"} else 1
    if cursor.sees_symbol("=", ahead):
        ahead += 1
    if cursor.peek(ahead).upper != "DEFAULT":
        return False
    cursor.accept("DEFAULT")
    if not accept_charset(cursor) and not cursor.accept("COLLATE"):
        raise NotUnderstood(f"an option of a database was expected {cursor.here()}")
    cursor.accept_symbol("=")
    cursor.take()
    return True
