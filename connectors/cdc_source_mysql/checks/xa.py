"""XA transactions that are prepared, and those that MariaDB has ended in its binlog only.

MariaDB lets another connection end a branch while the connection that prepared it is still being closed. Then
the binlog, and with it every replica and sink, has the outcome, and InnoDB keeps the rows prepared and
locked, under no name by which they could be ended.
"""

from __future__ import annotations

import re
import time

import pymysql

from cdc.kit.report import counted
from cdc_source_mysql.binlog.xa import STATEMENTS, may_have_xa
from cdc_source_mysql.checks.report import MysqlReport, Server
from cdc_source_mysql.statements import grant

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
