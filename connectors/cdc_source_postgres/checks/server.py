"""Whether the server as a whole can be decoded from: version, settings, room for slots, standby, failover."""

from __future__ import annotations

import re

from cdc.kit.report import Report, counted
from cdc_source_postgres.checks.report import Server
from cdc_source_postgres.statements import (
    alter_system,
    grant_replication,
    identifier,
    reload_setting,
    wal_level_fix,
)

OLDEST_MAJOR = 13
NEWEST_MAJOR = 18
# Minors before these can lose rows of a transaction that was open while its table came into the publication.
FIXED_MINORS = {13: 21, 14: 18, 15: 13, 16: 9, 17: 5}
# What `alter system` may set max_slot_wal_keep_size to, as a start: a day's WAL of most databases.
WAL_KEEP_EXAMPLE = "50GB"
# The stream's slot, and a temporary one while tables are copied.
SLOTS_NEEDED = 2

_STANDBY_LIST = re.compile(r"(?:(?:first|any)\s+)?\d+\s*\((.*)\)", re.IGNORECASE | re.DOTALL)


def check_server(server: Server, report: Report) -> None:
    """Everything that concerns the whole server."""
    _check_version(server, report)
    if is_too_old(server):
        return  # It lacks settings that the rest asks for.
    _check_wal_level(server, report)
    _check_role(server, report)
    _check_room(server, report)
    _check_retention(server, report)
    _check_synchronous(server, report)
    _check_encoding(server, report)
    _check_standby(server, report)
    _check_failover(server, report)


def is_too_old(server: Server) -> bool:
    return server.major < OLDEST_MAJOR


def minor_is_flawed(version: int) -> bool:
    """Return whether this minor version has the publication race (`FIXED_MINORS`)."""
    return version % 10000 < FIXED_MINORS.get(version // 10000, 0)


def standby_names(setting: str) -> list[str]:
    """The names in synchronous_standby_names, in lower case as the server compares them."""
    match = _STANDBY_LIST.fullmatch(setting.strip())
    names = (match[1] if match else setting).split(",")
    return [name.strip().strip('"').lower() for name in names if name.strip()]


def _check_version(server: Server, report: Report) -> None:
    version = server.settings["server_version"].split()[0]
    if is_too_old(server):
        message = f"the server is Postgres {version}, expected {OLDEST_MAJOR} to {NEWEST_MAJOR}"
        report.error("server-version", message, f"Upgrade the server to Postgres {OLDEST_MAJOR} or newer.")
    elif server.major > NEWEST_MAJOR:
        message = (
            f"the server is Postgres {version}, which is newer than the versions that this "
            "release was tested with"
        )
        report.warn("server-version", message, "Check for a newer version of the daemon.")
    else:
        report.ok("server-version", f"the server is Postgres {version}")
    if minor_is_flawed(server.version):
        wanted = f"{server.major}.{FIXED_MINORS[server.major]}"
        message = (
            f"Postgres {version} can lose changes of transactions that were open while their table"
            " came into the"
            f" publication; this is repaired in {wanted}"
        )
        report.warn("server-minor", message, f"Upgrade the server to Postgres {wanted} or newer.")


def _check_wal_level(server: Server, report: Report) -> None:
    level = server.settings["wal_level"]
    if level == "logical":
        report.ok("wal-level", "wal_level is 'logical'")
    else:
        report.error(
            "wal-level", f"wal_level is '{level}', expected 'logical'", wal_level_fix(server.provider)
        )


def _check_role(server: Server, report: Report) -> None:
    if server.can_replicate:
        report.ok("replication-privilege", f"the role '{server.role}' may replicate")
        return
    fix = grant_replication(server.role, server.provider) + ";"
    report.error("replication-privilege", f"the role '{server.role}' may not replicate", fix)


def _check_room(server: Server, report: Report) -> None:
    row = server.conn.execute(
        """
        select count(*), count(*) filter (where slot_name = %s),
               (select count(*) from pg_stat_replication),
               count(*) filter (where slot_name = %s and active)
          from pg_replication_slots
        """,
        (server.slot, server.slot),
    ).fetchone()
    assert row is not None
    slots, own_slot, senders, own_sender = row
    _check_slots(server, report, used=slots, needed=SLOTS_NEEDED - own_slot)
    _check_senders(server, report, used=senders, needed=SLOTS_NEEDED - own_sender)


def _check_slots(server: Server, report: Report, *, used: int, needed: int) -> None:
    limit = server.number("max_replication_slots")
    message = (
        f"{used} of {limit} replication slots are in use, and {counted(needed, 'more slot')}"
        f" {'is' if needed == 1 else 'are'} needed (the stream's, and a temporary one while tables"
        " are copied)"
    )
    fix = "Drop unused slots (select slot_name, active from pg_replication_slots;), or run: " + alter_system(
        "max_replication_slots", str(max(10, used + needed))
    )
    if limit - used >= needed:
        report.ok("replication-slots", f"{used} of {limit} replication slots are in use")
    elif needed < SLOTS_NEEDED:
        report.warn("replication-slots", message, fix)
    else:
        report.error("replication-slots", message, fix)


def _check_senders(server: Server, report: Report, *, used: int, needed: int) -> None:
    limit = server.number("max_wal_senders")
    if limit - used >= needed:
        report.ok("wal-senders", f"{used} of {limit} wal senders are in use")
        return
    message = (
        f"{used} of {limit} wal senders are in use, and {needed} more"
        f" {'is' if needed == 1 else 'are'} needed (the stream, and one while tables are copied)"
    )
    fix = "Run: " + alter_system("max_wal_senders", str(max(10, used + needed)))
    report.error("wal-senders", message, fix)


def _check_retention(server: Server, report: Report) -> None:
    if server.number("max_slot_wal_keep_size") < 0:
        report.warn(
            "wal-retention",
            "max_slot_wal_keep_size is -1: while the daemon is stopped, the slot keeps WAL until"
            " the disk is full",
            "Set it to the disk space that you can spare: "
            f"{reload_setting('max_slot_wal_keep_size', WAL_KEEP_EXAMPLE)}",
        )
    else:
        size = server.number("max_slot_wal_keep_size")
        report.ok(
            "wal-retention", f"max_slot_wal_keep_size is {size} MB: a slot never keeps more WAL than that"
        )
    timeout = server.settings.get("idle_replication_slot_timeout", "0")
    if timeout != "0":
        report.warn(
            "idle-slot-timeout",
            f"idle_replication_slot_timeout is {timeout} s: a daemon stopped for longer loses its slot",
            reload_setting("idle_replication_slot_timeout", "0"),
        )


def _check_synchronous(server: Server, report: Report) -> None:
    setting = server.settings["synchronous_standby_names"]
    names = standby_names(setting)
    if "*" not in names and server.application_name.lower() not in names:
        return
    report.warn(
        "synchronous-standby",
        f"synchronous_standby_names is '{setting}', which counts the daemon"
        f" ('{server.application_name}') as a standby:"
        " commits then wait for it",
        "List the standbys by name: " + reload_setting("synchronous_standby_names", "<standby>, ..."),
    )


def _check_encoding(server: Server, report: Report) -> None:
    encoding = server.settings["server_encoding"]
    if encoding == "SQL_ASCII":
        report.warn(
            "encoding",
            "the database's encoding is SQL_ASCII: text that is not valid UTF-8 stops the source",
            "Copy the data into a database created with encoding 'UTF8', or exclude such columns with"
            " `columns`, or their tables in `tables`.",
        )
    else:
        report.ok("encoding", f"the database's encoding is {encoding}")


def _check_standby(server: Server, report: Report) -> None:
    if not server.is_standby:
        return
    if server.major < 16:
        message = (
            f"the server is a standby, and Postgres {server.major} cannot decode changes there (16 and"
            " newer can)"
        )
        report.error("standby", message, "Give the primary's address in url.")
        return
    if server.settings["hot_standby_feedback"] != "on":
        report.error(
            "standby-feedback",
            "the server is a standby without hot_standby_feedback: its primary's vacuum invalidates the slot",
            f"On the standby, run: {reload_setting('hot_standby_feedback', 'on')}",
        )
    if not server.settings["primary_slot_name"]:
        report.warn(
            "standby-slot",
            "the standby has no primary_slot_name: while it is disconnected, its primary's vacuum"
            " can invalidate the slot",
            "Create a physical slot on the primary, and on the standby run: "
            + reload_setting("primary_slot_name", "<slot>"),
        )
    report.ok(
        "standby",
        "the server is a standby: the publication must be created on its primary, and making the"
        " slot waits for the"
        " primary's next record of running transactions",
        "On the primary, run: select pg_log_standby_snapshot();",
    )


def _check_failover(server: Server, report: Report) -> None:
    if not server.options.failover:
        return
    if server.major < 17:
        message = f"failover is true, and Postgres {server.major} has no failover slots (17 and newer have)"
        report.error("failover", message, "Set failover: false.")
    elif server.is_standby:
        report.error(
            "failover",
            "failover is true, and a slot on a standby cannot follow a failover",
            "Set failover: false.",
        )
    elif not server.settings["synchronized_standby_slots"]:
        report.warn(
            "failover",
            "failover is true, and synchronized_standby_slots is empty: sinks can get changes that"
            " a promoted standby"
            " never received",
            "Name the standbys' physical slots: "
            + reload_setting("synchronized_standby_slots", "<slot>, ...")
            + " On each standby: sync_replication_slots = on, hot_standby_feedback = on,"
            " primary_slot_name, and dbname in"
            " primary_conninfo.",
        )
    else:
        slots = server.settings["synchronized_standby_slots"]
        report.ok("failover", f"changes are sent after the standbys of {slots} have them")


# The stream, the look at the catalog, and two while a slot is made or a snapshot is held. The
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
