"""The sink contract on mirrors that are written by INSERT … ON CONFLICT (SQLite) and by MERGE (DuckDB)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from cdc.model import ChangeBatch, TableId
from cdc.spi import Sink
from cdc.sql import Connection
from cdc.sql.keyed import KeyedRows, insert_on_conflict, merge
from cdc.testing.events import changes, delivery, sink_context, table
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.database import DuckDBConnection
from cdc_sink_duckdb.dialect import DuckDBDialect
from cdc_sink_duckdb.options import Options
from tests.contract import test_duckdb_sink_contract as duckdb_contracts
from tests.contract import test_sqlite_sink_contract as sqlite_contracts
from tests.support.sqlite_sink import SQLiteConnection, SQLiteDialect, SQLiteOptions, SQLiteSink

PREFIX = "_cdc_key_"
ITEMS = table("public.items", {"id": pa.int64(), "code": pa.string(), "n": pa.int64()}, relation=1)


class ConflictDialect(SQLiteDialect):
    written: ClassVar[list[str]] = []

    def write_keyed(self, rows: KeyedRows) -> list[str]:
        statements = insert_on_conflict(rows, self.delete)
        self.written[:] = statements
        return statements


class ConflictConnection(SQLiteConnection):
    dialect = ConflictDialect()

    def index_key(self, place: TableId, columns: Sequence[str], *, is_unique: bool) -> None:
        named = f"{PREFIX}{place.name}"
        indexes = "select name from sqlite_master where type = 'index'"
        found = self.query(f"{indexes} and tbl_name = ? and name like '{PREFIX}%'", [place.name])
        for (name,) in found:
            self.run(f"drop index {self.dialect.quoted(name)}")
        taken = {name for (name,) in self.query(indexes)}
        while named in taken:
            named += "_"
        if columns:
            quoted = ", ".join(self.dialect.quoted(column) for column in columns)
            kind = "unique index" if is_unique else "index"
            name, target = self.dialect.quoted(named), self.dialect.quoted(place.name)
            self.run(f"create {kind} {name} on {target} ({quoted})")

    def places(self) -> list[TableId]:
        return [place for place in super().places() if not place.name.startswith(PREFIX)]


class ConflictSink(SQLiteSink):
    def connect(self) -> Connection:
        return ConflictConnection(Path(self._where))


class TestMirrorByOnConflict(sqlite_contracts.TestSQLiteSinkMirror):
    def make_sink(self, place: Path, epoch: int) -> Sink:
        return ConflictSink(SQLiteOptions(path=place, **self.options), sink_context(epoch=epoch))


class TestSoftDeletesByOnConflict(sqlite_contracts.TestSQLiteSinkSoftDeletes):
    def make_sink(self, place: Path, epoch: int) -> Sink:
        return ConflictSink(SQLiteOptions(path=place, **self.options), sink_context(epoch=epoch))


class MergeDialect(DuckDBDialect):
    def write_keyed(self, rows: KeyedRows) -> list[str]:
        return merge(rows, self.delete)


class MergeSink(DuckDBSink):
    def connect(self) -> DuckDBConnection:
        connection = super().connect()
        catalog = connection.query("select current_database()")[0][0]
        connection.dialect = MergeDialect(catalog)
        return connection


class TestMirrorByMerge(duckdb_contracts.TestDuckDBSinkMirror):
    def make_sink(self, place: Path, epoch: int) -> Sink:
        return MergeSink(Options(path=place, **self.options), sink_context(epoch=epoch))


class TestSoftDeletesByMerge(duckdb_contracts.TestDuckDBSinkSoftDeletes):
    def make_sink(self, place: Path, epoch: int) -> Sink:
        return MergeSink(Options(path=place, **self.options), sink_context(epoch=epoch))


class Mirror:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.path = folder / "target.sqlite"
        self.sink = ConflictSink(SQLiteOptions(path=self.path, **options), sink_context())
        self.sink.prepare("shop")
        self.next = 0

    def apply(self, *batches: ChangeBatch) -> str:
        """Apply changes, and return the statement that wrote the rows."""
        end = max(batch.seq[-1].as_py() + 1 for batch in batches)
        self.sink.apply(delivery(list(batches), first=self.next, next=end))
        self.next = end
        return ConflictDialect.written[-1]

    def rows(self) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute('select id, code, n from "public.items" order by n').fetchall()


def _row(key: int | None, code: str, n: int) -> dict[str, Any]:
    return {"id": key, "code": code, "n": n}


def test_rows_are_updated_in_place_where_a_unique_index_finds_them(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.apply(changes(ITEMS, [("c", _row(1, "a", 1)), ("c", _row(2, "b", 2))]))
    events = [("u", _row(1, "a", 3)), ("d", _row(2, "b", 2)), ("c", _row(3, "c", 4))]
    assert "on conflict" in mirror.apply(changes(ITEMS, events, start=2))
    assert mirror.rows() == [(1, "a", 3), (3, "c", 4)]


def test_the_index_follows_the_key(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.apply(changes(ITEMS, [("c", _row(1, "a", 1)), ("c", _row(2, "b", 2))]))
    by_code = replace(ITEMS, key=("code",), version=1)
    events = [("u", _row(1, "b", 3)), ("u", _row(1, "a", 4))]
    assert "on conflict" in mirror.apply(changes(by_code, events, start=2))
    assert mirror.rows() == [(1, "b", 3), (1, "a", 4)]


def test_keys_with_nulls_and_deleted_rows_of_another_key_are_deleted_and_inserted(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, deletes="soft")
    mirror.apply(changes(ITEMS, [("c", _row(None, "a", 1)), ("c", _row(2, "b", 2))]))
    statement = mirror.apply(changes(ITEMS, [("u", _row(None, "a", 3)), ("d", _row(2, "b", 2))], start=2))
    assert "on conflict" not in statement
    assert mirror.rows() == [(2, "b", 2), (None, "a", 3)]
    # A row that was deleted before the key changed has the new key of a row that is there.
    by_code = replace(ITEMS, key=("code",), version=1)
    statement = mirror.apply(changes(by_code, [("c", _row(4, "b", 4))], start=4))
    assert "on conflict" not in statement
    assert mirror.rows() == [(None, "a", 3), (4, "b", 4)]
