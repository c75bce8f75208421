"""Whether the binlog can be followed over time: positions, retention, replicas, filters, our own number, and
transactions that were prepared before.

MariaDB lets another connection end a prepared XA branch while the connection that prepared it is still being
closed. Then the binlog, and with it every replica and sink, has the outcome, and InnoDB keeps the rows
prepared and locked, under no name by which they could be ended.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from typing import Any

import pymysql

from cdc.kit.report import counted, listed
from cdc.spi.source import LogIdentity
from cdc_source_mysql.binlog.dump import label_of
from cdc_source_mysql.binlog.transactions import STATEMENTS, may_have_xa
from cdc_source_mysql.checks.report import MysqlReport, Server
from cdc_source_mysql.checks.server import check_retention, set_at_start, set_variable
from cdc_source_mysql.statements import grant

# Each statement in its forms, the newest first.
BINLOG_STATUS = ("show binary log status", "show binlog status", "show master status")
_REPLICA_STATUS = {
    "mysql": ("show replica status", "show slave status"),
    "mariadb": ("show all slaves status",),
}
_REPLICAS = ("show replicas", "show slave hosts")
# MySQL turns GTIDs on in these steps, while it runs; each has to reach every replica before the next.
_GTID_STEPS = (
    "set @@global.enforce_gtid_consistency = WARN",
    "set @@global.enforce_gtid_consistency = ON",
    "set @@global.gtid_mode = OFF_PERMISSIVE",
    "set @@global.gtid_mode = ON_PERMISSIVE",
    "set @@global.gtid_mode = ON",
)


def check_replication(
    server: Server, owner: LogIdentity | None, databases: Collection[str], report: MysqlReport
) -> None:
    """Everything that concerns the binlog as a whole; `databases` are those of the selected tables."""
    _check_gtids(server, report)
    check_retention(server, report)
    _check_replica(server, report)
    _check_filters(server, databases, report)
    _check_server_id(server, owner.log_id if owner else "", report)
    check_xa(server, report)


def _check_gtids(server: Server, report: MysqlReport) -> None:
    if server.is_mariadb:
        report.ok(
            "gtid", "positions are GTIDs of MariaDB: after a failover the source continues on a replica"
        )
        return
    mode, enforced = server.value("gtid_mode").upper(), server.value("enforce_gtid_consistency").upper()
    if mode == "ON":
        if enforced == "ON":
            report.ok("gtid", "gtid_mode is ON: after a failover the source continues on a replica")
        else:
            message = f"gtid_mode is ON and enforce_gtid_consistency is {enforced}, expected ON"
            report.warn("gtid", message, set_variable(server, "enforce_gtid_consistency", "ON"))
        return
    message = (
        f"gtid_mode is {mode or 'OFF'}, expected ON: positions are files and offsets of this one server, so a"
        " failover to a replica needs a new copy of all tables"
    )
    report.warn("gtid", message, _gtid_fix(server))


def _gtid_fix(server: Server) -> str:
    if server.provider:
        return " ".join(set_at_start(server, (n, "ON")) for n in ("enforce_gtid_consistency", "gtid_mode"))
    return (
        "One after the other, on every server of the replication, each step everywhere before the next: "
        + "; ".join(_GTID_STEPS)
        + "; and write gtid_mode = ON and enforce_gtid_consistency = ON into the option file."
    )


def _check_replica(server: Server, report: MysqlReport) -> None:
    rows = server.first(_REPLICA_STATUS[server.flavour])
    if rows is None:
        privilege = "slave monitor" if server.is_mariadb else "replication client"
        report.ok(
            "replica",
            "whether the server is itself a replica is not visible to this account",
            f"To let the daemon check it: {grant(privilege, server.account)};",
        )
        return
    if not rows:
        return
    updates = "log_replica_updates" if server.has("log_replica_updates") else "log_slave_updates"
    if not server.is_on(updates):
        message = (
            f"the server is a replica and {updates} is OFF: its binlog lacks the changes that it replicates"
        )
        report.error("replica", message, set_at_start(server, (updates, "ON")))
        return
    report.ok("replica", f"the server is a replica that logs what it replicates ({updates} is ON)")
    _check_replica_order(server, report)


def _check_replica_order(server: Server, report: MysqlReport) -> None:
    for prefix in ("replica", "slave"):
        workers, order = f"{prefix}_parallel_workers", f"{prefix}_preserve_commit_order"
        if server.has(order):
            if server.value(workers) not in ("", "0", "1") and not server.is_on(order):
                message = f"{order} is OFF: the replica commits in another order than its source"
                fix = set_variable(server, order, "ON")
                if not server.provider:  # It can't be set while rows are applied.
                    fix = f"stop {prefix} sql_thread; {fix.rstrip(';')}; start {prefix} sql_thread;"
                report.warn("replica-order", message, fix)
            return


def _check_filters(server: Server, databases: Collection[str], report: MysqlReport) -> None:
    rows = server.first(BINLOG_STATUS)
    if not rows:
        return  # `privileges` says so when it may not be asked.
    row = {key.lower(): str(value or "") for key, value in rows[0].items()}
    only = _names(row.get("binlog_do_db", ""))
    without = _names(row.get("binlog_ignore_db", ""))
    lost = sorted(d for d in databases if (only and d not in only) or (not only and d in without))
    if not only and not without:
        report.ok("binlog-filter", "the binlog contains every database")
    elif lost:
        setting = "binlog-do-db" if only else "binlog-ignore-db"
        message = f"the binlog omits the changes of {listed(lost)} ({setting})"
        report.error(
            "binlog-filter",
            message,
            f"Remove {setting} from the server's option file; then restart the server.",
        )
    else:
        message = "the binlog omits databases, none of them selected (binlog-do-db, binlog-ignore-db)"
        report.ok("binlog-filter", message)


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def _check_server_id(server: Server, log_id: str, report: MysqlReport) -> None:
    if server.value("server_id") == "0":
        message = "server_id is 0: the server sends its binlog to no replica"
        report.error("server-id", message, set_variable(server, "server_id", "1"))
        return
    ours = server.options.replica_id(server.source)
    remedy = (
        "Set another server_id: for this source in the config, one that no server of the replication has."
    )
    if server.value("server_id") == str(ours):
        report.error("server-id", f"the server has our own server_id {ours}", remedy)
        return
    taken = [row for row in server.first(_REPLICAS) or [] if _field(row, "server_id") == str(ours)]
    foreign = [row for row in taken if not _is_ours(server, log_id, row)]
    if foreign:
        host = _field(foreign[0], "host")
        message = (
            f"another replica or daemon{f' ({host})' if host else ''} has our server_id {ours}: the "
            "two disconnect"
            " each other"
        )
        report.error("server-id", message, remedy)
    else:
        report.ok("server-id", f"our server_id {ours} is unique among the replicas")


def _is_ours(server: Server, log_id: str, row: dict[str, Any]) -> bool:
    """Return whether this log registered under our number. MariaDB shows our name, no uuid."""
    found = _field(row, "replica_uuid") or _field(row, "slave_uuid")
    if not found:
        _, _, label = _field(row, "host").partition(" ")
        return label in ("", label_of(log_id))
    return found in {server.options.replica_uuid(server.source, known) for known in ("", log_id)}


def _field(row: dict[str, Any], name: str) -> str:
    return next((str(value) for key, value in row.items() if key.lower() == name and value is not None), "")


# What is on its way when it is looked at is over by then.
SECOND_LOOK_SECONDS = 1.0
# InnoDB's words for a prepared transaction that no session holds.
_LEFT = re.compile(r"^---TRANSACTION (\d+), ACTIVE \(PREPARED\).* recovered trx", re.MULTILINE)


def check_xa(server: Server, report: MysqlReport) -> None:
    _check_prepared(server, report)
    if server.is_mariadb:
        _check_lost(server, report)


def _check_prepared(server: Server, report: MysqlReport) -> None:
    rows = server.first((STATEMENTS[server.flavour],))
    if rows is None:
        privilege = "xa_recover_admin"
        report.ok(
            "xa",
            "prepared XA transactions are not visible to this account: the rows of one prepared before the"
            " first run are searched in the binlogs at its XA COMMIT",
            f"To let the daemon check them: {grant(privilege, server.account)};",
        )
    elif rows:
        message = (
            f"{counted(len(rows), 'XA transaction')} {'is' if len(rows) == 1 else 'are'}"
            " prepared: the rows are read from the binlog again at XA COMMIT, and must not be purged until"
            " then"
        )
        fix = (
            "End the abandoned ones (xa recover convert xid; lists them): xa commit ...; or xa rollback ...;"
        )
        report.warn("xa", message, fix)
    else:
        report.ok("xa", "no XA transaction is prepared")


def _check_lost(server: Server, report: MysqlReport) -> None:
    with server.conn.cursor(pymysql.cursors.Cursor) as cursor:
        if not may_have_xa(cursor, rolled_back=True):
            return
    left = _left(server)
    if left is None:
        report.ok(
            "xa-lost",
            "whether XA transactions were ended in the binlog only is not visible to this account",
            f"To let the daemon check it: {grant('process', server.account)};",
        )
        return
    lost = 0
    if len(left) > _listed(server):
        time.sleep(SECOND_LOOK_SECONDS)
        # Those that stay prepared stay listed, unless they are lost.
        before, left = _listed(server), left & (_left(server) or set())
        lost = len(left) - max(before, _listed(server))
    if lost > 0:
        report.warn(
            "xa-lost",
            f"{counted(lost, 'prepared XA transaction')} cannot be ended: the binlog shows commit or "
            "rollback,"
            " but InnoDB keeps the rows unchanged and locked, because another connection ended"
            f" {'it' if lost == 1 else 'them'} while the first was being closed",
            "Restart the server: xa recover format='SQL'; lists them again. End each as the binlog ended it,"
            " without a second entry: set session sql_log_bin = 0; xa commit ...; or xa rollback ...;",
        )


def _left(server: Server) -> set[str] | None:
    """The ids of the prepared transactions of no session; None when we may not ask."""
    rows = server.first(("show engine innodb status",))
    if rows is None:
        return None
    return {found for row in rows for found in _LEFT.findall(str(row.get("Status", "")))}


def _listed(server: Server) -> int:
    return len(server.query(STATEMENTS[server.flavour]))
