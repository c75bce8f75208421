"""The PostgreSQL fixtures: servers shared by a session, a fresh database for every test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pytest

from tests.support.postgres.binaries import majors_under_test
from tests.support.postgres.server import Database, PostgresServer
from tests.support.server_pool import ServerPool, lend

# For tests that no version changes, but whose fixtures are for every version.
ONE_POSTGRES = pytest.mark.parametrize("postgres", [15], ids=["pg15"], indirect=True)


class PostgresFactory(Protocol):
    """Starts a server of its own for one test: `postgres_factory({"wal_level": "replica"}, version=18)`."""

    def __call__(
        self,
        settings: Mapping[str, str] | None = None,
        version: int = 15,
        *,
        hba: Sequence[str] | None = None,
        start: bool = True,
    ) -> PostgresServer: ...


@pytest.fixture(scope="session")
def _servers() -> Iterator[ServerPool[int, PostgresServer]]:
    with ServerPool(PostgresServer) as servers:
        yield servers


@pytest.fixture
def postgres15(_servers: ServerPool[int, PostgresServer]) -> PostgresServer:
    return _servers.get(15)


@pytest.fixture
def postgres18(_servers: ServerPool[int, PostgresServer]) -> PostgresServer:
    return _servers.get(18)


@pytest.fixture(params=majors_under_test(), ids=lambda m: f"pg{m}")
def postgres(request: pytest.FixtureRequest, _servers: ServerPool[int, PostgresServer]) -> PostgresServer:
    """Every version, one after the other."""
    return _servers.get(int(request.param))


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """A fresh database on every version."""
    yield from lend(postgres, postgres.create_database)


@pytest.fixture
def database15(postgres15: PostgresServer) -> Iterator[Database]:
    """A fresh database on PostgreSQL 15 only, for tests that no version changes."""
    yield from lend(postgres15, postgres15.create_database)


@pytest.fixture
def database18(postgres18: PostgresServer) -> Iterator[Database]:
    """A fresh database on PostgreSQL 18 only."""
    yield from lend(postgres18, postgres18.create_database)


@pytest.fixture
def postgres_factory() -> Iterator[PostgresFactory]:
    """Servers with special settings, destroyed after the test."""
    with contextlib.ExitStack() as stack:

        def make(
            settings: Mapping[str, str] | None = None,
            version: int = 15,
            *,
            hba: Sequence[str] | None = None,
            start: bool = True,
        ) -> PostgresServer:
            server = PostgresServer(version, settings, hba)
            stack.callback(server.destroy)
            return server.start() if start else server

        yield make
