"""CREATE TABLE, with the indexes, constraints and table options that ALTER TABLE shares, and CREATE and ALTER
DATABASE, which set the character set of new tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import (
    ColumnSpec,
    Created,
    CreatedShape,
    DatabaseDefaults,
    Dml,
    Index,
    ObjectChanged,
    TableChange,
)
from cdc_source_mysql.schema.ddl.columns import (
    accept_charset,
    charset_name,
    charset_of_collation,
    collation_name,
    parse_column,
)
from cdc_source_mysql.schema.ddl.dml import named_in
from cdc_source_mysql.schema.ddl.tokens import (
    NO_ENGINE_SUBSTITUTION,
    QUOTED,
    SYMBOL,
    WORD,
    NotUnderstood,
    TokenCursor,
)
from cdc_source_mysql.schema.definitions import UNSURE_ENGINE, keeps_rows

_QUERIED = "it was created from a query"
_QUERY_WORDS = frozenset({"AS", "SELECT", "WITH", "VALUES", "IGNORE", "REPLACE", "TABLE"})
# What ties a table to others, by a word of its definition.
_HANGING = {"FOREIGN KEY": frozenset({"REFERENCES"}), "MERGE": frozenset({"UNION"})}
_CONSTRAINT_WORDS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK"})
_OPTIONS = frozenset({"DEFAULT", "CHARACTER", "CHARSET", "CHAR", "COLLATE", "ENCRYPTION", "READ", "COMMENT"})
# Those of them that a database may be called without quotes.
_UNRESERVED = frozenset({"CHARSET", "ENCRYPTION", "COMMENT"})


@dataclass(slots=True)
class CreateOptions:
    """The options of a table that matter to us. `engine` is "" for one that the server may replace, `?` where
    that decides which rows there are.
    """

    charset: str | None = None
    collation: str | None = None
    engine: str | None = None
    named_engine: str = ""
    versioned: bool = False
    has_union: bool = False


@dataclass(slots=True)
class _Draft:
    columns: list[ColumnSpec] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    period: tuple[str, ...] = ()


def parse_create_table(cursor: TokenCursor, *, replaces: bool) -> tuple[TableChange, ...]:
    """Everything after CREATE [OR REPLACE] TABLE."""
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    table = cursor.table()
    created = Created(table, if_not_exists=if_not_exists, replaces=replaces)
    try:
        if (like := _like(cursor)) is not None:
            return (replace(created, like=like, reason=f"it was created like {like}"),)
        shape, reason = _shape(cursor)
    except NotUnderstood as error:
        shape, reason = None, f"its CREATE TABLE cannot be parsed: {error}"
    made = replace(created, shape=shape, reason=reason)
    hung = tuple(ObjectChanged(kind, table) for kind, word in _HANGING.items() if cursor.has_any(word))
    return (made, _query(cursor), *hung) if reason == _QUERIED else (made, *hung)


def _query(cursor: TokenCursor) -> Dml:
    """Return the changes that the query after the columns may make: a statement log contains it, and it may
    call functions.
    """
    named = named_in(cursor.rest(), cursor.context.database)
    return Dml("CREATE TABLE", (), named.tables, (), named.calls)


def _like(cursor: TokenCursor) -> TableId | None:
    """The table after LIKE, in parentheses or not."""
    if cursor.sees_symbol("(") and cursor.peek(1).upper == "LIKE":
        cursor.expect_symbol("(")
    return cursor.table() if cursor.accept("LIKE") else None


def _shape(cursor: TokenCursor) -> tuple[CreatedShape | None, str]:
    if not cursor.sees_symbol("(") or _is_query(cursor):
        return None, _QUERIED
    draft = _elements(cursor)
    options = CreateOptions()
    while not cursor.at_end:
        if cursor.accept_symbol(","):
            continue
        if cursor.accept("START", "TRANSACTION"):
            break
        if cursor.sees("PARTITION", "BY"):
            if _has_query(cursor):
                return None, _QUERIED
            break
        is_query = cursor.sees_any(_QUERY_WORDS) and not cursor.sees("WITH", "SYSTEM")
        if is_query or cursor.sees_symbol("("):
            return None, _QUERIED
        parse_option(cursor, options)
    return _finish(draft, options), ""


def _is_query(cursor: TokenCursor) -> bool:
    return cursor.sees_symbol("(") and cursor.peek(1).upper in {"SELECT", "WITH", "VALUES"}


def _has_query(cursor: TokenCursor) -> bool:
    """Return whether a query follows the partitions."""
    while not cursor.at_end:
        if cursor.sees_symbol("("):
            cursor.skip_parentheses()
        elif cursor.take().upper in {"SELECT", "AS"}:
            return True
    return False


def _elements(cursor: TokenCursor) -> _Draft:
    draft = _Draft()
    cursor.expect_symbol("(")
    while True:
        _element(cursor, draft)
        if not cursor.accept_symbol(","):
            break
    cursor.expect_symbol(")")
    return draft


def _element(cursor: TokenCursor, draft: _Draft) -> None:
    if cursor.sees("PERIOD", "FOR"):
        period = parse_period(cursor)
        draft.period = period or draft.period
    elif sees_index(cursor):
        index = parse_index(cursor)
        if index is not None:
            draft.indexes.append(index)
    else:
        name = cursor.name()
        column = parse_column(cursor, name)
        draft.columns.append(column)
        draft.indexes += column_indexes(column)


def column_indexes(column: ColumnSpec, *, if_not_exists: bool = False) -> list[Index]:
    """The indexes that a column's own attributes make."""
    wanted = [primary for primary, is_stated in ((True, column.primary), (False, column.unique)) if is_stated]
    return [Index((column.name,), primary, if_not_exists=if_not_exists) for primary in wanted]


def parse_period(cursor: TokenCursor) -> tuple[str, ...]:
    """PERIOD FOR …; the columns of SYSTEM_TIME, () for an application's period."""
    cursor.expect("PERIOD", "FOR")
    cursor.accept("IF", "NOT", "EXISTS")
    system = cursor.name().upper() == "SYSTEM_TIME"
    columns = cursor.names_in_parentheses()
    return columns if system else ()


def sees_index(cursor: TokenCursor) -> bool:
    """Return whether an index or constraint follows, not a column of such a name."""
    if cursor.peek().kind != WORD:
        return False
    word, following = cursor.peek().upper, cursor.peek(1)
    if word in {"CONSTRAINT", "FOREIGN", "PRIMARY", "UNIQUE", "INDEX", "KEY", "FULLTEXT", "SPATIAL", "CHECK"}:
        return True
    # VECTOR is no reserved word: `vector vector(3)` is a column.
    return word == "VECTOR" and (
        following.upper in {"INDEX", "KEY"} or (following.kind in {WORD, QUOTED} and _opens(cursor, 2))
    )


def _opens(cursor: TokenCursor, ahead: int) -> bool:
    return cursor.sees_symbol("(", ahead) and cursor.peek(1).upper != "VECTOR"


def parse_index(cursor: TokenCursor) -> Index | None:
    """An index or constraint; None for one that doesn't identify rows."""
    name = ""
    if cursor.accept("CONSTRAINT") and not cursor.sees_any(_CONSTRAINT_WORDS):
        name = cursor.name()
    if cursor.accept("PRIMARY", "KEY"):
        return _unique(cursor, "PRIMARY", primary=True)
    if cursor.accept("UNIQUE"):
        cursor.accept_any({"INDEX", "KEY"})
        return _unique(cursor, name, primary=False)
    if cursor.accept_any({"FULLTEXT", "SPATIAL", "VECTOR"}):
        cursor.accept_any({"INDEX", "KEY"})
    elif not (cursor.accept_any({"INDEX", "KEY", "CHECK"}) or cursor.accept("FOREIGN", "KEY")):
        raise NotUnderstood(f"an index or constraint was expected {cursor.here()}")
    cursor.skip_to_comma()
    return None


def _unique(cursor: TokenCursor, name: str, *, primary: bool) -> Index:
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    if not cursor.sees_symbol("(") and not cursor.sees("USING"):
        name = cursor.name() if not primary or cursor.peek().kind == QUOTED else cursor.name() and name
    if cursor.accept("USING"):
        cursor.take()
    columns = parse_index_columns(cursor)
    cursor.skip_to_comma()
    return Index(columns, primary=primary, name=name, if_not_exists=if_not_exists)


def parse_index_columns(cursor: TokenCursor) -> tuple[str, ...]:
    """`(a, b(10) desc)`: a prefix counts for its column; () when a part is an expression."""
    columns: list[str] = []
    is_plain = True
    cursor.expect_symbol("(")
    while True:
        if cursor.sees_symbol("("):
            cursor.skip_parentheses()
            is_plain = False
        else:
            columns.append(cursor.name())
            if cursor.sees_symbol("("):
                cursor.skip_parentheses()
            if cursor.sees_symbol(".") or cursor.sees("WITHOUT", "OVERLAPS"):
                is_plain = False
        cursor.skip_to_comma()
        if not cursor.accept_symbol(","):
            break
    cursor.expect_symbol(")")
    return tuple(columns) if is_plain else ()


def parse_option(cursor: TokenCursor, options: CreateOptions) -> None:
    """One option of a table."""
    cursor.accept("DEFAULT")
    if accept_charset(cursor):
        options.charset = charset_name(cursor)
        if options.collation is not None and charset_of_collation(options.collation) != options.charset:
            options.collation = None
    elif cursor.accept("COLLATE"):
        _collate(cursor, options)
    elif cursor.accept_any({"ENGINE", "TYPE"}):
        cursor.accept_symbol("=")
        options.named_engine = name = cursor.take().text
        is_sure = cursor.context.sql_mode & NO_ENGINE_SUBSTITUTION
        options.engine = name if is_sure else "" if keeps_rows(name) else UNSURE_ENGINE
    elif cursor.accept("WITH", "SYSTEM", "VERSIONING"):
        options.versioned = True
    elif cursor.accept("UNION"):
        cursor.accept_symbol("=")
        cursor.skip_parentheses()
        options.has_union = True
    elif cursor.peek().kind in {WORD, QUOTED}:
        _other_option(cursor)
    else:
        raise NotUnderstood(f"an option of a table was expected {cursor.here()}")


def _collate(cursor: TokenCursor, options: CreateOptions) -> None:
    name = collation_name(cursor)
    charset = charset_of_collation(name)
    if charset is None:
        options.collation = f"{options.charset}_{name}" if options.charset else None
        return
    options.charset, options.collation = charset, name


def _other_option(cursor: TokenCursor) -> None:
    """`name [=] value`; DATA DIRECTORY and its like have two words."""
    cursor.take()
    if cursor.accept("DIRECTORY"):
        pass
    if not cursor.accept_symbol("=") and cursor.peek().kind == SYMBOL:
        raise NotUnderstood(f"an option's value was expected {cursor.here()}")
    if cursor.at_end:
        raise NotUnderstood("an option has no value")
    cursor.take()


def _finish(draft: _Draft, options: CreateOptions) -> CreatedShape:
    period = draft.period
    starts = [column.name for column in draft.columns if column.period == "row_start"]
    ends = [column.name for column in draft.columns if column.period == "row_end"]
    if not period and starts and ends:
        period = (starts[0], ends[0])
    return CreatedShape(
        columns=tuple(draft.columns),
        indexes=tuple(draft.indexes),
        charset=options.charset,
        collation=options.collation,
        engine=options.engine or "",
        versioned=options.versioned,
        period=period if options.versioned else (),
    )


def parse_database(
    cursor: TokenCursor, name: str, *, created: bool, if_not_exists: bool = False
) -> tuple[DatabaseDefaults, ...]:
    """The options after the name; without a character set a new database has that of the session."""
    options = CreateOptions()
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
        options.collation = cursor.context.session.server_collation or None
        options.charset = charset_of_collation(options.collation) if options.collation else None
    elif options.charset is None and options.collation is None:
        return ()
    return (DatabaseDefaults(name, options.charset, options.collation, if_not_exists),)


def parse_alter_database(cursor: TokenCursor) -> tuple[DatabaseDefaults, ...]:
    """Everything after ALTER DATABASE; the session's database where none is named."""
    may_be_name = cursor.sees_any(_UNRESERVED) and cursor.peek(1).upper in _OPTIONS
    named = may_be_name or not cursor.sees_any(_OPTIONS)
    return parse_database(cursor, cursor.name() if named else cursor.context.database, created=False)


def _names_default(cursor: TokenCursor) -> bool:
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
