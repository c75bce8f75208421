"""The sink's own tables for a target without transactions: in memory, and saved whole.

A transaction changes them in a SQLite database in memory. Its commit saves each of them that changed, as
JSON, all with one insert into the target, which is atomic. A rollback forgets the memory. So cursor, catalog,
and the tables that are set aside change together, as in a target with transactions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from cdc.model import TableId
from cdc.model.position import to_microseconds
from cdc.sql.dialect import OwnConnection, OwnDialect, OwnTypes

# One own table's rows of one source, by source and table. Tables without a source have the source ''.
Saved = Mapping[tuple[str, str], str]


class SavedStateDialect(OwnDialect):
    """SQLite's SQL; times are microseconds."""

    types = OwnTypes("text", "integer", "integer", "integer", "integer", "text", "text")

    def place(self, table: TableId) -> TableId:
        return TableId("main", table.name)

    def create_schema(self, name: str) -> list[str]:
        del name
        return []

    def moment(self, at: datetime | None) -> str:
        return "null" if at is None else str(to_microseconds(at))

    def microseconds(self, moment: str) -> str:
        return moment


class SavedState(OwnConnection):
    """The own tables of all sources; `load` reads what the target has saved, None if it has nothing yet.

    Every transaction loads them again: another process may have changed them. Between transactions they are
    as the last one has saved them.
    """

    dialect = SavedStateDialect()

    def __init__(self, load: Callable[[], Saved | None], create: Callable[[OwnConnection], None]) -> None:
        self._load = load
        self._create = create
        self._handle: sqlite3.Connection | None = None
        self._saved: Saved = {}
        self._exists = False

    def begin(self) -> None:
        """Begin a transaction with what is saved now."""
        self._read()

    def end(self) -> None:
        """End the transaction, which is saved."""
        self._saved = self._dump()
        self._exists = True

    def close(self) -> None:
        """Forget the tables, and a transaction that is not saved."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def changed(self) -> Saved:
        """Return what the transaction has changed, to be saved."""
        now = self._dump()
        gone = {at: "[]" for at in self._saved if at not in now and self._saved[at] != "[]"}
        return {at: text for at, text in now.items() if self._saved.get(at) != text} | gone

    def of(self, source: str) -> Saved:
        """Return all tables of one source as they are now."""
        return {at: text for at, text in self._dump().items() if at[0] == source}

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `OwnConnection.query`."""
        return self._opened().execute(statement, tuple(values)).fetchall()

    def has(self, name: str) -> bool:
        """See `OwnConnection.has`."""
        self._opened()
        return self._exists and name in self._tables()

    def _opened(self) -> sqlite3.Connection:
        if self._handle is None:
            self._read()
        assert self._handle is not None
        return self._handle

    def _read(self) -> None:
        self.close()
        loaded = self._load()
        self._exists, self._saved = loaded is not None, loaded or {}
        self._handle = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._create(self)
        for (_, table), text in self._saved.items():
            rows = json.loads(text)
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                self._handle.executemany(f"insert into {self.dialect.own(table)} values ({marks})", rows)

    def _dump(self) -> dict[tuple[str, str], str]:
        made: dict[tuple[str, str], list[Any]] = {}
        for table in self._tables():
            found = self._opened().execute(f"select * from {self.dialect.own(table)} order by rowid")
            names = [column[0] for column in found.description]
            for row in found:
                source = row[names.index("source")] if "source" in names else ""
                made.setdefault((source, table), []).append(row)
        return {at: json.dumps(rows) for at, rows in made.items()}

    def _tables(self) -> list[str]:
        return [
            name for (name,) in self._opened().execute("select name from sqlite_master where type = 'table'")
        ]
