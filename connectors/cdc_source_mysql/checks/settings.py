"""How a server variable is set where this server runs: SQL, a parameter group, a flag."""

from __future__ import annotations

from cdc_source_mysql.checks.report import Server

# `set persist`, which keeps a value over restarts, came with this version of MySQL.
PERSIST_SINCE = (8, 0, 0)


def set_variable(server: Server, name: str, value: str) -> str:
    """What to do for a dynamic variable; sessions that are open keep their old value."""
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
    """What to do for variables that only a start of the server sets."""
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
