"""The workload on MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from tests.support.equality.mysql import read_source
from tests.support.equality.tables import SourceTable
from tests.support.mysql.server import MysqlServer
from tests.support.workload.events import Oracle
from tests.support.workload.mysql.oracle import BinlogOracle
from tests.support.workload.mysql.reshaping import MysqlReshaper
from tests.support.workload.mysql.tables import SHAPE, create_statements, tables
from tests.support.workload.mysql.writing import MysqlTransaction, MysqlWriter, connect
from tests.support.workload.run import Workload
from tests.support.workload.writers import Session


class MysqlWorkload(Workload):
    """See `Workload`; `server` has no database of that name, and nobody else writes to it."""

    shape = SHAPE
    writer = MysqlWriter
    reshaper_class = MysqlReshaper
    transaction = MysqlTransaction
    reshape_pause_seconds = 1.5
    # A chunk is read later than the position from which the stream tells again.
    copies_run_ahead = True

    def __init__(self, server: MysqlServer, seed: int) -> None:
        self.server = server
        self.tables = tables(server.flavour)
        super().__init__(seed)

    def prepare(self) -> Oracle:
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("set session sql_mode = concat(@@sql_mode, ',ANSI_QUOTES')")
            for statement in create_statements(self.server.flavour):
                cursor.execute(statement)
        return BinlogOracle(self.server)

    def connect(self) -> AbstractContextManager[Session]:
        return connect(self.server)

    def read_source(self, table: str, key: Sequence[str]) -> SourceTable:
        return read_source(self.server, table, key)


__all__ = ["MysqlWorkload"]
