"""Checks the privileges of the account by harmless statements and its grants; names each missing GRANT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cdc.kit.report import counted, listed
from cdc.model import TableId
from cdc_source_mysql.checks.replication import BINLOG_STATUS
from cdc_source_mysql.checks.report import MysqlReport, Server
from cdc_source_mysql.statements import account_name, grant, grant_select, quoted

_GRANT = re.compile(r"GRANT (?P<what>.+?) ON (?:TABLE )?(?P<on>\S.*?) TO ", re.DOTALL)
# MySQL, which names hosts of roles, and MariaDB.
_ROLES = re.compile(r"GRANT (?P<roles>[`'].+?) TO [`']\S*@", re.DOTALL)
_PATTERN = re.compile(r"\\(.)|(%)|(_)")


@dataclass(frozen=True, slots=True)
class Grants:
    """The account's privileges in upper case, its active roles' included, by what they are granted on."""

    everywhere: frozenset[str]
    databases: tuple[tuple[re.Pattern[str], frozenset[str]], ...]
    tables: tuple[tuple[str, frozenset[str]], ...]

    def may(self, privilege: str, table: TableId | None = None) -> bool:
        """Return whether it is held for that table, or everywhere."""
        if _holds(self.everywhere, privilege):
            return True
        if table is None:
            return False
        if any(p.fullmatch(table.schema) and _holds(held, privilege) for p, held in self.databases):
            return True
        name = f"{quoted(table.schema)}.{quoted(table.name)}"
        return any(on == name and _holds(held, privilege) for on, held in self.tables)


class Queries(Protocol):
    """Whoever asks the server."""

    def query(self, statement: str) -> list[tuple[Any, ...]]: ...


def read_grants(server: Queries) -> Grants:
    everywhere: set[str] = set()
    databases: list[tuple[re.Pattern[str], frozenset[str]]] = []
    tables: list[tuple[str, frozenset[str]]] = []
    for (text,) in server.query("show grants"):
        match = _GRANT.match(text)
        if match is None:
            continue  # The grant of a role: what it brings comes in lines of its own.
        held = frozenset(part.strip().upper() for part in match["what"].split(","))
        on = match["on"].strip()
        if on == "*.*":
            everywhere |= held
        elif on.endswith(".*"):
            databases.append((_database(on[:-2]), held))
        else:
            tables.append((on, held))
    return Grants(frozenset(everywhere), tuple(databases), tuple(tables))


def check_roles(server: Server, report: MysqlReport) -> None:
    """Roles that were granted but are not active bring nothing: our sessions activate none."""
    granted = [match["roles"] for (text,) in server.query("show grants") if (match := _role(str(text)))]
    if not granted or server.query("select current_role()")[0][0] not in (None, "NONE"):
        return
    roles = ", ".join(granted)
    account = account_name(server.account)
    if server.is_mariadb:
        fix = f"set default role {granted[0]} for {account};"
    else:
        fix = f"set default role all to {account};"
    report.warn("default-role", f"{server.account} has roles that are not active by default: {roles}", fix)


# The stream, the look at the catalog, and one that looks up definitions or plans a copy. The
# `snapshot_workers` come on top.
DAEMON_CONNECTIONS = 3


def check_connections(server: Server, report: MysqlReport) -> None:
    """The account's own limit, or the server's for each account: in the session it is the one that holds."""
    limit = int(server.query("select @@session.max_user_connections")[0][0])
    needed = DAEMON_CONNECTIONS + server.options.snapshot_workers
    if not 0 < limit < needed:
        return
    message = (
        f"{server.account} is limited to {counted(limit, 'connection')} (max_user_connections), and the"
        f" daemon opens up to {needed}"
    )
    if limit == int(server.variables.get("max_user_connections", "0")):
        fix = f"set global max_user_connections = {needed};"
    else:
        fix = f"alter user {account_name(server.account)} with max_user_connections {needed};"
    if limit < DAEMON_CONNECTIONS:
        report.error("account-connections", message, fix)
    else:
        report.warn("account-connections", message, fix)


def _role(text: str) -> re.Match[str] | None:
    return None if _GRANT.match(text) else _ROLES.match(text)


def check_privileges(
    server: Server,
    grants: Grants,
    needs_lock: Sequence[TableId],
    unreadable: Sequence[TableId],
    report: MysqlReport,
) -> None:
    """`needs_lock` are the tables that are locked for an instant before their copy, `unreadable` those of
    which some column may not be read.
    """
    if grants.may("REPLICATION SLAVE"):
        report.ok("replication-privilege", f"{server.account} may read the binlog")
    else:
        fix = f"{grant('replication slave', server.account)};"
        report.error(
            "replication-privilege", f"{server.account} may not read the binlog (REPLICATION SLAVE)", fix
        )
    _check_status(server, report)
    _check_lock(server, grants, needs_lock, report)
    if unreadable:
        tables = sorted(unreadable)
        message = (
            f"{server.account} may not read {counted(len(tables), 'table')}, which the first copy needs:"
            f" {listed(tables)}"
        )
        report.error("select-privilege", message, f"{grant_select(server.account, tables)};")
    else:
        report.ok("select-privilege", f"{server.account} may read every selected table")


def _check_status(server: Server, report: MysqlReport) -> None:
    if server.first(BINLOG_STATUS) is not None:
        report.ok("status-privilege", f"{server.account} may read the binlog's position")
        return
    privilege = "binlog monitor" if server.is_mariadb else "replication client"
    message = f"{server.account} may not read the binlog's position ({privilege.upper()})"
    report.error("status-privilege", message, f"{grant(privilege, server.account)};")


def _check_lock(server: Server, grants: Grants, needed: Sequence[TableId], report: MysqlReport) -> None:
    closed = sorted(table for table in needed if not grants.may("LOCK TABLES", table))
    if not closed:
        return
    message = (
        f"{server.account} may not lock {listed(closed)}, which is done for an instant to find the exact"
        " position of a copy (LOCK TABLES)"
    )
    names = sorted({table.schema for table in closed})
    fix = "; ".join(grant("lock tables", server.account, f"{quoted(name)}.*") for name in names)
    report.error("lock-privilege", message, f"{fix};")


def unreadable_tables(server: Server, grants: Grants, tables: Iterable[TableId]) -> list[TableId]:
    """The tables of which some column may not be selected.

    information_schema hides such columns, so only the grants show it; where they don't (those to PUBLIC), the
    server is asked.
    """
    return [t for t in tables if not grants.may("SELECT", t) and not _can_select(server, t)]


def _can_select(server: Server, table: TableId) -> bool:
    return server.first([f"select * from {quoted(table.schema)}.{quoted(table.name)} limit 0"]) is not None


def _holds(held: Iterable[str], privilege: str) -> bool:
    return any(item in (privilege, "ALL PRIVILEGES") for item in held)


def _database(text: str) -> re.Pattern[str]:
    """A database as GRANT names it: in backquotes, `%` and `_` wild, a backslash before literal ones."""
    name = text.strip("`").replace("``", "`")
    pattern, last = "", 0
    for match in _PATTERN.finditer(name):
        pattern += re.escape(name[last : match.start()])
        pattern += re.escape(match[1]) if match[1] else ".*" if match[2] else "."
        last = match.end()
    return re.compile(pattern + re.escape(name[last:]), re.DOTALL)
