"""A Postgres sink into a test's database, fed with batches, and the database read from outside."""

from __future__ import annotations

from typing import Any

from cdc.model import TableId
from cdc_sink_postgres import PostgresSink
from cdc_sink_postgres.options import PostgresSinkOptions
from tests.support.fed_sink import SOURCE, FedSink
from tests.support.postgres.server import Database

_COLUMNS = """
    select a.attname::text, format_type(a.atttypid, a.atttypmod) from pg_attribute a
     where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum
"""


class Warehouse(FedSink):
    """A sink into a database. `url` may lead through a proxy."""

    def __init__(self, database: Database, *, epoch: int = 1, url: str | None = None, **options: Any) -> None:
        super().__init__()
        self.database = database
        self.options = PostgresSinkOptions(url=url or database.url, **options)
        self.sink = PostgresSink(self.options, self.context(epoch))
        try:
            self.sink.prepare(SOURCE)
        except BaseException:
            self.sink.close()
            raise

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query from another session."""
        return self.database.query(sql)

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """All rows, sorted."""
        return sorted(self.query(f"select {columns} from {table}"), key=repr)

    def columns(self, table: str) -> dict[str, str]:
        """Names and types, without the sink's own."""
        found = self.database.query(_COLUMNS, [table])
        return {name: kind for name, kind in found if not name.startswith(("_cdc_", "valid_"))}

    def places(self) -> set[TableId]:
        """The tables outside of the sink's own schema."""
        found = self.query(
            "select schemaname, tablename from pg_tables "
            "where schemaname not in ('_cdc', 'pg_catalog', 'information_schema') "
            "and schemaname !~ '^pg_temp'"
        )
        return {TableId(*row) for row in found}
