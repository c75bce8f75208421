"""Connections to a server: made whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar


class Closable(Protocol):
    """A connection of any driver."""

    def close(self) -> object: ...


ConnectionT = TypeVar("ConnectionT", bound=Closable)


@contextmanager
def closed_on_error(connection: ConnectionT) -> Iterator[ConnectionT]:
    """Close the connection if the block, which prepares it, fails."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
