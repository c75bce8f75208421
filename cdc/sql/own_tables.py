"""The sink's own tables, in the schema `_cdc` of the target: made here, each used by the module of its
subject.
"""

from __future__ import annotations

from dataclasses import asdict

from cdc.errors import SinkRefused
from cdc.sql.connection import Connection
from cdc.sql.dialect import OWN_SCHEMA

# Changes when an older daemon could no longer use the tables.
FORMAT_VERSION = 1

_TABLES = {
    "meta": "format {integer} not null",
    "fences": "source {text} not null, epoch {bigint} not null, log {text}",
    "cursors": """
        source {text} not null, "offset" {bigint} not null, position {text} not null, commit_at {moment},
        epoch {bigint} not null, high {bigint} not null, applied_at {moment} not null,
        position_order {text} not null""",
    "tables": """
        source {text} not null, schema_name {text} not null, table_name {text} not null, relation {bigint},
        version {integer} not null, schema_seq {bigint} not null, since_seq {bigint} not null,
        mode {text} not null, deletes {text} not null, schema {json} not null,
        stored_schema {text}, stored_name {text}, incomplete_since {moment}""",
    "set_aside": """
        source {text} not null, schema_name {text} not null, table_name {text} not null, relation {bigint},
        since_seq {bigint} not null, kind {text} not null, reason {text} not null, remedy {text} not null,
        deliverable {flag} not null, noted_at {moment} not null""",
    "indexes": "statement {text} not null",
    "steps": """
        source {text} not null, "first" {bigint} not null, batches {bigint} not null,
        rows {bigint} not null""",
}


def make(connection: Connection, where: str) -> None:
    """Create the missing tables; within a transaction.

    Raises:
        SinkRefused: a newer version has changed their format.
    """
    dialect = connection.dialect
    for statement in dialect.create_schema(OWN_SCHEMA):
        connection.run(statement)
    types = asdict(dialect.types)
    for name, columns in _TABLES.items():
        connection.run(f"create table if not exists {dialect.own(name)} ({columns.format(**types)})")
    meta = dialect.own("meta")
    found = connection.query(f"select format from {meta}")
    if not found:
        connection.run(f"insert into {meta} values ({FORMAT_VERSION})")
    elif found[0][0] > FORMAT_VERSION:
        raise SinkRefused(
            f"the {dialect.container} is of format {found[0][0]}, this version writes {FORMAT_VERSION}",
            where=where,
            remedy=f"Upgrade the daemon to the version that wrote the {dialect.container}.",
        )
