"""Whether a source learns DDL from event triggers: installs them where the account may, and says why not."""

from __future__ import annotations

from collections.abc import Callable

from cdc.errors import CdcError, SourceRefused
from cdc_source_postgres.connection import Connection, Connector
from cdc_source_postgres.options import PostgresOptions
from cdc_source_postgres.schema.ddl_objects import (
    MESSAGES_SINCE,
    Objects,
    install_statements,
    read_objects,
)

# What prints the SQL for an administrator; see checks/ddl.py.
CHECK_CODE = "ddl-trigger"
SHOW_SQL = f"cdc check --fix {CHECK_CODE}"
# Installing changes catalogs only; if even that waits, the other session's lock is more important.
_LOCK_TIMEOUT = "set local lock_timeout = '2s'"
# Superusers, and the administrators that hosted databases let create event triggers.
_MAY_INSTALL = """
    select r.rolsuper
           or exists (select from pg_roles g
                       where g.rolname in ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin',
                                           'neon_superuser')
                         and pg_has_role(g.oid, 'member'))
           or r.rolname = 'postgres' and exists (select from pg_roles g where g.rolname = 'supabase_admin')
      from pg_roles r
     where r.rolname = current_user
"""
_IN_RECOVERY = "select pg_is_in_recovery()"


def listens(conn: Connection, options: PostgresOptions) -> bool:
    """Return whether the stream is asked for messages: also where no event triggers exist yet."""
    return options.ddl != "watch" and conn.info.server_version >= MESSAGES_SINCE


def use_trigger(
    conn: Connection, connector: Connector, options: PostgresOptions, log: Callable[..., None]
) -> bool:
    """Return whether the stream's DDL messages are to be used: installs or renews the event triggers first,
    where `ddl` and the account allow it.

    Raises:
        SourceRefused: `ddl: trigger`, and the event triggers are not there or do not work.
    """
    if options.ddl == "watch":
        return False
    if conn.info.server_version < MESSAGES_SINCE:
        return _without(connector, options, log, too_old(conn.info.server_version), "Set ddl: watch.")
    objects = read_objects(conn)
    if objects.intact:
        return True
    if wants_install(conn, objects):
        try:
            _install(conn, connector)
        except CdcError as error:
            return _without(connector, options, log, error.message, error.remedy)
        log("installed the event triggers that report DDL", schema="cdc_ddl")
        return read_objects(conn).intact
    return _without(connector, options, log, describe(objects), remedy_for(objects))


def wants_install(conn: Connection, objects: Objects) -> bool:
    """Return whether this account should install or renew the event triggers; not if they were disabled."""
    if objects.intact or objects.newer or objects.disabled:
        return False
    return may_install(conn) and conn.execute(_IN_RECOVERY).fetchone() != (True,)


def may_install(conn: Connection) -> bool:
    """Return whether this account can create event triggers."""
    return conn.execute(_MAY_INSTALL).fetchone() == (True,)


def summary(conn: Connection) -> str:
    """How `ddl: auto` would learn DDL with this account, for a comment in a config."""
    if conn.info.server_version < MESSAGES_SINCE:
        return "schema changes are read from the catalog (Postgres 14 and newer can report them)"
    objects = read_objects(conn)
    if objects.intact:
        return "event triggers report schema changes"
    if wants_install(conn, objects):
        return "the daemon installs event triggers that report schema changes; watch: it does not"
    return f"read from the catalog; more exact with the SQL of {SHOW_SQL}"


def too_old(server_version: int) -> str:
    """Why that server's stream can't carry DDL messages."""
    return f"Postgres {server_version // 10000} does not send messages in the stream (14 and newer do)"


def describe(objects: Objects) -> str:
    """Return the problem with the event triggers, as the end of a sentence."""
    if not objects.exist:
        return "the event triggers that report DDL are not installed"
    if objects.newer:
        return "the event triggers that report DDL were installed by a newer version of the daemon"
    return f"the event triggers that report DDL are {objects.problem}"


def remedy_for(objects: Objects) -> str:
    """One sentence with the command that mends it."""
    if objects.newer:
        return "Update the daemon, or set ddl: watch."
    if objects.disabled:
        return f"Run as a superuser: {objects.enable};"
    return f"As a superuser, run the statements that this command prints: {SHOW_SQL}"


def _without(
    connector: Connector, options: PostgresOptions, log: Callable[..., None], reason: str, remedy: str
) -> bool:
    if options.ddl == "trigger":
        raise SourceRefused(f"ddl is trigger, and {reason}", where=connector.where, remedy=remedy)
    log("reading DDL from the catalog", reason=reason, remedy=remedy)
    return False


def _install(conn: Connection, connector: Connector) -> None:
    with connector.changing("installing the event triggers that report DDL"), conn.transaction():
        conn.execute(_LOCK_TIMEOUT)
        for statement in install_statements(conn.info.server_version):
            conn.execute(statement.encode())
