"""Opens snapshots of a test database as a source would: at the binlog's end, with what the catalog says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cdc.model import Position, TableId, TableSchema
from cdc.spi import EarlierSnapshot, SourceContext
from cdc_source_mysql.binlog.positions import BinlogPosition, parse_gtids
from cdc_source_mysql.binlog.stream import Captured, StreamProgress
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.options import DEFAULTS, Limits, MysqlOptions
from cdc_source_mysql.schema.catalog import read_tables
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.type_plan import plan_table, schema_of
from cdc_source_mysql.snapshot.copying import SnapshotSource
from cdc_source_mysql.snapshot.snapshot import MysqlSnapshot, open_snapshot
from tests.support.mysql.server import MysqlDatabase


class SnapshotBench:
    """One database as a source; `definitions` and `position` are what its stream would have reached."""

    def __init__(
        self, database: MysqlDatabase, *, user: str = "root", limits: Limits = DEFAULTS, **options: Any
    ) -> None:
        self.database = database
        self.counted: Counter[str] = Counter()
        self.lines: list[str] = []
        options.setdefault("url", database.server.url(database.name, user=user))
        self.options = MysqlOptions.model_validate(options)
        self.connector = Connector(self.options, "shop", limits)
        self.context = SourceContext("shop", lambda event, **fields: self.lines.append(event), self._count)
        self.progress = StreamProgress()
        self.look()

    @property
    def captured(self) -> Captured:
        """What the stream has given so far."""
        assert self.progress.captured is not None
        return self.progress.captured

    @captured.setter
    def captured(self, captured: Captured) -> None:
        self.progress.captured = captured

    @property
    def source(self) -> SnapshotSource:
        return SnapshotSource(self.connector, self.context, self.options, self.progress)

    def look(self) -> Captured:
        """The stream comes to the end of the binlog."""
        server = self.database.server
        file, offset = server.position()
        gtids = None
        if server.flavour == "mariadb":
            gtids = parse_gtids(server.value("select binlog_gtid_pos(%s, %s)", (file, offset)) or "")
        elif server.value("select @@global.gtid_mode") == "ON":
            gtids = parse_gtids(server.executed())
        position = BinlogPosition(file, offset, 0, gtids).to_position()
        self.captured = Captured(position, self._definitions())
        return self.captured

    def schemas(self, *names: str) -> list[TableSchema]:
        """The engine's schemas of these tables (default: of all), in name order."""
        found = [self._schema(d) for t, d in sorted(self.captured.definitions.items())]
        return [schema for schema in found if not names or schema.table.name in names]

    def table(self, name: str) -> TableId:
        return TableId(self.database.name, name)

    def open(self, *names: str, earlier: Mapping[str, EarlierSnapshot] | None = None) -> MysqlSnapshot:
        before = {self.table(name): value for name, value in (earlier or {}).items()}
        return open_snapshot(self.source, self.schemas(*names), before)

    @contextmanager
    def opened(self, *names: str, **arguments: Any) -> Iterator[MysqlSnapshot]:
        snapshot = self.open(*names, **arguments)
        try:
            yield snapshot
        finally:
            snapshot.close()

    def _definitions(self) -> dict[TableId, TableDefinition]:
        tables = [
            TableId(self.database.name, name)
            for (name,) in self.database.query(
                "select table_name from information_schema.tables where table_schema = database()"
            )
        ]
        flavour = self.database.server.flavour
        with self.database.connect() as connection, connection.cursor() as cursor:
            return {t: info.definition for t, info in read_tables(cursor, tables, flavour).items()}

    def _schema(self, definition: TableDefinition) -> TableSchema:
        flavour = self.database.server.flavour
        return schema_of(definition, plan_table(definition, None, flavour, self.options.unrepresentable))

    def _count(self, name: str, amount: int) -> None:
        self.counted[name] += amount


def rows_of(snapshot: MysqlSnapshot, table: str, chunk: str | None = None) -> list[dict[str, Any]]:
    """All rows of a table (or of one chunk), without the envelope."""
    rows: list[dict[str, Any]] = []
    for found in snapshot.chunks:
        if found.table.name == table and chunk in {None, found.id}:
            for batch in snapshot.read(found):
                rows += batch.rows()
    return [{k: v for k, v in row.items() if not k.startswith("_cdc_")} for row in rows]


def at(snapshot: MysqlSnapshot, table: str) -> Position:
    return next(position for found, position in snapshot.positions.items() if found.name == table)


@contextmanager
def refusing_to_wait(bench: SnapshotBench) -> Iterator[None]:
    """Inside the block a snapshot gives up soon what its servers do not let it have: for claims that it gives
    up. Elsewhere a loaded server has the time that it needs.
    """
    kept = bench.connector.limits
    bench.connector.limits = replace(kept, lock_seconds=1, lock_attempts=1, visible_seconds=0.5)
    yield
    bench.connector.limits = kept
