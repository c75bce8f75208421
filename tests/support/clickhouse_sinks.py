"""A ClickHouse sink into a test's server, fed with batches, and the server read from outside."""

from __future__ import annotations

from typing import Any

from cdc.model import TableId
from cdc.testing.servers.clickhouse import ClickHouseServer
from cdc_sink_clickhouse import ClickHouseSink
from cdc_sink_clickhouse.options import ClickHouseSinkOptions
from tests.support.clickhouse import literal
from tests.support.fed_sink import SOURCE, FedSink


class FedClickHouse(FedSink):
    """A sink into the server. `port` may be that of a proxy."""

    def __init__(
        self, server: ClickHouseServer, *, epoch: int = 1, port: int | None = None, **options: Any
    ) -> None:
        super().__init__()
        self.server = server
        self.options = ClickHouseSinkOptions(url=server.url(port=port), **options)
        self.sink = ClickHouseSink(self.options, self.context(epoch))
        self.sink.prepare(SOURCE)

    def rows(
        self, table: str, columns: str = "*", where: str = "1", **settings: str
    ) -> list[tuple[Any, ...]]:
        """All rows that readers see, sorted."""
        found = self.server.query(f"select {columns} from {table} final where {where}", **settings)
        return sorted((tuple(row.values()) for row in found), key=repr)

    def columns(self, table: str) -> dict[str, str]:
        """Names and types, without the sink's own."""
        database, _, name = table.partition(".")
        found = self.server.query(
            "select name, type from system.columns where "
            f"database = {literal(database)} and table = {literal(name)} order by position"
        )
        return {row["name"]: row["type"] for row in found if not row["name"].startswith(("_cdc_", "valid_"))}

    def places(self) -> set[TableId]:
        """The tables and views outside of the sink's own database."""
        found = self.server.query(
            "select database, name from system.tables where database not in "
            "('system', 'information_schema', 'INFORMATION_SCHEMA', '_cdc') and not is_temporary"
        )
        return {TableId(row["database"], row["name"]) for row in found}

    @property
    def set_aside(self) -> list[str]:
        """The reasons for which tables are set aside."""
        return [one.message for one in self.sink.set_aside(SOURCE)]
