"""The tables of the state database and their version.

Version 1 is the first. A later version adds its statements to `_MIGRATIONS`; a database of a newer version
than this program knows is refused, never guessed at.
"""

from __future__ import annotations

import sqlite3

from cdc.errors import StateError

_MIGRATIONS: tuple[str, ...] = (
    """
    create table epochs (sink text primary key, epoch integer not null) strict, without rowid;
    create table plans (
        sink text not null, source text not null,
        first_offset integer not null, next_offset integer not null,
        position_order text not null, position_text text not null, commit_at integer,
        primary key (sink, source)
    ) strict, without rowid;
    create table checkpoints (
        id integer primary key autoincrement,
        source text not null, next_offset integer not null,
        position_order text not null, position_text text not null, at integer not null
    ) strict;
    create index checkpoints_by_source on checkpoints (source, at);
    create table replays (
        id integer primary key autoincrement,
        sink text not null, source text not null, from_offset integer not null,
        requested_at integer not null, finished_at integer, error text
    ) strict;
    """,
    """
    create table copies (
        id integer primary key autoincrement,
        source text not null, tables text, sink text,
        requested_at integer not null, taken_at integer, finished_at integer, error text
    ) strict;
    """,
    """
    alter table copies add column reason text;
    create table cursors (
        sink text not null, source text not null, epoch integer not null, next_offset integer not null,
        position_order text not null, position_text text not null, at integer not null,
        primary key (sink, source)
    ) strict, without rowid;
    """,
    """
    create table pauses (
        kind text not null, name text not null, at integer not null, by text not null,
        primary key (kind, name)
    ) strict, without rowid;
    create table table_pauses (
        id integer primary key autoincrement,
        source text not null, table_schema text not null, table_name text not null, pauses integer not null,
        requested_at integer not null, finished_at integer, error text
    ) strict;
    """,
    """
    create table reloads (
        id integer primary key autoincrement, by text not null, dry_run integer not null,
        requested_at integer not null, finished_at integer, result text
    ) strict;
    """,
    """
    create table definitions (
        id integer primary key autoincrement,
        source text not null, table_schema text not null, table_name text not null,
        version integer not null, at integer, position_text text, document text not null
    ) strict;
    create index definitions_by_table on definitions (source, table_schema, table_name, id);
    """,
)
SCHEMA_VERSION = len(_MIGRATIONS)


def migrate(connection: sqlite3.Connection, where: str) -> None:
    """Bring the database to this program's version. StateError when it is of a newer one."""
    version = check_version(connection, where)
    for number, script in enumerate(_MIGRATIONS[version:], version + 1):
        connection.executescript(f"begin immediate; {script}; pragma user_version = {number}; commit;")


def check_version(connection: sqlite3.Connection, where: str) -> int:
    """The database's version. StateError when this program is older than it."""
    version = int(connection.execute("pragma user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        message = f"the state has version {version}; this version reads up to {SCHEMA_VERSION}"
        raise StateError(message, where=where, remedy="Run the newer version that wrote it.")
    return version


def require_own_version(connection: sqlite3.Connection, where: str) -> None:
    """StateError when the database lacks what this program's version has."""
    version = check_version(connection, where)
    if version < SCHEMA_VERSION:
        message = f"the state has version {version}; this command needs version {SCHEMA_VERSION}"
        remedy = "Restart the daemon with this version of cdc: it converts the state when it starts."
        raise StateError(message, where=where, remedy=remedy)
