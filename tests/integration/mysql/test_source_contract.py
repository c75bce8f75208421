"""The source contract on real MySQL and MariaDB servers."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from cdc.model import TableId
from cdc.spi import Source
from cdc.testing.events import source_context
from cdc.testing.source_contract import SourceContract, Step
from cdc_source_mysql import MysqlSource
from cdc_source_mysql.options import Limits, MysqlOptions
from tests.support.mysql.server import MysqlDatabase, MysqlServer

_STATEMENTS = {
    "c": "insert into contract values (%s, %s)",
    "u": "update contract set note = %s where id = %s",
    "d": "delete from contract where id = %s",
    "t": "truncate contract",
}
_NUMBERS = iter(range(3_500_000_000, 3_600_000_000))


class MysqlContract(SourceContract):
    snapshots_are_exact: ClassVar[bool] = False
    server: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _database(self, request: pytest.FixtureRequest) -> Any:
        server: MysqlServer = request.getfixturevalue(self.server)
        self.database: MysqlDatabase = server.create_database()
        self.contract_table = TableId(self.database.name, "contract")  # type: ignore[misc]
        self.number = next(_NUMBERS)
        yield
        self.database.drop()

    def make_source(self) -> Source:
        url, tables = self.database.url, (f"{self.database.name}.*",)
        options = MysqlOptions.model_validate({"url": url, "tables": tables, "server_id": self.number})
        return MysqlSource(options, source_context(), Limits(chunk_bytes=8192, min_chunk_rows=50))

    def create_table(self) -> None:
        self.database.execute("create table contract (id int primary key, note text)")

    def commit(self, *steps: Step) -> None:
        with self.database.connect(autocommit=False) as connection, connection.cursor() as cursor:
            for op, *values in steps:
                cursor.execute(_STATEMENTS[op], values[::-1] if op == "u" else values)
            connection.commit()


class TestMysqlSource(MysqlContract):
    server: ClassVar[str] = "mysql9"


class TestMysqlSourceOnMariadb(MysqlContract):
    server: ClassVar[str] = "mariadb10"
