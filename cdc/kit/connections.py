"""Connections to a source's server: made whole or not at all, and the one that serves all but the stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What a driver's connections have in common."""

    def close(self) -> object: ...


ConnectionT = TypeVar("ConnectionT", bound=Closable)


@contextmanager
def closed_on_error(connection: ConnectionT) -> Iterator[ConnectionT]:
    """Close the connection if the block fails, which prepares it before it is handed on."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


class KeptConnection(Generic[ConnectionT]):
    """The one connection of everything but the stream, for one thread at a time.

    `connect` opens it when it is wanted, and again after it was lost (`is_open`). An error of the driver
    (`errors`) closes it: nothing is sure of it any more.
    """

    def __init__(
        self,
        connect: Callable[[], ConnectionT],
        is_open: Callable[[ConnectionT], bool],
        errors: type[Exception],
    ) -> None:
        self._connect = connect
        self._is_open = is_open
        self._errors = errors
        self._lock = threading.Lock()
        self._connection: ConnectionT | None = None

    @contextmanager
    def use(self) -> Iterator[ConnectionT]:
        """Wait for the connection, and have it for the block."""
        with self._lock:
            if self._connection is None or not self._is_open(self._connection):
                self._connection = self._connect()
            try:
                yield self._connection
            except self._errors:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the connection once nobody uses it. May be called twice."""
        with self._lock:
            if self._connection is not None and self._is_open(self._connection):
                self._connection.close()
