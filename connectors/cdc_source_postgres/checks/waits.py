"""Transactions that keep a slot, and with it a copy, from being made: prepared ones, and very long ones."""

from __future__ import annotations

from cdc.kit.report import Report, counted
from cdc_source_postgres.checks.report import Server
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.stream.blockers import Blocker, open_transactions

# Longer than the daemon waits before it reports an error, and than most transactions that write.
OPEN_SECONDS = 600


def check_waits(server: Server, report: Report, limits: Limits) -> None:
    """One finding a transaction, with the statement that ends it."""
    if server.is_standby:
        return
    found = [blocker for blocker in open_transactions(server.conn) if _is_old(blocker, limits)]
    for blocker in found:
        kind = "prepared-transaction" if blocker.gid is not None else "open-transaction"
        report.warn(
            kind,
            f"{blocker.who} keeps slots from being created, and tables from being copied, until it ends",
            blocker.remedy,
        )
    if not found:
        minutes = counted(OPEN_SECONDS // 60, "minute")
        report.ok("open-transactions", f"no prepared transaction and none of over {minutes} is open")


def _is_old(blocker: Blocker, limits: Limits) -> bool:
    limit = limits.prepared_seconds if blocker.gid is not None else OPEN_SECONDS
    return blocker.seconds is not None and blocker.seconds >= limit
