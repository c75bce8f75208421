"""How a server variable is set where this server runs (SQL, a parameter group, a flag), and for how long
the server keeps its binlog.
"""

from __future__ import annotations

import pymysql

from cdc.kit.report import counted
from cdc_source_mysql.checks.report import MysqlReport, Server, is_unknown
from cdc_source_mysql.statements import is_denied

# `set persist`, which keeps a value over restarts, came with this version of MySQL.
PERSIST_SINCE = (8, 0, 0)
HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
# A daemon that was stopped over a night has to find its place again.
LEAST_SECONDS = DAY_SECONDS
# What we advise: a long weekend and a day to notice.
ADVISED_SECONDS = 7 * DAY_SECONDS
ADVISED_HOURS = ADVISED_SECONDS // HOUR_SECONDS
_RDS_HOURS = "select value from mysql.rds_configuration where name = 'binlog retention hours'"
_RDS_FIX = f"call mysql.rds_set_configuration('binlog retention hours', {ADVISED_HOURS});"


def set_variable(server: Server, name: str, value: str) -> str:
    """Return the fix for a dynamic variable; open sessions keep their old value."""
    if (managed := _managed(server, name, value)) is not None:
        return f"{managed}."
    shown = value if value.isdigit() or value.upper() in ("ON", "OFF") else f"'{value}'"
    if not server.is_mariadb and server.version >= PERSIST_SINCE:
        return f"set persist {name} = {shown};"
    return (
        f"set global {name} = {shown}; and in the server's option file, under [{_group(server)}]:"
        f" {name} = {value}"
    )


def set_at_start(server: Server, *settings: tuple[str, str]) -> str:
    """Return the fix for variables that only a restart of the server sets."""
    if (managed := _managed(server, *settings[0])) is not None:
        return f"{managed}, and restart it."
    lines = ", ".join(f"{name} = {value}" for name, value in settings)
    return f"Write into the server's option file, under [{_group(server)}]: {lines}; then restart the server."


def _group(server: Server) -> str:
    return "mariadb" if server.is_mariadb else "mysqld"


def _managed(server: Server, name: str, value: str) -> str | None:
    match server.provider:
        case "rds":
            return f"Set {name} = {value} in the parameter group of the instance"
        case "aurora":
            return f"Set {name} = {value} in the parameter group of the cluster"
        case "cloudsql":
            return f"Set the database flag {name} = {value} of the instance"
        case "azure":
            return f"Set the server parameter {name} to {value}"
    return None


def check_retention(server: Server, report: MysqlReport) -> None:
    """One finding on time, and one on size where that can end a binlog sooner."""
    if server.provider in ("rds", "aurora"):
        _check_rds(server, report)
        return
    seconds = _seconds(server)
    _check_size(server, report)
    if seconds == 0 or server.value("binlog_expire_logs_auto_purge").upper() == "OFF":
        report.ok("binlog-retention", "the server keeps its binlog until a statement purges it")
    elif seconds < LEAST_SECONDS:
        message = (
            f"the server keeps its binlog for {_shown(seconds)}: a daemon stopped for longer has to"
            " copy all tables again"
        )
        report.warn("binlog-retention", message, _expire_fix(server))
    else:
        report.ok("binlog-retention", f"the server keeps its binlog for {_shown(seconds)}")


def _seconds(server: Server) -> int:
    """0 for never; MySQL takes the days only where no seconds are set, MariaDB keeps the two equal."""
    seconds = int(float(server.value("binlog_expire_logs_seconds") or 0))
    return seconds or int(float(server.value("expire_logs_days") or 0) * DAY_SECONDS)


def _expire_fix(server: Server) -> str:
    if server.has("binlog_expire_logs_seconds"):
        return set_variable(server, "binlog_expire_logs_seconds", str(ADVISED_SECONDS))
    return set_variable(server, "expire_logs_days", str(ADVISED_SECONDS // DAY_SECONDS))


def _check_size(server: Server, report: MysqlReport) -> None:
    size = int(server.value("max_binlog_total_size") or 0)
    if size:
        message = (
            f"max_binlog_total_size is {size} bytes: the server purges its binlog at that size,"
            " even if a reader still needs it"
        )
        report.warn("binlog-size", message, set_variable(server, "max_binlog_total_size", "0"))


def _check_rds(server: Server, report: MysqlReport) -> None:
    name = "Amazon Aurora" if server.provider == "aurora" else "Amazon RDS"
    hours = _rds_hours(server)
    if hours is None:
        message = f"{name} does not show how long it keeps the binlog"
        report.warn("binlog-retention", message, f"call mysql.rds_show_configuration; then: {_RDS_FIX}")
    elif hours == 0:
        message = (
            f"{name} has no 'binlog retention hours': it purges the binlog as soon as it can, even if "
            "a reader"
            " still needs it"
        )
        report.error("binlog-retention", message, _RDS_FIX)
    elif hours * HOUR_SECONDS < LEAST_SECONDS:
        message = (
            f"{name} keeps its binlog for {counted(hours, 'hour')}: a daemon stopped for longer has to"
            " copy all tables again"
        )
        report.warn("binlog-retention", message, _RDS_FIX)
    else:
        report.ok("binlog-retention", f"{name} keeps its binlog for {_shown(hours * HOUR_SECONDS)}")


def _rds_hours(server: Server) -> int | None:
    """None when it can't be read, 0 for NULL: as soon as possible."""
    try:
        rows = server.query(_RDS_HOURS)
    except pymysql.MySQLError as error:
        if is_denied(error) or is_unknown(error):
            return None
        raise
    return int(rows[0][0] or 0) if rows else 0


def _shown(seconds: int) -> str:
    if seconds % DAY_SECONDS == 0:
        return counted(seconds // DAY_SECONDS, "day")
    if seconds % HOUR_SECONDS == 0:
        return counted(seconds // HOUR_SECONDS, "hour")
    return f"{seconds} s"
