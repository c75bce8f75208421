"""The sink contract on the Postgres sink, in each of its modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from cdc.model import TableSchema
from cdc.spi import Sink
from cdc.testing.events import sink_context, table
from cdc.testing.fold import Row, fold
from cdc.testing.sink_contract import SinkContract
from cdc_sink_postgres import PostgresSink
from cdc_sink_postgres.options import PostgresSinkOptions
from tests.support.postgres.fixtures import ONE_POSTGRES
from tests.support.postgres.server import Database


@ONE_POSTGRES
class PostgresContract(SinkContract):
    options: ClassVar[dict[str, Any]] = {}
    database: Database

    @pytest.fixture
    def place(self, database: Database) -> Path:
        """Every test has a database of its own; the name of the place is that of nothing else."""
        self.database = database
        return Path(database.name)

    def make_sink(self, place: Path, epoch: int) -> Sink:
        options = PostgresSinkOptions(url=self.database.url, **self.options)
        return PostgresSink(options, sink_context(epoch=epoch))

    def refused_table(self) -> TableSchema:
        return table("public.odd", {"id": pa.int64(), "n": pa.month_day_nano_interval()}, version=1)

    def rows(self, place: Path, schema: TableSchema, where: str = "true") -> list[Row]:
        name = sql.Identifier(schema.table.schema, schema.table.name)
        with self.database.connect(row_factory=psycopg.rows.dict_row) as connection:
            try:
                found = connection.execute(sql.SQL("select * from {} where " + where).format(name)).fetchall()
            except psycopg.errors.UndefinedTable:
                return []
        return [dict(row) for row in found]

    def read_columns(self, place: Path, schema: TableSchema) -> set[str]:
        found = self.database.query(
            "select column_name::text from information_schema.columns "
            "where table_schema = %s and table_name = %s",
            [schema.table.schema, schema.table.name],
        )
        return {name for (name,) in found}


@pytest.mark.variant(0)
class TestPostgresSinkMirror(PostgresContract):
    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(place, schema), schema)


@pytest.mark.variant(1)
class TestPostgresSinkSoftDeletes(PostgresContract):
    options: ClassVar[dict[str, Any]] = {"deletes": "soft"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(place, schema, "not _cdc_deleted"), schema)


@pytest.mark.variant(2)
class TestPostgresSinkAppend(PostgresContract):
    options: ClassVar[dict[str, Any]] = {"mode": "append"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        changes = [_change(row, schema) for row in self.rows(place, schema)]
        return _own(fold(changes, schema.key), schema)


@pytest.mark.variant(3)
class TestPostgresSinkHistory(PostgresContract):
    options: ClassVar[dict[str, Any]] = {"mode": "history"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(place, schema, "_cdc_end_seq is null"), schema)


def _change(row: Row, schema: TableSchema) -> Row:
    """A change whose old image has the values of the columns' types again."""
    before = row["_cdc_before"]
    if before is None:
        return row
    kinds = {column.name: column.type for column in schema.columns}
    return row | {
        "_cdc_before": {n: pa.scalar(v).cast(kinds[n]).as_py() for n, v in before.items() if n in kinds}
    }


def _own(rows: list[Row], schema: TableSchema) -> list[Row]:
    return [{column.name: row.get(column.name) for column in schema.columns} for row in rows]
