"""Where the demo keeps its mirror: a DuckDB file, a Postgres or ClickHouse of its own, or Iceberg tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

from cdc.cli.demo.checksums import Checksum, Columns, row_text, summed_in_duckdb
from cdc.cli.demo.postgres import PostgresServer
from cdc.cli.demo.server import DemoFailed
from cdc.cli.demo.shop import SCALE


class MirrorKind(StrEnum):
    """The sinks that the demo shows: another mirror, or another place of the lake."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"
    CLICKHOUSE = "clickhouse"
    ICEBERG = "iceberg"
    PARQUET_S3 = "parquet-s3"


class DemoMirror(ABC):
    """The mirror of a demo in `folder`; a context manager."""

    title: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027  (nothing unless a server was started)
        """End what was started."""

    @property
    @abstractmethod
    def options(self) -> Mapping[str, str]:
        """The sink's options in the configuration."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the configuration reads."""
        return {}

    @property
    @abstractmethod
    def place(self) -> str:
        """The mirror's place, for people."""

    @abstractmethod
    def checksum(self, schema: str, table: str, columns: Columns) -> Checksum:
        """Return the checksum of a table; no daemon may run."""


class DuckDBMirror(DemoMirror):
    """A file in the demo's folder."""

    title = "DuckDB"

    @property
    def options(self) -> Mapping[str, str]:
        return {"type": "duckdb", "path": "./warehouse.duckdb"}

    @property
    def place(self) -> str:
        return f"{self.folder}/warehouse.duckdb"

    def checksum(self, schema: str, table: str, columns: Columns) -> Checksum:
        import duckdb

        with duckdb.connect(str(self.folder / "warehouse.duckdb"), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return summed_in_duckdb(connection, f'select * from {schema}."{table}"', columns)


class PostgresMirror(DemoMirror):
    """A second embedded server, which ends with the demo."""

    title = "Postgres"

    def __enter__(self) -> Self:
        self._server = PostgresServer().__enter__()
        self._server.make_database()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.destroy()

    @property
    def options(self) -> Mapping[str, str]:
        return {"type": "postgres", "url": "${DEMO_WAREHOUSE_URL:-postgresql://shop@127.0.0.1/shop}"}

    @property
    def environment(self) -> Mapping[str, str]:
        return {"DEMO_WAREHOUSE_URL": self._server.url}

    @property
    def place(self) -> str:
        return "in a second embedded Postgres, which has ended"

    def checksum(self, schema: str, table: str, columns: Columns) -> Checksum:
        hashing = self._server.hashing
        text = row_text(columns, hashing.as_text, hashing.timestamp_as_text)
        with self._server.connect() as session:
            query = f"select count(*), coalesce(sum({hashing.sixty_bits_of.format(text)}), 0)"
            rows: Any = session.execute(f'{query} from {schema}."{table}"')
        return Checksum(int(rows[0][0]), int(rows[0][1]))


class ClickHouseMirror(DemoMirror):
    """An embedded ClickHouse, which ends with the demo."""

    title = "ClickHouse"

    def __enter__(self) -> Self:
        if find_spec("chdb") is None:
            remedy = "Install the engine, which the demo serves by HTTP: pip install 'cdcd[clickhouse]' chdb"
            raise DemoFailed("there is no ClickHouse here", where="--sink clickhouse", remedy=remedy)
        from cdc.testing.servers.clickhouse import ClickHouseServer

        self._server = ClickHouseServer()
        try:
            self._server.start()
        except BaseException:
            self._server.destroy()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._server.destroy()

    @property
    def options(self) -> Mapping[str, str]:
        return {"type": "clickhouse", "url": "${DEMO_WAREHOUSE_URL:-clickhouse://cdc@127.0.0.1}"}

    @property
    def environment(self) -> Mapping[str, str]:
        return {"DEMO_WAREHOUSE_URL": self._server.url()}

    @property
    def place(self) -> str:
        return "in an embedded ClickHouse, which has ended"

    def checksum(self, schema: str, table: str, columns: Columns) -> Checksum:
        # Without its scale, a decimal is written without zeros at its end.
        decimal = f"toDecimalString({{}}, {SCALE})"
        text = row_text(columns, "toString({})", "toString(toUnixTimestamp64Micro({}))", decimal)
        hashed = f"toInt128(bitShiftRight(reinterpretAsUInt64(reverse(substring(SHA256({text}), 1, 8))), 4))"
        query = f'select count() as n, toString(sum({hashed})) as total from {schema}."{table}__current"'
        (row,) = self._server.query(query)
        return Checksum(int(row["n"]), int(row["total"]))


class IcebergMirror(DemoMirror):
    """Tables of a catalog in the demo's folder, read by PyIceberg."""

    title = "Iceberg"

    @property
    def options(self) -> Mapping[str, str]:
        return {"type": "iceberg", "warehouse": "./lakehouse"}

    @property
    def place(self) -> str:
        return f"{self.folder}/lakehouse"

    def checksum(self, schema: str, table: str, columns: Columns) -> Checksum:
        import duckdb
        from pyiceberg.catalog.sql import SqlCatalog

        folder = self.folder.absolute() / "lakehouse"
        catalog = SqlCatalog("default", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
        found = catalog.load_table((schema, table)).scan().to_arrow()
        catalog.close()
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            connection.register("found", found)
            return summed_in_duckdb(connection, "select * from found", columns)


MIRRORS: Mapping[MirrorKind, type[DemoMirror]] = {
    MirrorKind.DUCKDB: DuckDBMirror,
    MirrorKind.POSTGRES: PostgresMirror,
    MirrorKind.CLICKHOUSE: ClickHouseMirror,
    MirrorKind.ICEBERG: IcebergMirror,
    MirrorKind.PARQUET_S3: DuckDBMirror,
}
