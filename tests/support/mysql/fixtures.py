"""The MySQL and MariaDB fixtures: servers shared by a session, a fresh database for every test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import pytest

from tests.support.mysql.binaries import every_server, servers_under_test
from tests.support.mysql.globals import left_as_found
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.server_pool import ServerPool, lend

# For tests of what servers do in different ways: MariaDB 11 too, in every run.
EVERY_SERVER = pytest.mark.parametrize("mysql", every_server(), indirect=True)
EVERY_MARIADB = pytest.mark.parametrize("mysql", every_server("mariadb"), indirect=True)


class MysqlFactory(Protocol):
    """Starts a server of its own for one test: `mysql_server_factory({"gtid-mode": "OFF"}, "mysql9")`."""

    def __call__(
        self, settings: Mapping[str, str] | None = None, name: str = "mysql9", *, start: bool = True
    ) -> MysqlServer: ...


@pytest.fixture(scope="session")
def _mysql_servers() -> Iterator[ServerPool[str, MysqlServer]]:
    with ServerPool(MysqlServer) as servers:
        yield servers


@pytest.fixture
def mysql9(_mysql_servers: ServerPool[str, MysqlServer]) -> MysqlServer:
    return _mysql_servers.get("mysql9")


@pytest.fixture
def mariadb10(_mysql_servers: ServerPool[str, MysqlServer]) -> MysqlServer:
    return _mysql_servers.get("mariadb10")


@pytest.fixture(params=servers_under_test())
def mysql(request: pytest.FixtureRequest, _mysql_servers: ServerPool[str, MysqlServer]) -> MysqlServer:
    """MySQL and MariaDB, one after the other."""
    return _mysql_servers.get(str(request.param))


@pytest.fixture
def mysql_database(mysql: MysqlServer) -> Iterator[MysqlDatabase]:
    """A fresh database on every server."""
    with left_as_found(mysql):
        yield from lend(mysql, mysql.create_database)


@pytest.fixture
def mysql9_database(mysql9: MysqlServer) -> Iterator[MysqlDatabase]:
    """A fresh database on MySQL only."""
    with left_as_found(mysql9):
        yield from lend(mysql9, mysql9.create_database)


@pytest.fixture
def mariadb10_database(mariadb10: MysqlServer) -> Iterator[MysqlDatabase]:
    """A fresh database on MariaDB 10.11 only."""
    with left_as_found(mariadb10):
        yield from lend(mariadb10, mariadb10.create_database)


@pytest.fixture
def mysql_server_factory() -> Iterator[MysqlFactory]:
    """Servers with special settings, destroyed after the test."""
    with contextlib.ExitStack() as stack:

        def make(
            settings: Mapping[str, str] | None = None, name: str = "mysql9", *, start: bool = True
        ) -> MysqlServer:
            server = MysqlServer(name, settings)
            stack.callback(server.destroy)
            return server.start() if start else server

        yield make
