"""The current catalog, from information_schema and SHOW CREATE TABLE: tables, columns, keys, foreign keys,
collations, and the server facts that a stream needs.

Names come in lower case from a server that ignores it (`lower_case_table_names`), as the stream has them.
Every function takes an open DB-API cursor (PyMySQL's paramstyle), or a connection, and only reads. The
driver's errors are left to the caller's boundary. The session's sql_mode must not hold NO_BACKSLASH_ESCAPES
or ANSI_QUOTES; `cdc_source_mysql.connection` shows generated invisible primary keys. Foreign keys are read
from SHOW CREATE TABLE, because MariaDB's information_schema lists them only for accounts that may do more
with a table than SELECT.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cdc.kit.selection import TableSelection
from cdc.model import TableId
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.connection import ServerFacts
from cdc_source_mysql.schema.charsets import Collation
from cdc_source_mysql.schema.column_defaults import WIDE_CHARSETS, shown_default
from cdc_source_mysql.schema.column_types import is_compressed, is_legacy_temporal, parse_type
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition, hash_columns
from cdc_source_mysql.wire.codes import Flavour

# As the server writes it, on a line of its own: names in backquotes, actions after the parent's columns.
_NAME: Final = r"`((?:[^`]|``)+)`"
_FOREIGN_KEY: Final = re.compile(
    rf"^\s*CONSTRAINT {_NAME} FOREIGN KEY \([^\n]*?\) REFERENCES (?:{_NAME}\.)?{_NAME}"
    r" \(([^\n]*?`)\)([^\n]*)",
    re.MULTILINE,
)
_EACH_NAME: Final = re.compile(_NAME)
_UNION: Final = re.compile(r" UNION=\(([^\n]*?`)\)")
_MEMBER: Final = re.compile(rf"(?:{_NAME}\.)?{_NAME}(?:,|$)")
_ACTION: Final = re.compile(r"ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT)")
SYSTEM_DATABASES = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
BASE_TABLE, SYSTEM_VERSIONED = "BASE TABLE", "SYSTEM VERSIONED"
# What MariaDB adds to a table with system versioning that names none: they are in the row images and
# can be selected, but information_schema doesn't show them.
HIDDEN_PERIOD = ("row_start", "row_end")
_PERIOD_TYPE = "timestamp(6)"
_JSON_COLLATION = "utf8mb4_bin"
# Tables of one query: far below any limit on the length of a statement.
TABLES_OF_ONE_QUERY = 500
_COLLATIONS = """
    select c.id, c.collation_name, c.character_set_name, s.maxlen
    from information_schema.collations c
    join information_schema.character_sets s on s.character_set_name = c.character_set_name
    where c.id is not null
"""
# MariaDB lists collations that several character sets share apart.
_SHARED_COLLATIONS = """
    select a.id, a.full_collation_name, a.character_set_name, s.maxlen
    from information_schema.collation_character_set_applicability a
    join information_schema.character_sets s on s.character_set_name = a.character_set_name
"""
_HAS_SHARED_COLLATIONS = """
    select count(*) from information_schema.columns
    where table_schema = 'information_schema' and column_name = 'FULL_COLLATION_NAME'
      and table_name = 'COLLATION_CHARACTER_SET_APPLICABILITY'
"""
_DEFAULT_COLLATIONS = "select character_set_name, default_collate_name from information_schema.character_sets"
_DATABASES = "select schema_name, default_collation_name from information_schema.schemata"
_LIST = """
    select table_schema, table_name from information_schema.tables
    where table_type in ('BASE TABLE', 'SYSTEM VERSIONED')
    order by table_schema, table_name
"""
_TABLES = """
    select table_schema, table_name, table_type, engine, table_rows, data_length, table_collation
    from information_schema.tables
    where table_schema = %s and table_name in %s and table_type in ('BASE TABLE', 'SYSTEM VERSIONED')
"""
_COLUMNS = """
    select table_name, column_name, column_type, character_set_name, collation_name, is_nullable, extra,
           column_default, generation_expression, column_key, {srid}
    from information_schema.columns
    where table_schema = %s and table_name in %s
    order by table_name, ordinal_position
"""
_HAS_SRID = """
    select count(*) from information_schema.columns
    where table_schema = 'information_schema' and table_name = 'COLUMNS' and column_name = 'SRS_ID'
"""
_KEYS = """
    select table_name, index_name, column_name, nullable, index_type
    from information_schema.statistics
    where table_schema = %s and table_name in %s and non_unique = 0
    order by table_name, index_name, seq_in_index
"""
_PARTITIONS = """
    select table_name, partition_name, subpartition_name
    from information_schema.partitions
    where table_schema = %s and table_name in %s and partition_name is not null
    order by table_name, partition_ordinal_position, subpartition_ordinal_position
"""
_JSON_CHECKS = """
    select table_name, check_clause
    from information_schema.check_constraints
    where constraint_schema = %s and table_name in %s and check_clause like 'json_valid(%%'
"""


@dataclass(frozen=True, slots=True)
class Cascade:
    """A foreign key that changes its table's rows when the parent's change. `columns` are the parent's;
    `actions`: what it does on DELETE and UPDATE.
    """

    name: str
    parent: TableId
    columns: tuple[str, ...]
    actions: Mapping[str, str]

    @property
    def rules(self) -> str:
        """`on delete cascade, on update set null`."""
        return ", ".join(f"on {when} {what}".lower() for when, what in self.actions.items())


def cascades(table: TableId, definition: str) -> Iterator[Cascade]:
    """Those of a table, by its SHOW CREATE TABLE."""
    for name, schema, parent, columns, said in _FOREIGN_KEY.findall(definition):
        actions = dict(_ACTION.findall(said))
        if actions:
            parent_id = TableId(_unquoted(schema) or table.schema, _unquoted(parent))
            referenced = tuple(map(_unquoted, _EACH_NAME.findall(columns)))
            yield Cascade(_unquoted(name), parent_id, referenced, actions)


def merged(table: TableId, definition: str) -> tuple[TableId, ...]:
    """The tables that a MERGE table shows, by its SHOW CREATE TABLE."""
    found = _UNION.findall(definition)
    members = _MEMBER.findall(found[-1]) if found else ()
    return tuple(TableId(_unquoted(schema) or table.schema, _unquoted(name)) for schema, name in members)


def _unquoted(name: str) -> str:
    return name.replace("``", "`")


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A base table now. `kind` is BASE TABLE or SYSTEM VERSIONED; `partitions` the names of partitions (with
    subpartitions `p/sp`), () for a plain table; `rows` and `data_bytes` are the engine's estimates.
    """

    definition: TableDefinition
    kind: str
    rows: int
    data_bytes: int
    partitions: tuple[str, ...] = ()

    @property
    def table(self) -> TableId:
        return self.definition.table


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Facts of the server besides its tables: `collations` by id; `defaults`: character set → default one."""

    facts: ServerFacts
    collations: Mapping[int, Collation]
    defaults: Mapping[str, str]

    @property
    def flavour(self) -> Flavour:
        return self.facts.flavour


def read_knowledge(connection: Connection, facts: ServerFacts) -> Knowledge:
    with connection.cursor() as cursor:
        defaults = {_text(name): _text(default) for name, default in _fetch(cursor, _DEFAULT_COLLATIONS)}
        return Knowledge(facts, read_collations(cursor), defaults)


def read_databases(connection: Connection) -> dict[str, str]:
    """The collation that a new table gets without one of its own, by database."""
    with connection.cursor() as cursor:
        cased = _casing(cursor)
        rows = _fetch(cursor, _DATABASES)
    return {cased(TableId(_text(name), "")).schema: _text(collation) for name, collation in rows}


def read_collations(cursor: Any) -> dict[int, Collation]:
    """Collation id → collation, of everything that the server knows."""
    queries = [_COLLATIONS]
    if _fetch(cursor, _HAS_SHARED_COLLATIONS)[0][0]:
        queries.append(_SHARED_COLLATIONS)
    rows = [row for query in queries for row in _fetch(cursor, query)]
    return {
        int(number): Collation(int(number), str(name), str(charset), int(max_bytes))
        for number, name, charset, max_bytes in rows
    }


def list_tables(cursor: Any) -> list[TableId]:
    """Every base table outside the system's databases that the login may see."""
    cased = _casing(cursor)
    found = [cased(TableId(_text(schema), _text(name))) for schema, name in _fetch(cursor, _LIST)]
    return [table for table in found if table.schema.lower() not in SYSTEM_DATABASES]


def _casing(cursor: Any) -> Callable[[TableId], TableId]:
    """Return the function that folds names as the server folds them before a comparison."""
    ignores_case = _fetch(cursor, "select @@lower_case_table_names")[0][0]
    return TableId.lower if ignores_case else lambda table: table


def read_tables(cursor: Any, tables: Collection[TableId], flavour: str) -> dict[TableId, TableInfo]:
    """The tables of those names that exist now."""
    if not tables:
        return {}
    cased = _casing(cursor)
    wanted = set(map(cased, tables))
    has_srid = bool(_fetch(cursor, _HAS_SRID)[0][0])
    found: dict[TableId, TableInfo] = {}
    for schema, names in _by_schema(tables):
        for info in _read(cursor, schema, names, flavour, has_srid=has_srid):
            table = cased(info.table)
            if table in wanted:
                found[table] = replace(info, definition=replace(info.definition, table=table))
    return found


def select_tables(cursor: Any, selection: TableSelection, flavour: str) -> dict[TableId, TableInfo]:
    """The tables that the selection takes."""
    chosen = [table for table in list_tables(cursor) if selection.matches(table)]
    return read_tables(cursor, chosen, flavour)


def definitions(infos: Mapping[TableId, TableInfo]) -> dict[TableId, TableDefinition]:
    return {table: info.definition for table, info in infos.items()}


def _by_schema(tables: Iterable[TableId]) -> Iterable[tuple[str, list[str]]]:
    schemas: dict[str, list[str]] = {}
    for table in sorted(tables):
        schemas.setdefault(table.schema, []).append(table.name)
    for schema, names in schemas.items():
        for start in range(0, len(names), TABLES_OF_ONE_QUERY):
            yield schema, names[start : start + TABLES_OF_ONE_QUERY]


def _read(
    cursor: Any, schema: str, names: Sequence[str], flavour: str, *, has_srid: bool
) -> Iterable[TableInfo]:
    tables = _fetch(cursor, _TABLES, schema, names)
    columns_query = _COLUMNS.format(srid="srs_id" if has_srid else "null")
    columns = _grouped(_fetch(cursor, columns_query, schema, names))
    keys = _grouped(_fetch(cursor, _KEYS, schema, names))
    partitions = _grouped(_fetch(cursor, _PARTITIONS, schema, names))
    is_mariadb = flavour == "mariadb"
    checks = _grouped(_fetch(cursor, _JSON_CHECKS, schema, names)) if is_mariadb else {}
    for row in tables:
        name = _text(row[1])
        json_checks = {_text(clause) for (clause,) in checks.get(name, ())}
        own = [_column(column, json_checks, flavour) for column in columns.get(name, ())]
        period = _period(columns.get(name, ()))
        if row[2] == SYSTEM_VERSIONED and not period:
            period = HIDDEN_PERIOD
            own += [
                ColumnDefinition(hidden, _PERIOD_TYPE, nullable=False, generated=True, invisible=True)
                for hidden in HIDDEN_PERIOD
            ]
        own += _hashes(keys.get(name, ()), own, row) if is_mariadb else ()
        yield TableInfo(
            definition=TableDefinition(
                table=TableId(_text(row[0]), name),
                columns=tuple(own),
                key=_key(keys.get(name, ()), _primary_columns(columns.get(name, ())), period),
                engine=_text(row[3]) if row[3] is not None else "",
                period=period,
                has_primary_key=any(_text(key[0]).upper() == "PRIMARY" for key in keys.get(name, ())),
                default_collation=_text(row[6]) if row[6] is not None else None,
            ),
            kind=str(row[2]),
            rows=int(row[4] or 0),
            data_bytes=int(row[5] or 0),
            partitions=tuple(_partition(partition) for partition in partitions.get(name, ())),
        )


def _column(row: Sequence[Any], json_checks: Collection[str], flavour: str) -> ColumnDefinition:
    name, column_type, charset, collation, nullable, extra, _, _, _, srid = row
    column_type = _text(column_type)
    parsed = parse_type(column_type)
    flags = str(extra).upper()
    has_bytes = charset is None or charset == "binary"
    return ColumnDefinition(
        name=_text(name),
        column_type=parsed.canonical,
        charset=None if has_bytes else str(charset),
        collation=None if has_bytes else str(collation),
        nullable=str(nullable).upper() == "YES",
        generated="GENERATED" in flags.replace("DEFAULT_GENERATED", ""),
        invisible="INVISIBLE" in flags,
        labels=parsed.labels,
        default=shown_default(row, parsed, flavour),
        is_json=parsed.base == "longtext" and collation == _JSON_COLLATION and _is_checked(name, json_checks),
        compressed=is_compressed(column_type),
        legacy_temporal=is_legacy_temporal(column_type),
        srid=None if srid is None else int(srid),
        has_unsure_labels=charset in WIDE_CHARSETS and any("?" in label for label in parsed.labels),
    )


def _hashes(
    keys: Iterable[Sequence[Any]], columns: Iterable[ColumnDefinition], row: Sequence[Any]
) -> tuple[ColumnDefinition, ...]:
    """The hidden columns of long unique keys, after all others."""
    found: dict[str, tuple[str, bool]] = {}
    for index, _, nullable, kind in keys:
        _, can_be_null = found.get(_text(index), ("", False))
        found[_text(index)] = _text(kind), can_be_null or str(nullable).upper() == "YES"
    engine = _text(row[3]) if row[3] is not None else ""
    return hash_columns(found.values(), engine, [column.name for column in columns])


def _is_checked(name: object, json_checks: Collection[str]) -> bool:
    quoted = _text(name).replace("`", "``")
    return f"json_valid(`{quoted}`)" in json_checks


def _period(columns: Iterable[Sequence[Any]]) -> tuple[str, ...]:
    """The two columns of system versioning, where the table names them."""
    marks = {str(column[7] or "").upper(): _text(column[0]) for column in columns}
    found = tuple(marks[mark] for mark in ("ROW START", "ROW END") if mark in marks)
    return found if len(found) == len(HIDDEN_PERIOD) else ()


def _primary_columns(columns: Iterable[Sequence[Any]]) -> set[str]:
    """The columns of the primary key, or of the unique index that the server takes for it."""
    return {_text(column[0]) for column in columns if str(column[8]).upper() == "PRI"}


def _key(rows: Sequence[Sequence[Any]], primary: Collection[str], period: Sequence[str]) -> tuple[str, ...]:
    """The primary key; else the unique index that the server takes for it, which events name too; else the
    first (by name) whose columns are all NOT NULL.
    """
    indexes: dict[str, list[Sequence[Any]]] = {}
    for index, column, nullable, _ in rows:
        indexes.setdefault(_text(index), []).append((column, nullable))
    keys = {
        index: tuple(_text(column) for column, _ in parts)
        for index, parts in indexes.items()
        if all(column is not None and str(nullable).upper() != "YES" for column, nullable in parts)
    }
    # The end of a row's period is a part of every unique index of a versioned table, but identifies no row.
    whole = {index: tuple(name for name in key if name not in period) for index, key in keys.items()}
    ordered = sorted(
        whole, key=lambda index: (index.upper() != "PRIMARY", set(keys[index]) != primary, index)
    )
    return whole[ordered[0]] if ordered else ()


def _partition(row: Sequence[Any]) -> str:
    name, sub = row
    return _text(name) if sub is None else f"{_text(name)}/{_text(sub)}"


def _grouped(rows: Iterable[Sequence[Any]]) -> dict[str, list[Sequence[Any]]]:
    """Rows by their first column, the table's name."""
    grouped: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        grouped.setdefault(_text(row[0]), []).append(row[1:])
    return grouped


def _fetch(cursor: Any, query: str, *parameters: Any) -> Sequence[Sequence[Any]]:
    cursor.execute(query, parameters or None)
    rows: Sequence[Sequence[Any]] = cursor.fetchall()
    return rows


def _text(value: object) -> str:
    """information_schema's texts; some servers give some of them as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
