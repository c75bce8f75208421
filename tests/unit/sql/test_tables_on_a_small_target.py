"""What `cdc.sql` does where a target can do little: short names, no change of types, no structs."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cdc.model import ChangeBatch, Column, TableSchema
from cdc.spi import SetAside
from cdc.sql import Connection
from cdc.testing.events import changes, delivery, sink_context, table
from tests.support.sqlite_sink import SQLiteConnection, SQLiteDialect, SQLiteOptions, SQLiteSink

SOURCE = "shop"
LONGEST = 24
ITEMS = table("public.items", {"id": pa.int64(), "label": pa.string(), "size": pa.int64()}, relation=1)


class ShortDialect(SQLiteDialect):
    longest_name: ClassVar[int | None] = LONGEST


class ShortConnection(SQLiteConnection):
    dialect = ShortDialect()


class ShortSink(SQLiteSink):
    """Into a SQLite whose names are short."""

    def connect(self) -> Connection:
        return ShortConnection(Path(self._where))


class Target:
    def __init__(self, folder: Path, kind: type[SQLiteSink] = SQLiteSink, **options: Any) -> None:
        self.path = folder / "target.sqlite"
        self.sink = kind(SQLiteOptions(path=self.path, **options), sink_context())
        self.sink.prepare(SOURCE)
        self.next = 0

    def apply(self, *batches: ChangeBatch) -> None:
        end = max(batch.seq[-1].as_py() + 1 for batch in batches)
        self.sink.apply(delivery(list(batches), first=self.next, next=end))
        self.next = end

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> list[str]:
        found = self.query("select name from sqlite_master where name not like '\\_cdc%' escape '\\'")
        return sorted(name for (name,) in found)

    def set_aside(self) -> list[SetAside]:
        return list(self.sink.set_aside(SOURCE))


def _long(suffix: str, column: str = "value") -> TableSchema:
    return table(f"public.measurements_of_{suffix}", {"id": pa.int64(), column: pa.string()}, version=1)


def test_names_that_are_too_long_are_cut_and_kept_apart(tmp_path: Path) -> None:
    target = Target(tmp_path, ShortSink)
    one, other = _long("pressure_in_bar"), _long("pressure_in_psi", "é" * 20)
    target.apply(
        changes(one, [("c", {"id": 1, "value": "a"})]),
        changes(other, [("c", {"id": 2, "é" * 20: "b"})], start=1),
    )
    names = target.tables()
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= LONGEST and name.startswith("public.") for name in names)
    rows = [target.query(f'select * from "{name}"')[0][:2] for name in names]
    assert sorted(rows) == [(1, "a"), (2, "b")]
    # A table keeps its name, and the rows that come later find it.
    target.apply(changes(one, [("u", {"id": 1, "value": "c"})], start=2))
    assert target.tables() == names


def test_names_that_are_too_long_are_set_aside_where_suffixes_are_not_wanted(tmp_path: Path) -> None:
    target = Target(tmp_path, ShortSink, identifiers="fail")
    target.apply(changes(_long("pressure"), [("c", {"id": 1, "value": "a"})]))
    (said,) = target.set_aside()
    assert f"its name has more than {LONGEST} bytes" in said.message
    assert target.tables() == []


def test_a_column_that_changes_name_and_type_keeps_its_values(tmp_path: Path) -> None:
    target = Target(tmp_path)
    target.apply(changes(ITEMS, [("c", {"id": 1, "label": "a", "size": 7})]))
    target.apply(changes(_changed(), [("c", {"id": 2, "name": "b", "size": "8", "extra": 9})], start=1))
    found = target.query('select id, name, size, extra from "public.items" order by id')
    assert found == [(1, "a", "7", None), (2, "b", "8", 9)]


def test_old_images_follow_the_columns_of_their_table(tmp_path: Path) -> None:
    target = Target(tmp_path, mode="append")
    row = {"id": 1, "label": "a", "size": 7}
    target.apply(changes(ITEMS, [("c", row), ("u", row | {"id": 2}, row)]))
    later = {"id": 3, "name": "b", "size": "8", "extra": 9}
    target.apply(changes(_changed(), [("u", later, {"id": 2, "name": "a", "size": "7"})], start=2))
    found = target.query('select _cdc_before from "public.items" order by _cdc_seq')
    images = [json.loads(image) if image else None for (image,) in found]
    assert images == [
        None,
        {"id": 1, "name": "a", "size": "7", "extra": None},
        {"id": 2, "name": "a", "size": "7", "extra": None},
    ]


@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_a_column_that_is_added_with_a_default_has_it_in_older_rows(tmp_path: Path, mode: str) -> None:
    target = Target(tmp_path, mode=mode)
    target.apply(changes(ITEMS, [("c", {"id": 1, "label": "a", "size": 7})]))
    added = Column("extra", pa.string(), "text", id=4, fill=pa.scalar("it's"))
    wide = replace(ITEMS, columns=(*ITEMS.columns, added), version=1)
    target.apply(changes(wide, [("c", {"id": 2, "label": "b", "size": 8, "extra": "x"})], start=1))
    found = target.query('select extra from "public.items" order by id')
    assert found == [("it's",), ("x",)]


def _changed() -> TableSchema:
    """ITEMS with a column renamed, one of another type, and a new one."""
    ident, label, size = ITEMS.columns
    columns = (
        ident,
        replace(label, name="name"),
        replace(size, type=pa.string()),
        Column("extra", pa.int64(), "int8", id=4),
    )
    return replace(ITEMS, columns=columns, version=1)
