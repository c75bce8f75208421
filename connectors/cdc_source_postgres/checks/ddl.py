"""Whether DDL is learned from event triggers, and the SQL that an administrator can run for it."""

from __future__ import annotations

from cdc.kit.report import Report
from cdc_source_postgres.checks.report import Server
from cdc_source_postgres.schema.ddl_objects import MESSAGES_SINCE, Objects, install_script, read_objects
from cdc_source_postgres.schema.ddl_setup import CHECK_CODE, describe, too_old, wants_install


def check_ddl(server: Server, report: Report) -> None:
    """One finding: what the daemon will do at its start."""
    wanted = server.options.ddl
    if wanted == "watch":
        return
    if server.version < MESSAGES_SINCE:
        _without(report, wanted, too_old(server.version), "Set ddl: watch.")
        return
    objects = read_objects(server.conn)
    if objects.intact:
        report.ok(CHECK_CODE, "event triggers report DDL in the stream")
    elif wants_install(server.conn, objects):
        report.ok(CHECK_CODE, f"{describe(objects)}: the daemon will install them")
    else:
        _without(report, wanted, describe(objects), _fix(server, objects))


def _fix(server: Server, objects: Objects) -> str:
    if objects.newer:
        return "Update the daemon, or set ddl: watch."
    if objects.disabled:
        return f"{objects.enable};"
    return install_script(server.version)


def _without(report: Report, wanted: str, reason: str, fix: str) -> None:
    if wanted == "trigger":
        report.error(CHECK_CODE, f"ddl is trigger, and {reason}", fix)
    else:
        message = (
            f"{reason}: schema changes are read from the catalog, and a table is copied again if they cannot"
            " be proven harmless"
        )
        report.ok(CHECK_CODE, f"{message} (a superuser can install them)", fix)
