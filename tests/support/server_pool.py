"""Servers that a session's tests share, and fresh databases on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from cdc.testing.servers.process import ServerProcess


class _Database(Protocol):
    def drop(self) -> None: ...


KeyT = TypeVar("KeyT")
ServerT = TypeVar("ServerT", bound=ServerProcess)
DatabaseT = TypeVar("DatabaseT", bound=_Database)


class ServerPool(Generic[KeyT, ServerT]):
    """One server per key, started when first asked for; a context manager that destroys them."""

    def __init__(self, make: Callable[[KeyT], ServerT]) -> None:
        self._make = make
        self._started: dict[KeyT, ServerT] = {}

    def __enter__(self) -> ServerPool[KeyT, ServerT]:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._started.values():
            server.destroy()

    def get(self, key: KeyT) -> ServerT:
        if key not in self._started:
            self._started[key] = self._make(key).start()
        server = self._started[key]
        if not server.is_running:  # A test stopped or killed it and did not put it back.
            server.start()
        return server


def lend(server: ServerProcess, create: Callable[[], DatabaseT]) -> Iterator[DatabaseT]:
    """A database of the server for one test, dropped after it."""
    database = create()
    yield database
    if not server.is_running:
        server.start()
    database.drop()
