"""Preflight: whether the database can be reached, and whether the role may do what the sink does. What a
transaction can try is tried and rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import psycopg

from cdc.errors import CdcError
from cdc.spi import Finding, Severity
from cdc.sql.dialect import OWN_SCHEMA
from cdc.sql.own_tables import all_set_aside
from cdc_libpq.connecting import ConnectionRefused
from cdc_sink_postgres.database import PostgresConnection, connect, translated, where_of
from cdc_sink_postgres.errors import state_of
from cdc_sink_postgres.options import PostgresSinkOptions

DOCS = "docs/sinks/postgres.md"
# The oldest version with CI here is 15; older ones lack nothing that is used since 13.
OLDEST_MAJOR = 13
# The schema that is tried out is never seen by another session.
_TRIED = "_cdc_check"


def findings(options: PostgresSinkOptions, name: str) -> list[Finding]:
    """Return the findings of `cdc check` for the sink of that name."""
    where = where_of(options)
    try:
        with translated("connecting", where), closing(connect(options, name)) as connection:
            found = [Finding(Severity.OK, "postgres-connection", f"connected to the database {where}")]
            for check in (_server, _pooler, _session):
                found += check(connection)
            if found[-1].code == "postgres-writable":
                return found
            found += [*_privileges(connection), *_publications(connection)]
            not_owned = list(_own_schema(connection))
            if not_owned:
                return [*found, *not_owned]
            found += _row_security(connection)
            return [*found, *(one.finding(DOCS) for one in all_set_aside(connection))]
    except CdcError as error:
        return [_unreachable(error, where)]


def _unreachable(error: CdcError, where: str) -> Finding:
    cause = error.__cause__
    is_refused = isinstance(cause, ConnectionRefused) and cause.refusal.state
    code = "postgres-login" if is_refused else "postgres-connection"
    return Finding(Severity.ERROR, code, f"{where}: {error.message}", error.remedy, DOCS)


def _server(connection: PostgresConnection) -> Iterator[Finding]:
    version = connection.handle.info.server_version
    major = version // 10_000
    if major < OLDEST_MAJOR:
        message = f"the server is PostgreSQL {major}, the sink needs {OLDEST_MAJOR} or newer"
        yield Finding(Severity.ERROR, "postgres-version", message, "Upgrade the server.", DOCS)
    else:
        yield Finding(Severity.OK, "postgres-version", f"the server is PostgreSQL {major}")
    ((encoding, name),) = connection.query(
        "select pg_encoding_to_char(encoding), datname from pg_database where datname = current_database()"
    )
    if encoding == "UTF8":
        yield Finding(Severity.OK, "postgres-encoding", "the database's encoding is UTF8")
        return
    message = f"the database's encoding is {encoding}: text that it cannot represent sets its table aside"
    quoted = connection.dialect.quoted(f"{name}_utf8")
    fix = f"create database {quoted} encoding 'UTF8' template template0;   -- and name it in url"
    yield Finding(Severity.ERROR, "postgres-encoding", message, fix, DOCS)


def _pooler(connection: PostgresConnection) -> Iterator[Finding]:
    """A pooler tells its clients a process number of its own."""
    ((pid,),) = connection.query("select pg_backend_pid()")
    if pid != connection.handle.info.backend_pid:
        message = (
            "a connection pooler is between the daemon and the server; with pool_mode=transaction "
            "(PgBouncer) deliveries fail, because they use temporary tables of their session"
        )
        fix = "Give the address of the server itself, or set pool_mode=session for this database."
        yield Finding(Severity.WARNING, "postgres-pooler", message, fix, DOCS)


def _session(connection: PostgresConnection) -> Iterator[Finding]:
    ((standby,),) = connection.query("select pg_is_in_recovery()")
    if standby:
        message = "the server is a standby, which cannot be written to"
        fix = "Give the address of the primary, or list all hosts with target_session_attrs=read-write."
        yield Finding(Severity.ERROR, "postgres-writable", message, fix, DOCS)


def _own_schema(connection: PostgresConnection) -> Iterator[Finding]:
    """Privileges on the sink's own tables, if they are there."""
    if not connection.has("cursors"):
        return
    found = connection.query(
        "select c.oid::regclass::text, pg_get_userbyid(c.relowner) from pg_class c "
        "join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = ? and c.relkind = 'r' and not pg_has_role(c.relowner, 'usage') order by 1",
        [OWN_SCHEMA],
    )
    if found:
        ((role,),) = connection.query("select quote_ident(current_user)")
        message = f"the sink's tables belong to the role {found[0][1]}, whose tables this role cannot alter"
        fix = f"grant {connection.dialect.quoted(found[0][1])} to {role};"
        yield Finding(Severity.ERROR, "postgres-owner", message, fix, DOCS)


def _row_security(connection: PostgresConnection) -> Iterator[Finding]:
    """Policies that are forced on the sink's tables."""
    if not connection.has("tables"):
        return
    found = connection.query(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        f"join {connection.dialect.own('tables')} t "
        "on (t.stored_schema, t.stored_name) = (n.nspname, c.relname) "
        "where c.relrowsecurity and row_security_active(c.oid) order by 1"
    )
    if found:
        (name,) = found[0]
        message = f"policies of row level security apply to this role in the table {name}"
        fix = f"alter table {name} no force row level security;"
        yield Finding(Severity.ERROR, "postgres-row-security", message, fix, DOCS)


def _privileges(connection: PostgresConnection) -> Iterator[Finding]:
    """Try the operations of the sink in a transaction that is rolled back."""
    role, database = connection.query("select quote_ident(current_user), quote_ident(current_database())")[0]
    attempts = (
        ("postgres-create", f"create schema {_TRIED}", f"grant create on database {database} to {role};"),
        ("postgres-table", f"create table {_TRIED}.t (k bigint primary key)", ""),
        (
            "postgres-temp",
            f"create temp table {_TRIED} (k bigint)",
            f"grant temp on database {database} to {role};",
        ),
    )
    connection.begin()
    try:
        for code, statement, fix in attempts:
            if code == "postgres-table" and not _has_schema(connection):
                continue
            refusal = _tried(connection, statement)
            what = " ".join(statement.split()[: 3 if "temp" in statement else 2])
            if refusal is None:
                yield Finding(Severity.OK, code, f"the role {role} can {what}")
                continue
            message = f"the role {role} cannot {what} (SQLSTATE {refusal})"
            yield Finding(Severity.ERROR, code, message, fix or "Read the server's log.", DOCS)
    finally:
        connection.roll_back()


def _has_schema(connection: PostgresConnection) -> bool:
    return bool(connection.query("select 1 from pg_namespace where nspname = ?", [_TRIED]))


def _tried(connection: PostgresConnection, statement: str) -> str | None:
    """Return the SQLSTATE with which a statement fails; None if it works."""
    connection.run("savepoint cdc_check")
    try:
        connection.run(statement)
    except psycopg.Error as error:
        if not state_of(error):
            raise
        connection.run("rollback to savepoint cdc_check")
        return state_of(error)
    return None


def _publications(connection: PostgresConnection) -> Sequence[Finding]:
    """A publication of all tables has the sink's own tables too: a daemon that reads it would see its own
    writes.
    """
    found = connection.query("select pubname from pg_publication where puballtables order by 1")
    if not found:
        return ()
    names = ", ".join(name for (name,) in found)
    message = (
        f"the publication {names} of this database publishes all tables, also those that the sink writes: "
        "the server refuses updates and deletes in tables without a replica identity (SQLSTATE 55000), and "
        "a source that reads it sees the sink's own changes, so that every delivery causes the next one"
    )
    fix = "Publish the source's tables by name: cdc creates such a publication if `publication` is not set."
    return [Finding(Severity.WARNING, "postgres-loop", message, fix, DOCS)]
