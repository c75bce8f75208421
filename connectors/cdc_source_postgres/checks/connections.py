"""Whether the role and the database let in as many connections as the daemon opens."""

from __future__ import annotations

from cdc.kit.report import Report, counted
from cdc_source_postgres.checks.report import Server
from cdc_source_postgres.statements import identifier

# The stream, the look at the catalog beside it, and two while a slot is made or a snapshot is held. The
# `snapshot_workers` come on top.
DAEMON_CONNECTIONS = 4

# Superusers are not limited. Sessions of the daemon itself are no competition for it.
_LIMITS = """
    select r.rolconnlimit, d.datconnlimit,
           (select count(*) from pg_stat_activity a
             where a.usesysid = r.oid and a.pid <> pg_backend_pid() and a.application_name <> %s),
           (select count(*) from pg_stat_activity a
             where a.datid = d.oid and a.pid <> pg_backend_pid() and a.application_name <> %s)
      from pg_roles r, pg_database d
     where r.rolname = current_user and d.datname = current_database()
"""


def check_connections(server: Server, report: Report) -> None:
    """One finding for each limit that is too low."""
    if server.is_superuser:
        return
    name = server.application_name
    row = server.conn.execute(_LIMITS, (name, name)).fetchone()
    assert row is not None
    role_limit, database_limit, of_role, of_database = row
    _check_limit(server, "role", server.role, (role_limit, of_role), report)
    _check_limit(server, "database", server.database, (database_limit, of_database), report)


def _check_limit(
    server: Server, kind: str, name: str, limit_and_used: tuple[int, int], report: Report
) -> None:
    limit, used = limit_and_used
    needed = DAEMON_CONNECTIONS + server.options.snapshot_workers
    if limit < 0 or limit - used >= needed:
        return
    message = (
        f"the {kind} '{name}' is limited to {counted(limit, 'connection')}, {used} of them in use by others,"
        f" and the daemon opens up to {needed}"
    )
    fix = f"alter {kind} {identifier(name)} connection limit {used + needed};"
    if limit - used < DAEMON_CONNECTIONS:
        report.error(f"{kind}-connections", message, fix)
    else:
        report.warn(f"{kind}-connections", message, fix)
