"""Classifies the statement of a QUERY event by its effect on tables.

Every statement that a server logs is understood, or Unknown, never guessed: `History.apply` then decides by
the names in it. Statements that touch no table's shape or rows give (). The grammar is our own, over our own
lexer: it has to agree with the server about modes, versioned comments and canonical types, and to say of each
clause that it doesn't know that it doesn't; sqlglot reads the statements that change rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.alter import (
    altered,
    parse_alter_table,
    parse_create_index,
    parse_drop_index,
    skip_wait,
)
from cdc_source_mysql.schema.ddl.changes import (
    DatabaseDropped,
    Dropped,
    ObjectChanged,
    Renamed,
    Repaired,
    TableChange,
    TemporaryCreated,
    TemporaryDropped,
    Truncated,
    Unknown,
)
from cdc_source_mysql.schema.ddl.create import parse_alter_database, parse_create_table, parse_database
from cdc_source_mysql.schema.ddl.dml import CHANGING, OPAQUE, parse_dml
from cdc_source_mysql.schema.ddl.tokens import (
    USUAL_SESSION,
    Context,
    NotLexed,
    NotUnderstood,
    SessionSettings,
    Token,
    TokenCursor,
    decode_statement,
    tokenize,
    words_in,
)

# Statements that change no rows and no table's shape.
_HARMLESS: Final = frozenset(
    [
        "ANALYZE",
        "BACKUP",
        "BEGIN",
        "BINLOG",
        "CACHE",
        "CHANGE",
        "CHECK",
        "CHECKSUM",
        "CLONE",
        "COMMIT",
        "DEALLOCATE",
        "DESC",
        "DESCRIBE",
        "END",
        "EXPLAIN",
        "FLUSH",
        "GET",
        "GRANT",
        "HELP",
        "INSTALL",
        "KILL",
        "LOCK",
        "OPTIMIZE",
        "PREPARE",
        "PURGE",
        "RELEASE",
        "RESET",
        "RESIGNAL",
        "RESTART",
        "REVOKE",
        "ROLLBACK",
        "SAVEPOINT",
        "SET",
        "SHOW",
        "SHUTDOWN",
        "SIGNAL",
        "START",
        "STOP",
        "UNINSTALL",
        "UNLOCK",
        "USE",
        "XA",
    ]
)
# What CREATE, ALTER and DROP make besides tables, indexes and databases. After the words that may precede.
_OTHER_OBJECTS: Final = frozenset(
    [
        "EVENT",
        "LIBRARY",
        "LOGFILE",
        "PACKAGE",
        "PREPARE",
        "RESOURCE",
        "ROLE",
        "SEQUENCE",
        "SERVER",
        "SPATIAL",
        "TABLESPACE",
        "UNDO",
        "USER",
        "INSTANCE",
        "JSON",
        "CATALOG",
        "MASKING",
        "MATERIALIZED",
    ]
)
# What a statement that changes rows may run.
_CALLABLE: Final = frozenset({"VIEW", "TRIGGER", "FUNCTION", "PROCEDURE"})
_DATABASE: Final = frozenset({"DATABASE", "SCHEMA"})
_TABLE: Final = frozenset({"TABLE", "TABLES"})
_TEMPORARY: Final = _TABLE | {"SEQUENCE"}
_INDEX_KINDS: Final = frozenset({"UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"})
_LINES: Final = frozenset({"ONLINE", "OFFLINE"})


def classify(
    sql: str | bytes,
    database: str,
    sql_mode: int = 0,
    charset: str = "utf8mb4",
    flavour: str = "mysql",
    session: SessionSettings = USUAL_SESSION,
) -> tuple[TableChange, ...]:
    """The changes that the statement makes, in order; () for a harmless one.

    `sql`, `database` (of unqualified names), `sql_mode` (ANSI_QUOTES, NO_BACKSLASH_ESCAPES, …) and `charset`
    (the server's name of the client's character set, by which bytes are decoded) come from the QUERY event,
    as `session` does.
    """
    text = sql if isinstance(sql, str) else decode_statement(sql, charset)
    context = Context(database, sql_mode, flavour, session)
    try:
        tokens = tokenize(text, sql_mode, flavour)
    except NotLexed:
        return (Unknown("the statement ends inside of a string or comment", words_in(text), database),)
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    try:
        return _statement(TokenCursor(tokens, context))
    except NotUnderstood as error:
        return (Unknown(str(error), _names(tokens), database),)


def _names(tokens: list[Token]) -> frozenset[str]:
    return frozenset(token.text for token in tokens if token.kind in {"word", "quoted"})


def _statement(cursor: TokenCursor) -> tuple[TableChange, ...]:
    _skip_settings(cursor)
    if cursor.at_end:
        return ()
    word = cursor.peek().upper
    rule = _STATEMENTS.get(word)
    if word == "ANALYZE" and _runs_what_it_analyzes(cursor):
        return _statement(cursor)
    if word in _HARMLESS:
        return ()
    if rule is not None:
        cursor.take()
        return rule(cursor)
    if word in CHANGING or word in OPAQUE:
        cursor.take()
        return parse_dml(cursor, word)
    if cursor.sees_symbol("("):
        return parse_dml(cursor, "SELECT")
    raise NotUnderstood(f"no known statement begins {cursor.here()}")


def _runs_what_it_analyzes(cursor: TokenCursor) -> bool:
    """Take MariaDB's ANALYZE [FORMAT=JSON] before a statement, which is then run; False for ANALYZE TABLE."""
    following = cursor.peek(1).upper
    if following != "FORMAT" and following not in CHANGING and following not in OPAQUE:
        return False
    cursor.take()
    if cursor.accept("FORMAT"):
        cursor.accept_symbol("=")
        cursor.take()
    return True


def _skip_settings(cursor: TokenCursor) -> None:
    """MariaDB's SET STATEMENT name = value, … FOR."""
    while cursor.accept("SET", "STATEMENT"):
        while not cursor.accept("FOR"):
            if cursor.at_end:
                raise NotUnderstood("SET STATEMENT has no FOR")
            if cursor.sees_symbol("("):
                cursor.skip_parentheses()
            else:
                cursor.take()


def _create(cursor: TokenCursor) -> tuple[TableChange, ...]:
    replaces = cursor.accept("OR", "REPLACE")
    _skip_definer(cursor)
    if cursor.accept("TEMPORARY"):
        cursor.accept_any(_TEMPORARY)
        cursor.accept("IF", "NOT", "EXISTS")
        return (TemporaryCreated(cursor.table()),)
    if cursor.accept_any(_TABLE):
        return parse_create_table(cursor, replaces=replaces)
    if cursor.accept_any(_DATABASE):
        if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
        name = cursor.name()
        found = parse_database(cursor, name, created=True, if_not_exists=if_not_exists)
        return (DatabaseDropped(name), *found) if replaces else found
    index = _index(cursor)
    if index is not None:
        return parse_create_index(cursor, unique=index, replaces=replaces)
    return _other(cursor)


def _index(cursor: TokenCursor) -> bool | None:
    """Take [UNIQUE …] INDEX and say whether it is unique; None when something else follows."""
    online = 1 if cursor.sees_any(_LINES) else 0
    kind = 1 if cursor.peek(online).upper in _INDEX_KINDS else 0
    if cursor.peek(online + kind).upper not in {"INDEX", "KEY"}:
        return None
    is_unique = kind == 1 and cursor.peek(online).upper == "UNIQUE"
    for _ in range(online + kind + 1):
        cursor.take()
    return is_unique


def _alter(cursor: TokenCursor) -> tuple[TableChange, ...]:
    _skip_definer(cursor)
    cursor.accept_any(_LINES)
    ignores = cursor.accept("IGNORE")
    if cursor.accept_any(_TABLE):
        return parse_alter_table(cursor, ignores=ignores)
    if cursor.accept_any(_DATABASE):
        if cursor.has_any(frozenset({"UPGRADE"})):
            raise NotUnderstood("ALTER DATABASE … UPGRADE renames a database")
        return parse_alter_database(cursor)
    return _other(cursor)


def _drop(cursor: TokenCursor) -> tuple[TableChange, ...]:
    if cursor.accept("TEMPORARY"):
        cursor.accept_any(_TEMPORARY)
        cursor.accept("IF", "EXISTS")
        return tuple(TemporaryDropped(table) for table in _tables(cursor))
    if cursor.accept_any(_TABLE):
        cursor.accept("IF", "EXISTS")
        return tuple(Dropped(table) for table in _tables(cursor))
    if cursor.accept_any(_DATABASE):
        cursor.accept("IF", "EXISTS")
        return (DatabaseDropped(cursor.name()),)
    if _index(cursor) is not None:
        return parse_drop_index(cursor)
    return _other(cursor)


def _tables(cursor: TokenCursor) -> list[TableId]:
    tables = [cursor.table()]
    while cursor.accept_symbol(","):
        tables.append(cursor.table())
    cursor.accept_any({"RESTRICT", "CASCADE"})
    skip_wait(cursor)
    if not cursor.at_end:
        raise NotUnderstood(f"the end was expected {cursor.here()}")
    return tables


def _rename(cursor: TokenCursor) -> tuple[TableChange, ...]:
    if cursor.accept("USER"):
        return ()
    if not cursor.accept_any(_TABLE):
        raise NotUnderstood(f"TABLE was expected {cursor.here()}")
    cursor.accept("IF", "EXISTS")
    renames = []
    while True:
        old = cursor.table()
        skip_wait(cursor)
        cursor.expect("TO")
        renames.append(Renamed(old, cursor.table()))
        if not cursor.accept_symbol(","):
            break
    if not cursor.at_end:
        raise NotUnderstood(f"the end was expected {cursor.here()}")
    return tuple(renames)


def _repair(cursor: TokenCursor) -> tuple[TableChange, ...]:
    cursor.accept_any({"LOCAL", "NO_WRITE_TO_BINLOG"})
    if cursor.accept("VIEW"):
        return ()
    if not cursor.accept_any(_TABLE):
        raise NotUnderstood(f"TABLE was expected {cursor.here()}")
    tables = [cursor.table()]
    while cursor.accept_symbol(","):
        tables.append(cursor.table())
    return tuple(change for table in tables for change in altered(cursor, table, [Repaired()]))


def _truncate(cursor: TokenCursor) -> tuple[TableChange, ...]:
    cursor.accept("TABLE")
    return tuple(Truncated(table) for table in _tables(cursor))


def _skip_definer(cursor: TokenCursor) -> None:
    """Skip what may come between CREATE or ALTER and the kind of a stored object."""
    while True:
        if cursor.accept("DEFINER"):
            cursor.expect_symbol("=")
            cursor.take()
            if cursor.accept_symbol("@"):
                cursor.take()
            elif cursor.sees_symbol("("):
                cursor.skip_parentheses()
        elif cursor.accept("ALGORITHM"):
            cursor.accept_symbol("=")
            cursor.take()
        elif cursor.accept("SQL", "SECURITY"):
            cursor.take()
        elif not cursor.accept("AGGREGATE"):
            return


def _other(cursor: TokenCursor) -> tuple[TableChange, ...]:
    """A stored object, an account or the like."""
    kind = cursor.accept_any(_CALLABLE)
    if kind:
        return _objects(cursor, kind)
    if cursor.sees_any(_OTHER_OBJECTS):
        return ()
    raise NotUnderstood(f"no known kind of object is {cursor.here()}")


def _objects(cursor: TokenCursor, kind: str) -> tuple[TableChange, ...]:
    cursor.accept("IF", "NOT", "EXISTS")
    cursor.accept("IF", "EXISTS")
    found = [ObjectChanged(kind, cursor.table())]
    while kind == "VIEW" and cursor.accept_symbol(","):
        found.append(ObjectChanged(kind, cursor.table()))
    return tuple(found)


_STATEMENTS: dict[str, Callable[[TokenCursor], tuple[TableChange, ...]]] = {
    "CREATE": _create,
    "ALTER": _alter,
    "DROP": _drop,
    "RENAME": _rename,
    "REPAIR": _repair,
    "TRUNCATE": _truncate,
}
