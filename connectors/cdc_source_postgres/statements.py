"""The SQL that findings and errors ask an operator to run: quoted, ready to paste, without the semicolon."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cdc.model import TableId

_WAL_LEVEL_FIXES = {
    "rds": "Set rds.logical_replication = 1 in the parameter group of the instance (Aurora: of the"
    " cluster) and reboot.",
    "cloudsql": "Set the database flag cloudsql.logical_decoding = on; the instance restarts.",
    "azure": "Set the server parameter wal_level to logical and restart the server.",
    "neon": "Enable logical replication in the project's settings.",
}
ALTER_WAL_LEVEL = (
    "Run: alter system set wal_level = 'logical'; then restart the server (Amazon RDS and Aurora: set"
    " rds.logical_replication = 1 in the parameter group and reboot; Google Cloud SQL: set the flag"
    " cloudsql.logical_decoding = on; Azure: set the server parameter wal_level and restart)."
)

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
# Names that parse as something else without quotes in the statements below.
_KEYWORDS = frozenset(
    """
    all analyse analyze and any array as asc asymmetric both case cast check collate column
    constraint create current_catalog current_date current_role current_time current_timestamp
    current_user default deferrable desc distinct do else end except false fetch for foreign from
    grant group having in initially intersect into lateral leading limit localtime localtimestamp
    not null offset on only or order placing primary references returning select session_user some
    symmetric system_user table then to trailing true union unique user using variadic when where
    window with authorization binary collation concurrently cross current_schema freeze full ilike
    inner is isnull join left like natural notnull outer overlaps right similar tablesample verbose
    public none
    """.split()  # noqa: SIM905  (as a list it would be a hundred lines)
)


def identifier(name: str) -> str:
    """A name as SQL wants it: bare where that is safe, else in double quotes."""
    if _PLAIN_NAME.fullmatch(name) and name not in _KEYWORDS:
        return name
    quoted = name.replace('"', '""')
    return f'"{quoted}"' if name.isprintable() else f'U&"{_escaped(quoted)}"'


def literal(text: str) -> str:
    """A text as a SQL literal (standard_conforming_strings)."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if text.isprintable() else f"U&'{_escaped(quoted)}'"


def _escaped(text: str) -> str:
    """Escape unprintable characters as SQL does, so that a pasted statement is one line."""
    plain = text.replace("\\", "\\\\")
    return "".join(c if c.isprintable() else f"\\+{ord(c):06X}" for c in plain)


def table_name(table: TableId) -> str:
    # `public` is a keyword only as a grantee; as a schema everyone writes it bare.
    schema = table.schema if table.schema == "public" else identifier(table.schema)
    return f"{schema}.{identifier(table.name)}"


def table_names(tables: Sequence[TableId]) -> str:
    return ", ".join(table_name(table) for table in tables)


def wal_level_fix(provider: str) -> str:
    """For a known provider its own words, else those for all."""
    return _WAL_LEVEL_FIXES.get(provider, ALTER_WAL_LEVEL)


def grant_replication(role: str, provider: str = "") -> str:
    if provider == "rds":
        return f"grant rds_replication to {identifier(role)}"
    return f"alter role {identifier(role)} replication"


def grant_select(role: str, tables: Sequence[TableId]) -> str:
    return f"grant select on {table_names(tables)} to {identifier(role)}"


def grant_usage(role: str, schemas: Sequence[str]) -> str:
    names = ", ".join(name if name == "public" else identifier(name) for name in schemas)
    return f"grant usage on schema {names} to {identifier(role)}"


def grant_create(role: str, database: str) -> str:
    return f"grant create on database {identifier(database)} to {identifier(role)}"


def raise_setting(name: str) -> str:
    """For settings that take effect with a restart."""
    return f"Run: alter system set {name} = ...; with a larger number, then restart the server."


def alter_system(name: str, value: str) -> str:
    """Set a setting that takes effect with a restart."""
    return f"alter system set {name} = {value}; then restart the server."


def reload_setting(name: str, value: str) -> str:
    """Set a setting that takes effect without a restart."""
    return f"alter system set {name} = {literal(value)}; select pg_reload_conf();"


def drop_slot(slot: str) -> str:
    return f"select pg_drop_replication_slot({literal(slot)})"


def drop_publication(name: str) -> str:
    return f"drop publication {identifier(name)}"


def terminate(pid: int) -> str:
    return f"select pg_terminate_backend({pid})"


def create_publication(name: str, tables: Sequence[TableId], *, via_root: bool = True) -> str:
    """An explicit list; `publish_via_partition_root` is said only when it is wanted."""
    options = " with (publish_via_partition_root = true)" if via_root else ""
    return f"create publication {identifier(name)} for table {table_names(tables)}{options}"


def add_tables(publication: str, tables: Sequence[TableId]) -> str:
    return f"alter publication {identifier(publication)} add table {table_names(tables)}"


def publish_everything(publication: str) -> str:
    return f"alter publication {identifier(publication)} set (publish = 'insert, update, delete, truncate')"


def replica_identity_full(table: TableId) -> str:
    return f"alter table {table_name(table)} replica identity full"


def replica_identity_default(table: TableId) -> str:
    return f"alter table {table_name(table)} replica identity default"


def bypass_row_security(role: str) -> str:
    return f"alter role {identifier(role)} bypassrls"


def publish_generated(publication: str) -> str:
    """Postgres 18 and newer."""
    return f"alter publication {identifier(publication)} set (publish_generated_columns = stored)"


def set_via_root(publication: str, *, via_root: bool) -> str:
    value = "true" if via_root else "false"
    return f"alter publication {identifier(publication)} set (publish_via_partition_root = {value})"


def alter_slot_failover(slot: str, database: str) -> str:
    """The one remedy that is a replication command: its keyword must be in capitals, and psql must connect
    for it.
    """
    command = f"ALTER_REPLICATION_SLOT {identifier(slot)} (failover true);"
    return f'psql "dbname={database} replication=database" -c "{command}"'
