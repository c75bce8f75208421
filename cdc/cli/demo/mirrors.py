"""Where the demo keeps its mirror: a DuckDB file, or a Postgres server of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self

from cdc.cli.demo.checksums import Checksum, Columns, row_text, summed_in_duckdb
from cdc.cli.demo.postgres import PostgresServer


class MirrorKind(StrEnum):
    """The sinks that the demo shows: another mirror, or another place of the lake."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"
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


MIRRORS: Mapping[MirrorKind, type[DemoMirror]] = {
    MirrorKind.DUCKDB: DuckDBMirror,
    MirrorKind.POSTGRES: PostgresMirror,
    MirrorKind.PARQUET_S3: DuckDBMirror,
}
