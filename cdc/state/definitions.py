"""The versions of tables' definitions in the state database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import orjson

from cdc.model import TableId
from cdc.model.position import from_microseconds, to_microseconds
from cdc.spi.state import DefinedColumn, DefinedTable, TableVersion

# A table that is altered every night keeps a quarter of a year.
MOST_VERSIONS = 100


class ReadsDefinitions:
    """Operations that any command may call."""

    def _all(self, statement: str, *values: object) -> list[sqlite3.Row]:
        raise NotImplementedError

    def _has(self, table: str) -> bool:
        raise NotImplementedError

    def definitions(
        self, source: str | None = None, search: str = "", limit: int = 100, before: int | None = None
    ) -> list[TableVersion]:
        """Return the newest versions with an id below `before`, newest first."""
        if not self._has("definitions"):
            return []
        rows = self._all(
            """
            select one.*, (
                select document from definitions as earlier
                where earlier.source = one.source and earlier.table_schema = one.table_schema
                    and earlier.table_name = one.table_name and earlier.id < one.id
                order by earlier.id desc limit 1) as earlier
            from definitions as one
            where coalesce(?1, source) = source and instr(lower(table_schema || '.' || table_name), lower(?2))
                and (?3 is null or id < ?3)
            order by id desc limit ?4
            """,
            source,
            search,
            before,
            limit,
        )
        return [_version(row) for row in rows]

    def definition_versions(self, source: str) -> dict[TableId, int]:
        """Return by table the version that was added last."""
        # In a group with one max(), SQLite takes the other columns from the row that has it.
        rows = self._all(
            "select table_schema, table_name, version, max(id) from definitions where source = ? "
            "group by table_schema, table_name",
            source,
        )
        return {TableId(row["table_schema"], row["table_name"]): row["version"] for row in rows}


class WritesDefinitions:
    """Operations that only the daemon, which holds the lock, may call."""

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def add_definitions(self, source: str, versions: Sequence[TableVersion]) -> None:
        """Remember these versions, in this order, and forget the oldest of tables that have many."""
        if not versions:
            return
        with self._writing() as connection:
            connection.executemany(
                "insert into definitions "
                "(source, table_schema, table_name, version, at, position_text, document) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                [(source, *_row(one)) for one in versions],
            )
            connection.executemany(
                "delete from definitions where id in (select id from definitions where source = ? "
                "and table_schema = ? and table_name = ? order by id desc limit -1 offset ?)",
                _full(source, versions),
            )


def _full(source: str, versions: Iterable[TableVersion]) -> list[tuple[Any, ...]]:
    """The tables that may have more versions than are kept."""
    tables = {one.table for one in versions if one.version > MOST_VERSIONS}
    return [(source, table.schema, table.name, MOST_VERSIONS) for table in tables]


def _row(one: TableVersion) -> tuple[Any, ...]:
    found = one.definition
    columns = [[each.name, each.type, each.source_type, each.nullable] for each in found.columns]
    document = {"columns": columns, "key": found.key, "identity": found.identity}
    at = None if one.at is None else to_microseconds(one.at)
    text = orjson.dumps(document).decode()
    return (one.table.schema, one.table.name, one.version, at, one.position, text)


def _version(row: sqlite3.Row) -> TableVersion:
    return TableVersion(
        id=row["id"],
        source=row["source"],
        table=TableId(row["table_schema"], row["table_name"]),
        version=row["version"],
        at=None if row["at"] is None else from_microseconds(row["at"]),
        position=row["position_text"],
        definition=_definition(row["document"]),
        earlier=None if row["earlier"] is None else _definition(row["earlier"]),
    )


def _definition(text: str) -> DefinedTable:
    document = orjson.loads(text)
    columns = tuple(DefinedColumn(*column) for column in document["columns"])
    return DefinedTable(columns, tuple(document["key"]), document["identity"])
