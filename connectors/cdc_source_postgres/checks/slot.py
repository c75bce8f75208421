"""Whether the replication slot is there, ours, free, and still has everything."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from cdc.kit.report import Report
from cdc.spi.source import LogIdentity
from cdc_source_postgres.checks.report import Server
from cdc_source_postgres.statements import alter_slot_failover, drop_slot, reload_setting, terminate
from cdc_source_postgres.stream.ownership import objection, read_mark

PLUGIN = "pgoutput"
# Less than this and an hour of bulk loading may cost the slot.
LOW_SAFE_BYTES = 1 << 30
# More than a daemon that keeps up ever leaves behind; somebody should look.
HIGH_RETAINED_BYTES = 10 << 30
# autovacuum_freeze_max_age's default: from here on the server vacuums against wraparound and can't get past
# the slot.
OLD_CATALOG_TRANSACTIONS = 200_000_000

# Columns that came later are read through JSON, so that one statement serves 13 to 18.
_SLOT = """
    select s.slot_type, s.plugin, s.database, s.active_pid, a.application_name, s.wal_status, s.safe_wal_size,
           to_jsonb(s) ->> 'invalidation_reason' as reason, (to_jsonb(s) ->> 'conflicting')::bool as
           conflicting, (to_jsonb(s) ->> 'failover')::bool as failover, pg_wal_lsn_diff(case when
           pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
           s.restart_lsn)::int8 as retained, age(s.catalog_xmin) as catalog_age from pg_replication_slots s
           left join pg_stat_activity a on a.pid = s.active_pid where s.slot_name = %s
"""


def check_slot(server: Server, owner: LogIdentity | None, report: Report, where: str) -> None:
    """Everything that concerns the slot of that name, and whether it is the log's."""
    with server.conn.cursor(row_factory=dict_row) as cursor:
        state = cursor.execute(_SLOT, (server.slot,)).fetchone()
    if state is None:
        report.ok("slot", f"the replication slot '{server.slot}' does not exist and will be created")
        return
    if _is_foreign(server, state, report) or _is_lost(server, state, report):
        return
    if owner is not None:
        mark = read_mark(server.conn, server.publication, server.slot)
        error = objection(mark, owner, server.slot, where)
        if error is not None:
            report.error("slot-owner", error.message, error.remedy)
            return
    _check_reader(server, state, report)
    _check_reserve(server, state, report)
    _check_age(server, state, report)
    if server.options.failover and server.major >= 17 and not state["failover"]:
        message = f"failover is true, and the slot '{server.slot}' was created without it"
        report.warn("slot-failover", message, alter_slot_failover(server.slot, server.database))


def _is_foreign(server: Server, state: dict[str, Any], report: Report) -> bool:
    fix = f"Set slot: to another name, or, if it is no longer needed: {drop_slot(server.slot)};"
    if state["slot_type"] != "logical":
        found = "is a physical slot, expected a logical one"
    elif state["plugin"] != PLUGIN:
        found = f"uses the plugin {state['plugin']}, expected {PLUGIN}"
    elif state["database"] != server.database:
        found = f"belongs to the database '{state['database']}', not to '{server.database}'"
    else:
        return False
    report.error("slot", f"the replication slot '{server.slot}' {found}", fix)
    return True


def _is_lost(server: Server, state: dict[str, Any], report: Report) -> bool:
    reason = state["reason"] or ("conflict" if state["conflicting"] else None)
    if state["wal_status"] != "lost" and reason is None:
        return False
    message = (
        f"the replication slot '{server.slot}' is invalidated ({reason or 'wal_status lost'}): changes"
        " are lost"
    )
    fix = "Copy all tables again (cdc snapshot). To prevent this, raise max_slot_wal_keep_size."
    report.error("slot-lost", message, fix)
    return True


def _check_reader(server: Server, state: dict[str, Any], report: Report) -> None:
    pid, application = state["active_pid"], state["application_name"]
    if pid is None:
        report.ok("slot", f"the replication slot '{server.slot}' exists and is free")
    elif application == server.application_name:
        report.ok(
            "slot", f"the replication slot '{server.slot}' is in use by a running daemon (process {pid})"
        )
    else:
        who = f"process {pid}" + (f" ({application})" if application else "")
        fix = f"Stop it, or set slot: to another name; on the server: {terminate(pid)};"
        report.error("slot-taken", f"the replication slot '{server.slot}' is in use by {who}", fix)


def _check_reserve(server: Server, state: dict[str, Any], report: Report) -> None:
    safe, retained = state["safe_wal_size"], state["retained"] or 0
    fix = "Start the daemon, or " + reload_setting("max_slot_wal_keep_size", "<larger>")
    if state["wal_status"] == "unreserved":
        message = f"the replication slot '{server.slot}' is about to be lost (wal_status unreserved)"
        report.warn("slot-reserve", message, fix)
    elif safe is not None and safe < LOW_SAFE_BYTES:
        message = f"the replication slot '{server.slot}' is lost after {_megabytes(safe)} more of WAL"
        report.warn("slot-reserve", message, fix)
    if retained > HIGH_RETAINED_BYTES:
        message = (
            f"the replication slot '{server.slot}' keeps {_megabytes(retained)} of WAL on the server's disk"
        )
        report.warn(
            "slot-retained",
            message,
            f"Start the daemon; if the slot is no longer needed: {drop_slot(server.slot)};",
        )


def _check_age(server: Server, state: dict[str, Any], report: Report) -> None:
    age = state["catalog_age"]
    if age is not None and age > OLD_CATALOG_TRANSACTIONS:
        message = (
            f"the replication slot '{server.slot}' has held back vacuum of the catalog for {age} transactions"
        )
        report.warn(
            "slot-age",
            message,
            f"Start the daemon; if the slot is no longer needed: {drop_slot(server.slot)};",
        )


def _megabytes(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"
