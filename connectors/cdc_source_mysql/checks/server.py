"""Whether the server as a whole can be followed: product and version, binlog, what it writes there, and for
how long it keeps it. And how a server variable is set where this server runs: SQL, a parameter group, a flag.
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


OLDEST = {"mysql": (5, 7, 0), "mariadb": (10, 5, 0)}
# The newest release series that the connector was written for.
NEWEST_MAJOR = {"mysql": 9, "mariadb": 12}
# What else speaks this protocol and has no binlog to read, or another one.
_STRANGERS = ("vitess", "tidb", "oceanbase", "singlestore", "doris", "starrocks", "clickhouse")


def check_server(server: Server, report: MysqlReport) -> bool:
    """Everything that concerns the whole server; False when the rest of the check would make no sense."""
    if not _check_product(server, report):
        return False
    if not _check_version(server, report) or not _check_log_bin(server, report):
        return False
    _check_format(server, report)
    _check_image(server, report)
    _check_metadata(server, report)
    _check_partial_json(server, report)
    _check_compression(server, report)
    _check_durability(server, report)
    _check_commit_order(server, report)
    _check_names(server, report)
    return True


def _check_product(server: Server, report: MysqlReport) -> bool:
    said = f"{server.text} {server.value('version_comment')}".lower()
    stranger = next((name for name in _STRANGERS if name in said), "")
    if not stranger:
        return True
    message = f"the server is neither MySQL nor MariaDB; it reports: {server.text}"
    if stranger == "vitess":
        fix = "Vitess gateways send no binlog: give the address of a MySQL server of the shard in url."
    else:
        fix = "Give the address of a MySQL or MariaDB server in url."
    report.error("server-product", message, fix)
    return False


def _check_version(server: Server, report: MysqlReport) -> bool:
    oldest, newest = OLDEST[server.flavour], NEWEST_MAJOR[server.flavour]
    shown = f"{server.product} {server.number}"
    if server.version < oldest:
        wanted = f"{oldest[0]}.{oldest[1]}"
        message = f"the server is {shown}, expected {wanted} or newer"
        report.error("server-version", message, f"Upgrade the server to {server.product} {wanted} or newer.")
        return False
    if server.version[0] > newest:
        message = f"the server is {shown}, which is newer than the versions that this release was tested with"
        report.warn("server-version", message, "Check for a newer version of the daemon.")
    else:
        report.ok("server-version", f"the server is {shown}")
    return True


def _check_log_bin(server: Server, report: MysqlReport) -> bool:
    if server.value("binlog_storage_engine").lower() == "innodb":
        message = "binlog_storage_engine is innodb, a binlog without files, which this version does not read"
        report.error("log-bin", message, set_at_start(server, ("binlog_storage_engine", "''")))
        return False
    if server.is_on("log_bin"):
        report.ok("log-bin", "the binlog is on")
        return True
    report.error("log-bin", "log_bin is OFF: the server keeps no binlog of its changes", _log_bin_fix(server))
    return False


def _log_bin_fix(server: Server) -> str:
    match server.provider:
        case "rds":
            return (
                "Turn on automated backups of the instance (a retention of at least 1 day): they turn"
                " on the binlog."
            )
        case "aurora":
            return "Set binlog_format = ROW in the parameter group of the cluster, and restart it."
        case "cloudsql":
            return "Turn on point-in-time recovery (binary logging) of the instance."
        case "azure":
            return "Set the server parameter log_bin to ON, and restart it."
    number = server.value("server_id")
    return set_at_start(
        server, ("log_bin", "mysql-bin"), ("server_id", number if number not in ("", "0") else "1")
    )


def _check_format(server: Server, report: MysqlReport) -> None:
    found = server.value("binlog_format") or "ROW"
    if found.upper() == "ROW":
        report.ok("binlog-format", "binlog_format is ROW")
        return
    message = f"binlog_format is {found}, expected ROW: the server logs statements, which contain no rows"
    report.error("binlog-format", message, set_variable(server, "binlog_format", "ROW"))


def _check_image(server: Server, report: MysqlReport) -> None:
    found = server.value("binlog_row_image") or "FULL"
    if found.upper() == "FULL":
        report.ok("row-image", "binlog_row_image is FULL")
        return
    message = (
        f"binlog_row_image is {found}, expected FULL: updates omit unchanged values, and"
        " a table is copied again, at growing intervals, after an insert without a column whose "
        "default is not"
        " known exactly (virtual ones on MariaDB, some of FLOAT, BINARY and TIMESTAMP)"
    )
    report.warn("row-image", message, set_variable(server, "binlog_row_image", "FULL"))


def _check_metadata(server: Server, report: MysqlReport) -> None:
    if not server.has("binlog_row_metadata"):
        report.ok(
            "row-metadata",
            f"{server.product} {server.number} sends no column names: the daemon derives schemas from the DDL"
            " in the binlog",
        )
        return
    found = server.value("binlog_row_metadata")
    if found.upper() == "FULL":
        report.ok("row-metadata", "binlog_row_metadata is FULL: each change contains its schema")
        return
    message = (
        f"binlog_row_metadata is {found}: the daemon derives schemas from the DDL in the binlog, and copies a"
        " table again after DDL that it cannot parse"
    )
    report.warn("row-metadata", message, set_variable(server, "binlog_row_metadata", "FULL"))


def _check_partial_json(server: Server, report: MysqlReport) -> None:
    if "PARTIAL_JSON" not in server.value("binlog_row_value_options").upper():
        return
    if server.value("binlog_row_image").upper() == "FULL":
        report.ok(
            "row-value-options",
            "binlog_row_value_options is PARTIAL_JSON: changed parts of JSON are applied to the old value",
        )
        return
    message = (
        "binlog_row_value_options is PARTIAL_JSON and binlog_row_image is not FULL: changed parts"
        " of JSON come"
        " without the old value that they belong to"
    )
    report.error("row-value-options", message, set_variable(server, "binlog_row_image", "FULL"))


def _check_compression(server: Server, report: MysqlReport) -> None:
    for name in ("binlog_transaction_compression", "log_bin_compress"):
        if server.is_on(name):
            report.ok("compression", f"{name} is ON: compressed changes are read")


def _check_durability(server: Server, report: MysqlReport) -> None:
    wanted = {"sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1"}
    lax = {name: value for name, value in wanted.items() if server.value(name) not in ("", value)}
    if not lax:
        report.ok("durability", "a commit is on disk, and in the binlog, before it is confirmed")
        return
    found = " and ".join(f"{name} is {server.value(name)}" for name in lax)
    message = (
        f"{found}: after a crash of its machine the server can hold changes that its binlog has lost, or the"
        " other way round"
    )
    report.warn("durability", message, "\n".join(set_variable(server, n, v) for n, v in lax.items()))


def _check_commit_order(server: Server, report: MysqlReport) -> None:
    if server.has("binlog_order_commits") and not server.is_on("binlog_order_commits"):
        message = "binlog_order_commits is OFF: changes become visible in another order than the binlog's"
        report.warn("commit-order", message, set_variable(server, "binlog_order_commits", "ON"))


def _check_names(server: Server, report: MysqlReport) -> None:
    found = server.value("lower_case_table_names") or "0"
    if found == "0":
        return
    kept = "in lower case" if found == "1" else "as they were created"
    report.ok(
        "table-names",
        f"lower_case_table_names is {found}: the server treats names that differ only in case as"
        f" equal, and stores them {kept}",
    )
