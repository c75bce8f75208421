"""Options of a Postgres source, validated before anything connects.

Keys that every source has (`snapshot`, `acknowledge`, `on_gap`, `log`) belong to the engine and are not here.
Validation errors never show a value, because `url` holds a password.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from cdc.defaults import DEFAULT_SNAPSHOT_WORKERS
from cdc.errors import ConfigError
from cdc.kit.options import DEFAULT_HEARTBEAT, STRICT, SnapshotWorkers, Unrepresentable
from cdc.kit.selection import TableSelection, parse_table
from cdc.model import TableId
from cdc.units import Duration
from cdc_libpq.urls import MAX_NAME_BYTES, check_complete, parse_settings, search_path_parameters

# Everything in `public` is what most applications mean by "my database".
TABLES = ("public.*",)
# A slot or publication without a name in the config is `cdc_<source>`.
NAME_PREFIX = "cdc_"

# What the server keeps for itself.
_SYSTEM_SCHEMAS = re.compile(r"pg_catalog|information_schema|pg_toast.*|pg_temp_.*")
_SLOT_NAME = re.compile(r"[a-z0-9_]{1,63}")
# Connection settings of ours: what a user gives for these would be overridden in silence.
_RESERVED_SETTINGS = ("client_encoding", "fallback_application_name", "replication")
_SELECT = 'remove it, and select the tables of a schema NAME with `tables: ["NAME.*"]`'
_DIRECT = "remove it, and give the address of the server itself: a pooler does not support replication"
_FOREIGN = {**search_path_parameters(_SELECT), "pgbouncer": ("Prisma", _DIRECT)}


def select(entries: Sequence[str]) -> TableSelection:
    """The selection that these patterns make; ValueError as `TableSelection.parse`."""
    return TableSelection.parse(entries, _SYSTEM_SCHEMAS)


class PostgresOptions(BaseModel):
    """One Postgres database as a source."""

    model_config = STRICT
    # The log continues from this slot, which was made with this publication.
    fixed: ClassVar[Sequence[str]] = ("slot", "publication")

    url: SecretStr = Field(
        description=(
            "The address of the database: postgresql://user:password@host:port/database, or key=value pairs."
        )
    )
    tables: tuple[str, ...] = Field(
        TABLES, description="The tables to follow: globs on schema.table; `!` excludes; a later entry wins."
    )
    slot: str | None = Field(None, description="The replication slot. Default: cdc_<source>.")
    publication: str | None = Field(None, description="The publication. Default: cdc_<source>.")
    create_publication: bool = Field(
        default=True, description="Whether to create a missing publication, and to add missing tables to it."
    )
    publish_via_partition_root: bool = Field(
        default=True,
        description="Whether to deliver the rows of partitions as rows of their partitioned table.",
    )
    unrepresentable: Unrepresentable = Field(
        "error",
        description=(
            "How to deliver values that Arrow cannot represent: infinity, BC dates, NaN in a decimal."
        ),
    )
    snapshot_workers: SnapshotWorkers = DEFAULT_SNAPSHOT_WORKERS
    failover: bool = Field(
        default=False, description="Whether the slot follows a failover (Postgres 17 and newer)."
    )
    heartbeat: Duration = Field(
        DEFAULT_HEARTBEAT,
        description="The interval at which an idle server is asked for its position. 0s: never.",
    )
    ddl: Literal["auto", "trigger", "watch"] = Field(
        "auto",
        description=(
            "How schema changes are detected. trigger: by event triggers, which are exact; "
            "watch: by reading the catalog; auto: by triggers if they are or can be installed."
        ),
    )
    columns: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="The columns to publish, by schema.table (Postgres 15 and newer)."
    )
    where: dict[str, str] = Field(
        default_factory=dict,
        description=("The SQL condition of the rows to publish, by schema.table (Postgres 15 and newer)."),
    )

    @property
    def selection(self) -> TableSelection:
        return select(self.tables)

    @property
    def column_lists(self) -> dict[TableId, tuple[str, ...]]:
        return {parse_table(table): columns for table, columns in self.columns.items()}

    @property
    def row_filters(self) -> dict[TableId, str]:
        return {parse_table(table): condition for table, condition in self.where.items()}

    def slot_name(self, source: str) -> str:
        """The slot to use for the source of that name in the config."""
        return self.slot or _default_name(source, "slot")

    def publication_name(self, source: str) -> str:
        return self.publication or _default_name(source, "publication")

    @field_validator("url")
    @classmethod
    def _url_is_a_connection_string(cls, value: SecretStr) -> SecretStr:
        check_complete(parse_url(value.get_secret_value()), _RESERVED_SETTINGS)
        return value

    @field_validator("tables")
    @classmethod
    def _tables_are_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        select(value)
        return value

    @field_validator("slot")
    @classmethod
    def _slot_is_allowed(cls, value: str | None) -> str | None:
        if value is not None and not _SLOT_NAME.fullmatch(value):
            raise ValueError("a slot name has 1 to 63 of the characters a-z, 0-9 and _")
        return value

    @field_validator("publication")
    @classmethod
    def _publication_is_allowed(cls, value: str | None) -> str | None:
        if value is not None and not 1 <= len(value.encode()) <= MAX_NAME_BYTES:
            message = f"a publication name has 1 to {MAX_NAME_BYTES} bytes"
            raise ValueError(message)
        return value

    @field_validator("columns")
    @classmethod
    def _columns_are_lists(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for table, columns in value.items():
            parse_table(table)
            if not columns or len(set(columns)) != len(columns):
                message = f"the column list of {table} must name at least one column, and each once"
                raise ValueError(message)
        return value

    @field_validator("where")
    @classmethod
    def _filters_are_conditions(cls, value: dict[str, str]) -> dict[str, str]:
        for table, condition in value.items():
            parse_table(table)
            if not condition.strip():
                message = f"the row filter of {table} is empty: write a condition such as tenant_id <> 0"
                raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _lists_are_of_selected_tables(self) -> PostgresOptions:
        selection = select(self.tables)
        for key, entries in (("columns", self.columns), ("where", self.where)):
            for table in entries:
                if not selection.matches(parse_table(table)):
                    message = f"{key} names {table}, which tables does not select"
                    raise ValueError(message)
        return self


def parse_url(url: str) -> dict[str, str]:
    """The settings in a connection string; ValueError without a word of it, for it may hold a password."""
    return parse_settings(url, _FOREIGN)


def _default_name(source: str, kind: str) -> str:
    name = NAME_PREFIX + re.sub(r"[^a-z0-9_]", "_", source.lower())
    if len(name) > MAX_NAME_BYTES:
        message = f"the default {kind} name {name!r} is longer than {MAX_NAME_BYTES} characters"
        raise ConfigError(message, where=f"sources.{source}", remedy=f"Set {kind}: to a shorter name.")
    return name
