"""A small sink into SQLite on `cdc.sql`: the dialect of a target without schemas, Arrow, lists, structs,
decimals and times, which cannot change a column's type.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel

from cdc.errors import SinkRefused, SinkUnavailable
from cdc.model import Column, TableId
from cdc.spi import Finding, Severity, SinkContext
from cdc.sql import Connection, Dialect, OwnTypes, SqlSink, TableOptions
from cdc.sql.dialect import GIVEN
from cdc.sql.mapping import decimal_text

KINDS: dict[str, tuple[Any, ...]] = {
    "INTEGER": (pa.types.is_boolean, pa.types.is_integer),
    "REAL": (pa.types.is_floating,),
    "BLOB": (pa.types.is_binary,),
    "TEXT": (pa.types.is_string, pa.types.is_decimal, pa.types.is_temporal, pa.types.is_nested),
}
REFUSED = (pa.uint64(), pa.month_day_nano_interval())


class SQLiteDialect(Dialect):
    product = "SQLite"
    container = "file"
    types = OwnTypes("TEXT", "INTEGER", "INTEGER", "INTEGER", "TEXT", "TEXT", "TEXT")

    def place(self, table: TableId) -> TableId:
        return TableId("main", f"{table.schema}.{table.name}")

    def create_schema(self, name: str) -> list[str]:
        return []

    def column_type(self, column: Column, where: str) -> str:
        for kind, holds in KINDS.items():
            if column.type not in REFUSED and any(hold(column.type) for hold in holds):
                return kind
        raise SinkRefused(f"SQLite has no type for {column.type}", where=where, remedy="Exclude the column.")

    def readable(self, array: Any, kind: str) -> Any:
        if pa.types.is_nested(array.type):
            return pa.array([None if v is None else json.dumps(v) for v in array.to_pylist()], pa.string())
        if pa.types.is_decimal(array.type):
            return decimal_text(array)
        return array.cast(pa.string()) if kind == "TEXT" else array

    def constant(self, value: Any, kind: str) -> str:
        plain = self.readable(pa.array([value.as_py()], value.type), kind)[0].as_py()
        return f"x'{plain.hex()}'" if isinstance(plain, bytes) else self.literal(str(plain))

    def moment(self, at: datetime | None) -> str:
        return "null" if at is None else self.literal(f"{at:%Y-%m-%d %H:%M:%S.%f}Z")

    def microseconds(self, moment: str) -> str:
        return f"strftime('%s', substr({moment}, 1, 19)) * 1000000 + substr({moment}, 21, 6)"

    def later(self, one: str, other: str) -> str:
        return f"coalesce(max({one}, {other}), {one})"

    def is_not_castable(self, value: str, kind: str) -> str:
        return f"cast(cast({value} as {kind}) as TEXT) <> cast({value} as TEXT)"

    def image(self, fields: Sequence[tuple[str, str]]) -> str:
        return "json_object(" + ", ".join(f"{self.literal(name)}, {value}" for name, value in fields) + ")"

    def image_field(self, image: str, name: str) -> str:
        return f"json_extract({image}, {self.literal(f'$.{json.dumps(name)}')})"

    def change_type(self, target: str, name: str, kind: str, value: str | None = None) -> list[str]:
        old = self.quoted(name)
        return [
            f"alter table {target} add column _cdc_new {kind}",
            f"update {target} set _cdc_new = {value or f'cast({old} as {kind})'}",
            f"alter table {target} drop column {old}",
            f"alter table {target} rename column _cdc_new to {old}",
        ]

    def add_column(self, target: str, name: str, kind: str, fill: str | None = None) -> list[str]:
        filled = [f"update {target} set {self.quoted(name)} = {fill}"] if fill else []
        return [f"alter table {target} add column {self.quoted(name)} {kind}", *filled]

    def delete(self, target: str, origin: str, condition: str) -> str:
        return f"delete from {target} as t where exists (select 1 from {origin} where {condition})"


class SQLiteConnection(Connection):
    Error = sqlite3.Error
    dialect = SQLiteDialect()

    def __init__(self, path: Path) -> None:
        self._handle = sqlite3.connect(path, isolation_level=None)
        # No test cuts the power.
        self.run("pragma synchronous = off")

    def run(self, statement: str, given: pa.Table | None = None) -> int:
        if given is None:
            return self._handle.execute(statement).rowcount
        self.run(f"create temp table {GIVEN} ({', '.join(given.column_names)})")
        columns = [c.cast(pa.string()) if pa.types.is_timestamp(c.type) else c for c in given.columns]
        marks = ", ".join("?" * given.num_columns)
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        self._handle.executemany(f"insert into {GIVEN} values ({marks})", rows)
        changed = self.run(statement)
        self.run(f"drop table {GIVEN}")
        return changed

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._handle.execute(statement, values).fetchall()

    def places(self) -> Collection[TableId]:
        return [TableId("main", name) for (name,) in self.query("select name from sqlite_master")]

    def close(self) -> None:
        self._handle.close()


class SQLiteOptions(TableOptions):
    path: Path


class SQLiteSink(SqlSink):
    Options: ClassVar[type[BaseModel]] = SQLiteOptions

    def __init__(self, options: SQLiteOptions, context: SinkContext) -> None:
        super().__init__(options, context, where=str(options.path))

    def connect(self) -> Connection:
        return SQLiteConnection(Path(self._where))

    @contextmanager
    def guarded(self, operation: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SinkUnavailable(f"{operation} is not possible", where=self._where) from error

    def check(self) -> Sequence[Finding]:
        return [Finding(Severity.OK, "sqlite", f"the file {self._where} is not checked")]
