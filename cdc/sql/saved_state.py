"""The sink's own tables for a target without transactions: in memory, and saved entry by entry.

A transaction changes them in a SQLite database in memory. Its commit saves the entries that changed, each as
JSON, all with one insert into the target, which is atomic. A rollback forgets the memory. So cursor, catalog,
and the tables that are set aside change together, as in a target with transactions.

An entry is the rows of an own table by source and table, or by source alone. Of two versions of an entry, the
higher one counts. A `FLOOR` is saved together with all entries of its source: what has a lower version does
not count, whether that commit has the entry or not. A process saves one with its first changes of a source,
because an older process may still save, and after a save whose answer was lost, because that may still
arrive. An older version saved an own table as one entry; the changes that follow it are saved with a floor.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from cdc.model import TableId
from cdc.model.position import to_microseconds
from cdc.sql.dialect import OwnConnection, OwnDialect, OwnTypes

# Entries by source and name. Tables without a source have the source ''.
Saved = Mapping[tuple[str, str], str]
# The newest version of each source.
Versions = Mapping[str, int]
# Source, name, text and version of an entry.
Entry = tuple[str, str, str, int]

FLOOR = "floor"
NOTHING = "[]"
# Of the other tables, the rows of a source are one entry.
_KEYS = {"tables": ("schema_name", "table_name"), "set_aside": ("schema_name", "table_name")}


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
    """The own tables of all sources.

    `newest` reads the newest version of each source, None if the target has nothing yet. `load` reads the
    newest version of each entry of the given sources, of those above the given versions. Every transaction
    asks for the versions, because another process may have saved since, and loads what it does not know.
    Between transactions the tables are as the last one has saved them.

    Entries of names that are no own tables are notes: they are kept, and are in no table.
    """

    dialect = SavedStateDialect()

    def __init__(
        self,
        newest: Callable[[], Versions | None],
        load: Callable[[Versions], Iterable[Entry]],
        create: Callable[[OwnConnection], None],
    ) -> None:
        self._newest = newest
        self._load = load
        self._create = create
        self._handle: sqlite3.Connection | None = None
        self._columns: dict[str, list[str]] = {}
        self._saved: dict[tuple[str, str], str] = {}
        self._known: dict[str, int] = {}
        self._exists = False

    def begin(self) -> None:
        """Begin a transaction with what is saved now."""
        self._refresh()

    def end(self) -> None:
        """End the transaction, which is saved."""
        self._opened().execute("delete from touched")
        self._exists = True

    def close(self) -> None:
        """Forget the tables, and a transaction that is not saved."""
        handle, self._handle = self._handle, None
        self._saved, self._known = {}, {}
        if handle is not None:
            handle.close()

    def changed(self, *, is_unsure: bool = False) -> Saved:
        """Return what the transaction has changed, to be saved; `is_unsure`: an earlier save may arrive."""
        touched = [(source, name) for source, name in self.query("select source, name from touched")]
        texts = {at: self._text(*at) for at in touched}
        changed = {at: text for at, text in texts.items() if self._saved.get(at, NOTHING) != text}
        for source in {source for source, _ in changed if source}:
            is_old = any((source, table) in self._saved for table in _KEYS)
            if is_unsure or is_old:
                changed |= self._of(source)
        return changed

    def saved(self, entries: Saved, version: int) -> None:
        """Note that these entries are saved."""
        for source, name in entries:
            if name == FLOOR:
                self._saved = {at: text for at, text in self._saved.items() if at[0] != source}
            self._known[source] = version
        self._saved |= entries

    def note(self, source: str, name: str) -> str | None:
        """Return a note as it is saved."""
        self._opened()
        return self._saved.get((source, name))

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `OwnConnection.query`."""
        return self._opened().execute(statement, tuple(values)).fetchall()

    def has(self, name: str) -> bool:
        """See `OwnConnection.has`."""
        self._opened()
        return self._exists and name in self._columns

    def _opened(self) -> sqlite3.Connection:
        if self._handle is None:
            self._refresh()
        assert self._handle is not None
        return self._handle

    def _refresh(self) -> None:
        try:
            self._load_what_is_new()
        except BaseException:
            # What is loaded in part must not be read.
            self.close()
            raise

    def _load_what_is_new(self) -> None:
        newest = self._newest()
        self._exists, newest = newest is not None, newest or {}
        if self._handle is None or any(newest.get(source, 0) < at for source, at in self._known.items()):
            # Also where the target has lost something, or another replica is behind.
            self._reset()
        above = {source: self._known.get(source, 0) for source in newest}
        if above := {source: at for source, at in above.items() if at < newest[source]}:
            self._take(list(self._load(above)))
        self.query("delete from touched")

    def _reset(self) -> None:
        self.close()
        self._handle = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._create(self)
        tables = self.query("select name from sqlite_master where type = 'table'")
        self._columns = {name: self._columns_of(name) for (name,) in tables}
        self.query("create temp table touched (source text, name text, unique (source, name))")
        for table in self._columns:
            for event, rows in ("insert", ["new"]), ("update", ["old", "new"]), ("delete", ["old"]):
                places = (f"({self._source(table, row)}, {self._name(table, row)})" for row in rows)
                self.query(
                    f"create temp trigger {table}_{event} after {event} on {self.dialect.own(table)} "
                    f"begin insert or ignore into touched values {', '.join(places)}; end"
                )
        for table, key in _KEYS.items():
            self.query(f"create index {table}_key on {self.dialect.quoted(table)} (source, {', '.join(key)})")

    def _columns_of(self, table: str) -> list[str]:
        return [name for (name,) in self.query("select name from pragma_table_info(?)", [table])]

    def _take(self, entries: Sequence[Entry]) -> None:
        floors = {source: version for source, name, _, version in entries if name == FLOOR}
        for source in floors:
            self._saved = {at: text for at, text in self._saved.items() if at[0] != source}
            for table in self._columns:
                if "source" in self._columns[table]:
                    self.query(f"delete from {self.dialect.own(table)} where source = ?", [source])
        for source, name, text, version in entries:
            self._known[source] = max(self._known.get(source, 0), version)
            if version >= floors.get(source, 0):
                self._put(source, name, text)

    def _put(self, source: str, name: str, text: str) -> None:
        self._saved[source, name] = text
        table, where, values = self._rows(source, name)
        if table not in self._columns:
            return
        self.query(f"delete from {self.dialect.own(table)}{where}", values)
        for row in json.loads(unpacked(text)):
            marks = ", ".join("?" * len(row))
            self.query(f"insert into {self.dialect.own(table)} values ({marks})", row)

    def _of(self, source: str) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield all entries of a source as they are now, its notes, and the floor below them."""
        for at, text in self._saved.items():
            if at[0] == source and self._rows(*at)[0] not in self._columns:
                yield at, text
        for table, columns in self._columns.items():
            if "source" in columns:
                own = self.dialect.own(table)
                names = f"select distinct {self._name(table, 't')} from {own} t where source = ?"
                for (name,) in self.query(names, [source]):
                    yield (source, name), self._text(source, name)
        yield (source, FLOOR), NOTHING

    def _text(self, source: str, name: str) -> str:
        table, where, values = self._rows(source, name)
        rows = self.query(f"select * from {self.dialect.own(table)}{where} order by rowid", values)
        text = json.dumps(rows)
        return packed(text) if rows and table in _KEYS else text

    def _rows(self, source: str, name: str) -> tuple[str, str, list[str]]:
        """Return the table of an entry, and the condition of its rows with its values."""
        table, _, key = name.partition(" ")
        if "source" not in self._columns.get(table, ()):
            return table, "", []
        values = json.loads(key) if key else []
        columns = ["source", *_KEYS.get(table, ())][: 1 + len(values)]
        return table, f" where {' and '.join(f'{column} = ?' for column in columns)}", [source, *values]

    def _source(self, table: str, row: str) -> str:
        return f"{row}.source" if "source" in self._columns[table] else "''"

    def _name(self, table: str, row: str) -> str:
        """The name of the entry of a row, as an expression."""
        if table not in _KEYS:
            return f"'{table}'"
        return f"'{table} ' || json_array({', '.join(f'{row}.{column}' for column in _KEYS[table])})"


def packed(text: str) -> str:
    """Return JSON in a tenth of its size: a table's columns resemble each other."""
    return b64encode(zlib.compress(text.encode())).decode()


def unpacked(text: str) -> str:
    """Return the JSON of `packed`, or JSON that is not packed."""
    return text if text[:1] in ("[", "{") else zlib.decompress(b64decode(text)).decode()
