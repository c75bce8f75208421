"""Report of the checks, with the open connection, the config, and the facts of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdc_source_postgres.options import PostgresOptions
from cdc_source_postgres.schema.catalog import Connection

_SETTINGS = (
    "hot_standby_feedback",
    "idle_replication_slot_timeout",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_wal_senders",
    "primary_slot_name",
    "server_encoding",
    "server_version",
    "synchronized_standby_slots",
    "synchronous_standby_names",
    "wal_level",
)
# Roles that only one provider creates → the provider.
_PROVIDERS = {
    "rds_superuser": "rds",
    "cloudsqlsuperuser": "cloudsql",
    "azure_pg_admin": "azure",
    "neon_superuser": "neon",
    "supabase_admin": "supabase",
}


@dataclass(frozen=True, slots=True)
class Server:
    """Facts of the server and of the role."""

    conn: Connection
    options: PostgresOptions
    slot: str
    publication: str
    application_name: str
    version: int
    settings: Mapping[str, str]
    provider: str
    role: str
    database: str
    is_superuser: bool
    can_replicate: bool
    is_standby: bool

    @property
    def major(self) -> int:
        return self.version // 10000

    def number(self, setting: str) -> int:
        return int(self.settings[setting])


def describe_server(conn: Connection, options: PostgresOptions, name: str, application_name: str) -> Server:
    """Ask for everything in `Server`; settings that this version does not have are left out."""
    rows = conn.execute("select name, setting from pg_settings where name = any(%s)", (list(_SETTINGS),))
    settings: dict[str, str] = {str(name): str(setting or "") for name, setting in rows}
    roles = conn.execute(
        "select rolname from pg_roles where rolname = any(%s)", (list(_PROVIDERS),)
    ).fetchall()
    row = conn.execute(
        """
        select r.rolname, current_database(), r.rolsuper, r.rolreplication or r.rolsuper or exists (
                   select from pg_roles g where g.rolname = 'rds_replication' and pg_has_role(g.oid,
                   'usage')), pg_is_in_recovery() from pg_roles r where r.rolname = current_user
        """
    ).fetchone()
    assert row is not None
    return Server(
        conn=conn,
        options=options,
        slot=options.slot_name(name),
        publication=options.publication_name(name),
        application_name=application_name,
        version=conn.info.server_version,
        settings=settings,
        provider=next((_PROVIDERS[role] for (role,) in roles), ""),
        role=row[0],
        database=row[1],
        is_superuser=row[2],
        can_replicate=row[3],
        is_standby=row[4],
    )
