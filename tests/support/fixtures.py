"""The PostgreSQL fixtures: servers shared by a session, a fresh database for every test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pytest

from tests.support.binaries import majors_under_test
from tests.support.postgres import Database, PostgresServer


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


class _Servers:
    """One server per version, started when first asked for."""

    def __init__(self) -> None:
        self._started: dict[int, PostgresServer] = {}

    def get(self, major: int) -> PostgresServer:
        if major not in self._started:
            self._started[major] = PostgresServer(major).start()
        server = self._started[major]
        if not server.is_running:  # A test stopped or killed it and did not put it back.
            server.start()
        return server

    def destroy(self) -> None:
        for server in self._started.values():
            server.destroy()


@pytest.fixture(scope="session")
def _servers() -> Iterator[_Servers]:
    servers = _Servers()
    yield servers
    servers.destroy()


@pytest.fixture
def postgres15(_servers: _Servers) -> PostgresServer:
    return _servers.get(15)


@pytest.fixture
def postgres18(_servers: _Servers) -> PostgresServer:
    return _servers.get(18)


@pytest.fixture(params=majors_under_test(), ids=lambda m: f"pg{m}")
def postgres(request: pytest.FixtureRequest, _servers: _Servers) -> PostgresServer:
    """Every version, one after the other."""
    return _servers.get(int(request.param))


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """A fresh database on every version."""
    yield from _fresh(postgres)


@pytest.fixture
def database15(postgres15: PostgresServer) -> Iterator[Database]:
    """A fresh database on PostgreSQL 15 only, for tests that no version changes."""
    yield from _fresh(postgres15)


@pytest.fixture
def database18(postgres18: PostgresServer) -> Iterator[Database]:
    """A fresh database on PostgreSQL 18 only."""
    yield from _fresh(postgres18)


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


def _fresh(server: PostgresServer) -> Iterator[Database]:
    database = server.create_database()
    yield database
    if not server.is_running:
        server.start()
    database.drop()
