"""ALTER TABLE with its clauses for partitions and tablespaces, CREATE INDEX and DROP INDEX, clause by clause.

An unrecognised clause makes the table's shape unsure and its rows suspect; no clause is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import (
    AddColumn,
    AddIndex,
    Altered,
    ChangeColumn,
    ConvertCharset,
    Created,
    DefaultCharset,
    DropColumn,
    DropIndex,
    Dropped,
    DropPrimaryKey,
    Edit,
    Index,
    ObjectChanged,
    RenameColumn,
    Renamed,
    Repaired,
    RowsChanged,
    SetDefault,
    SetEngine,
    SetVisible,
    TableChange,
    Unsure,
)
from cdc_source_mysql.schema.ddl.columns import (
    accept_charset,
    charset_name,
    charset_of_collation,
    collation_name,
    parse_column,
    parse_default,
    parse_place,
)
from cdc_source_mysql.schema.ddl.create import (
    CreateOptions,
    column_indexes,
    parse_index,
    parse_index_columns,
    parse_option,
    parse_period,
    sees_index,
)
from cdc_source_mysql.schema.ddl.tokens import (
    NO_AUTO_VALUE_ON_ZERO,
    PAD_CHAR_TO_FULL_LENGTH,
    STRICT,
    NotUnderstood,
    TokenCursor,
)
from cdc_source_mysql.schema.definitions import keeps_rows

_ORDERS = frozenset({"ASC", "DESC"})
# Clauses that change neither rows nor shape; each is followed by operands up to the next comma.
_HARMLESS_PARTITION = frozenset({"ANALYZE", "CHECK", "OPTIMIZE", "REBUILD", "REORGANIZE", "COALESCE"})
# Words of the clauses that make foreign keys or drop them.
_KEYS = frozenset({"FOREIGN", "REFERENCES", "CONSTRAINT"})
_DROPS = frozenset({"DROP"})
# Words of the clauses by which a server may copy the rows although the columns stay as they are.
_REBUILDS = frozenset({"BY", "CHECK", "COPY", "ENCRYPTION", "ENGINE", "FORCE", "FOREIGN", "PARTITIONING"})
# Clauses that name another table: a statement with one of them can't be understood by half.
_OTHER_TABLES = frozenset({"RENAME", "EXCHANGE", "CONVERT"})


@dataclass(slots=True)
class AlterDraft:
    """Result of the clauses of an ALTER TABLE so far."""

    table: TableId
    edits: list[Edit] = field(default_factory=list)
    before: list[TableChange] = field(default_factory=list)
    after: list[TableChange] = field(default_factory=list)
    rebuilds: bool = False

    def rows_changed(self, reason: str) -> None:
        self.before.append(RowsChanged(self.table, reason))


def convert_partition(cursor: TokenCursor, draft: AlterDraft) -> bool:
    """MariaDB's CONVERT PARTITION … TO TABLE and CONVERT TABLE … TO PARTITION; False for another CONVERT."""
    if cursor.accept("PARTITION"):
        cursor.name()
        cursor.expect("TO", "TABLE")
        made = cursor.table()
        draft.rows_changed("CONVERT PARTITION TO TABLE")
        draft.before.append(Created(made, reason="it was made of a partition"))
        cursor.skip_all()
        return True
    if cursor.accept("TABLE"):
        taken = cursor.table()
        draft.rows_changed("CONVERT TABLE TO PARTITION")
        draft.after.append(Dropped(taken))
        cursor.skip_all()
        return True
    return False


def tablespace(clause: str) -> Callable[[TokenCursor, AlterDraft], None]:
    def rule(cursor: TokenCursor, draft: AlterDraft) -> None:
        if not cursor.accept("TABLESPACE"):
            cursor.expect("PARTITION")
            cursor.skip_all()
        draft.rows_changed(f"{clause} TABLESPACE")

    return rule


def truncate_partition(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.expect("PARTITION")
    cursor.skip_all()
    draft.rows_changed("TRUNCATE PARTITION")


def exchange_partition(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.expect("PARTITION")
    cursor.name()
    cursor.expect("WITH", "TABLE")
    other = cursor.table()
    draft.rows_changed("EXCHANGE PARTITION")
    draft.before.append(RowsChanged(other, "EXCHANGE PARTITION"))
    cursor.skip_all()


def parse_alter_table(cursor: TokenCursor, *, ignores: bool) -> tuple[TableChange, ...]:
    """Everything after ALTER TABLE; `ignores`: with IGNORE, which deletes duplicates."""
    cursor.accept("IF", "EXISTS")
    draft = AlterDraft(cursor.table())
    skip_wait(cursor)
    if ignores:
        draft.rows_changed("ALTER IGNORE TABLE may delete rows")
    try:
        _clauses(cursor, draft)
    except NotUnderstood as error:
        if cursor.has_any(_OTHER_TABLES):
            raise
        reason = f"a clause of ALTER TABLE cannot be parsed: {error}"
        draft.edits.append(Unsure(reason))
        draft.rows_changed(reason)
    drops = cursor.has_any(_DROPS)
    keys = (ObjectChanged("FOREIGN KEY", draft.table, drops),) if cursor.has_any(_KEYS) else ()
    rebuilds = draft.rebuilds or cursor.has_any(_REBUILDS)
    own = altered(cursor, draft.table, draft.edits, rebuilds=rebuilds)
    return (*draft.before, *own, *keys, *draft.after)


def parse_create_index(cursor: TokenCursor, *, unique: bool, replaces: bool) -> tuple[TableChange, ...]:
    """Everything after CREATE [UNIQUE …] INDEX; `replaces`: MariaDB's OR REPLACE."""
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    name = "" if cursor.sees("ON") else cursor.name()
    if cursor.accept("USING"):
        cursor.take()
    cursor.expect("ON")
    table = cursor.table()
    skip_wait(cursor)
    edits: list[Edit] = [_drop_index(name)] if replaces else []
    if unique:
        columns = parse_index_columns(cursor)
        edits.append(AddIndex(Index(columns, primary=False, name=name, if_not_exists=if_not_exists)))
    return altered(cursor, table, edits)


def parse_drop_index(cursor: TokenCursor) -> tuple[TableChange, ...]:
    """Everything after DROP INDEX."""
    cursor.accept("IF", "EXISTS")
    name = cursor.name()
    cursor.expect("ON")
    table = cursor.table()
    return altered(cursor, table, [_drop_index(name)])


def altered(
    cursor: TokenCursor, table: TableId, edits: list[Edit], *, rebuilds: bool = False
) -> tuple[TableChange, ...]:
    mode = cursor.context.sql_mode
    if not edits and not rebuilds:
        return ()
    return (
        Altered(
            table,
            tuple(edits),
            strict=bool(mode & STRICT),
            numbers_zeros=not mode & NO_AUTO_VALUE_ON_ZERO,
            pads=bool(mode & PAD_CHAR_TO_FULL_LENGTH),
            rebuilds=rebuilds,
        ),
    )


def skip_wait(cursor: TokenCursor) -> None:
    """MariaDB's WAIT n and NOWAIT."""
    if cursor.accept("WAIT"):
        cursor.take()
    else:
        cursor.accept("NOWAIT")


def _clauses(cursor: TokenCursor, draft: AlterDraft) -> None:
    while not cursor.at_end:
        if cursor.accept_symbol(","):
            continue
        if cursor.sees("PARTITION", "BY"):
            cursor.skip_all()
            return
        _clause(cursor, draft)


def _clause(cursor: TokenCursor, draft: AlterDraft) -> None:
    word = cursor.peek().upper
    rule = _RULES.get(word)
    if rule is not None:
        cursor.take()
        rule(cursor, draft)
    elif word == "REPAIR" and cursor.peek(1).upper == "PARTITION":
        draft.edits.append(Repaired())
        cursor.skip_all()
    elif word in _HARMLESS_PARTITION and cursor.peek(1).upper == "PARTITION":
        cursor.skip_all()
    else:
        options = CreateOptions()
        parse_option(cursor, options)
        _take_options(options, draft)


def _take_options(options: CreateOptions, draft: AlterDraft) -> None:
    if options.charset is not None:
        draft.edits.append(DefaultCharset(options.charset, options.collation))
    if options.engine is not None:
        draft.edits.append(SetEngine(options.engine))
        if not keeps_rows(options.named_engine):
            draft.rows_changed(f"the engine {options.named_engine} may keep no rows, or others")
    if options.has_union:
        draft.rows_changed("UNION names other tables")
        draft.after.append(ObjectChanged("MERGE", draft.table))


def _add(cursor: TokenCursor, draft: AlterDraft) -> None:
    if cursor.accept("SYSTEM", "VERSIONING"):
        _versioning(draft, "ADD SYSTEM VERSIONING")
    elif cursor.sees("PERIOD", "FOR"):
        if parse_period(cursor):
            draft.edits.append(Unsure("ADD PERIOD FOR SYSTEM_TIME"))
    elif cursor.accept("PARTITION"):
        cursor.skip_all()
    elif sees_index(cursor):
        index = parse_index(cursor)
        if index is not None:
            draft.edits.append(AddIndex(index))
    else:
        _add_columns(cursor, draft)


def _add_columns(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.accept("COLUMN")
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    if not cursor.accept_symbol("("):
        _add_column(cursor, draft, if_not_exists=if_not_exists)
        return
    while True:
        if sees_index(cursor):
            index = parse_index(cursor)
            if index is not None:
                draft.edits.append(AddIndex(index))
        else:
            _add_column(cursor, draft, if_not_exists=if_not_exists)
        if not cursor.accept_symbol(","):
            break
    cursor.expect_symbol(")")


def _add_column(cursor: TokenCursor, draft: AlterDraft, *, if_not_exists: bool) -> None:
    name = cursor.name()
    spec = parse_column(cursor, name)
    draft.edits.append(AddColumn(spec, parse_place(cursor), if_not_exists))
    draft.edits += [AddIndex(index) for index in column_indexes(spec, if_not_exists=if_not_exists)]


def _drop(cursor: TokenCursor, draft: AlterDraft) -> None:
    if cursor.accept("PRIMARY", "KEY"):
        draft.edits.append(DropPrimaryKey())
    elif cursor.accept("SYSTEM", "VERSIONING"):
        _versioning(draft, "DROP SYSTEM VERSIONING")
    elif cursor.accept("PERIOD", "FOR"):
        cursor.skip_to_comma()
        draft.edits.append(Unsure("DROP PERIOD"))
    elif cursor.accept("PARTITION"):
        draft.rows_changed("DROP PARTITION")
        cursor.skip_all()
    elif cursor.accept_any({"INDEX", "KEY", "CONSTRAINT"}):
        cursor.accept("IF", "EXISTS")
        draft.edits.append(_drop_index(cursor.name()))
    elif cursor.accept("FOREIGN", "KEY") or (
        cursor.sees("CHECK") and cursor.peek(1).kind in {"word", "quoted"}
    ):
        cursor.skip_to_comma()
    else:
        cursor.accept("COLUMN")
        if_exists = cursor.accept("IF", "EXISTS")
        draft.edits.append(DropColumn(cursor.name(), if_exists))
        cursor.accept_any({"RESTRICT", "CASCADE"})


def _drop_index(name: str) -> Edit:
    return DropPrimaryKey() if name.upper() == "PRIMARY" else DropIndex(name)


def _versioning(draft: AlterDraft, clause: str) -> None:
    draft.edits.append(Unsure(clause))
    draft.rows_changed(clause)


def _modify(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.accept("COLUMN")
    cursor.accept("IF", "EXISTS")
    name = cursor.column()
    _change_to(cursor, draft, name, name)


def _change(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.accept("COLUMN")
    cursor.accept("IF", "EXISTS")
    name = cursor.column()
    _change_to(cursor, draft, name, cursor.column())


def _change_to(cursor: TokenCursor, draft: AlterDraft, name: str, new: str) -> None:
    spec = parse_column(cursor, new)
    draft.edits.append(ChangeColumn(name, spec, parse_place(cursor)))
    draft.edits += [AddIndex(index) for index in column_indexes(spec)]


def _alter(cursor: TokenCursor, draft: AlterDraft) -> None:
    if cursor.sees_any({"INDEX", "KEY", "CHECK", "CONSTRAINT"}) and cursor.peek(1).upper != "SET":
        cursor.skip_to_comma()
        return
    cursor.accept("COLUMN")
    cursor.accept("IF", "EXISTS")
    name = cursor.column()
    if cursor.accept("DROP", "DEFAULT"):
        draft.edits.append(SetDefault(name, None))
    elif cursor.accept("SET", "DEFAULT"):
        draft.edits.append(SetDefault(name, parse_default(cursor)))
    else:
        cursor.expect("SET")
        word = cursor.accept_any({"VISIBLE", "INVISIBLE"})
        if not word:
            raise NotUnderstood(f"VISIBLE or INVISIBLE was expected {cursor.here()}")
        draft.edits.append(SetVisible(name, word == "VISIBLE"))


def _rename(cursor: TokenCursor, draft: AlterDraft) -> None:
    if cursor.accept("COLUMN"):
        cursor.accept("IF", "EXISTS")
        name = cursor.column()
        cursor.expect("TO")
        draft.edits.append(RenameColumn(name, cursor.column()))
        return
    if cursor.sees_any({"INDEX", "KEY"}) and cursor.peek(1).kind in {"word", "quoted"}:
        cursor.skip_to_comma()
        return
    if not cursor.accept_any({"TO", "AS"}):
        cursor.accept_symbol("=")
    draft.after.append(Renamed(draft.table, cursor.table(), by_alter=True))


def _convert(cursor: TokenCursor, draft: AlterDraft) -> None:
    if convert_partition(cursor, draft):
        return
    cursor.expect("TO")
    if not accept_charset(cursor):
        raise NotUnderstood(f"CHARACTER SET was expected {cursor.here()}")
    charset = None if cursor.accept("DEFAULT") else charset_name(cursor)
    collation = collation_name(cursor) if cursor.accept("COLLATE") else None
    if collation is not None and charset_of_collation(collation) is None:
        collation = f"{charset}_{collation}" if charset else None
    elif collation is not None:
        charset = charset_of_collation(collation)
    draft.edits.append(ConvertCharset(charset, collation))


def _order(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.expect("BY")
    while True:
        cursor.column()
        cursor.accept_any(_ORDERS)
        if not cursor.accept_symbol(","):
            return


def _with(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.expect("VALIDATION")


def _setting(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.accept_symbol("=")
    cursor.take()


def _nothing(cursor: TokenCursor, draft: AlterDraft) -> None:
    """The clause's one word says all."""


def _keys(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.expect("KEYS")


def _remove(cursor: TokenCursor, draft: AlterDraft) -> None:
    cursor.expect("PARTITIONING")


_RULES: dict[str, Callable[[TokenCursor, AlterDraft], None]] = {
    "ADD": _add,
    "DROP": _drop,
    "MODIFY": _modify,
    "CHANGE": _change,
    "ALTER": _alter,
    "RENAME": _rename,
    "CONVERT": _convert,
    "ORDER": _order,
    "DISCARD": tablespace("DISCARD"),
    "IMPORT": tablespace("IMPORT"),
    "TRUNCATE": truncate_partition,
    "EXCHANGE": exchange_partition,
    "ALGORITHM": _setting,
    "LOCK": _setting,
    "WITH": _with,
    "WITHOUT": _with,
    "FORCE": _nothing,
    "SECONDARY_LOAD": _nothing,
    "SECONDARY_UNLOAD": _nothing,
    "ENABLE": _keys,
    "DISABLE": _keys,
    "REMOVE": _remove,
}
