"""The command `cdc demo`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cdc.cli.demo.lakes import BucketLake, FolderLake
from cdc.cli.demo.mirrors import MIRRORS, MirrorKind
from cdc.cli.demo.mysql import MariadbServer, MysqlServer
from cdc.cli.demo.postgres import PostgresServer
from cdc.cli.demo.server import DemoServer
from cdc.cli.demo.shop import DEFAULT_ROWS, MIN_ROWS, Shop
from cdc.cli.demo.story import Targets, run_demo

DEFAULT_FOLDER = Path("demo-data")


class Kind(StrEnum):
    """The databases that the demo knows."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    MARIADB = "mariadb"


def demo(
    folder: Annotated[
        Path, typer.Option(help="The folder for the copies. An earlier demo there is replaced.")
    ] = DEFAULT_FOLDER,
    source: Annotated[
        Kind, typer.Option(help="The database. MySQL and MariaDB must be installed.")
    ] = Kind.POSTGRES,
    sink: Annotated[
        MirrorKind,
        typer.Option(
            help="The mirror: a DuckDB file, a second embedded Postgres, an embedded ClickHouse, or Iceberg."
            " parquet-s3: a DuckDB file, and the lake in a bucket on an embedded SeaweedFS."
        ),
    ] = MirrorKind.DUCKDB,
    server: Annotated[
        Path | None,
        typer.Option(
            envvar="CDC_DEMO_SERVER",
            help="The path of mysqld or mariadbd, if it is not in its usual place.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=MIN_ROWS, max=DEFAULT_ROWS, help="Rows to start with, in all tables together.")
    ] = DEFAULT_ROWS,
) -> None:
    """Run a demo pipeline on an embedded database.

    Copies the database into a mirror and Parquet while rows change, kills the daemon once, and proves that
    all copies are equal.
    """
    lake = BucketLake() if sink is MirrorKind.PARQUET_S3 else FolderLake()
    targets = Targets(MIRRORS[sink](folder), lake)
    run_demo(_maker(source, server), targets, folder, Console(highlight=False), Shop(rows))


def _maker(source: Kind, program: Path | None) -> Callable[[], DemoServer]:
    if source is Kind.POSTGRES:
        if program is not None:
            raise typer.BadParameter("Postgres brings its own server", param_hint="--server")
        return PostgresServer
    return functools.partial(MysqlServer if source is Kind.MYSQL else MariadbServer, program)
