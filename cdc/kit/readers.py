"""The connections of a snapshot: one for each chunk that is being read, kept for the chunks after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic

from cdc.kit.connections import ConnectionT
from cdc.kit.errors import snapshot_closed


class Readers(Generic[ConnectionT]):
    """The connections of one snapshot, for several threads.

    `connect` opens one more; `where` is the source, for errors.
    """

    def __init__(self, connect: Callable[[], ConnectionT], where: str) -> None:
        self._connect = connect
        self._where = where
        self._lock = threading.Lock()
        self._idle: list[ConnectionT] = []
        self.closed = False

    @contextmanager
    def lend(self) -> Iterator[ConnectionT]:
        """Lend a connection for the block. One on which the block failed is never lent again.

        Raises:
            SourceUnavailable: the snapshot is closed.
        """
        connection = self._take()
        is_whole = False
        try:
            yield connection
            is_whole = True
        finally:
            self._give_back(connection, reusable=is_whole)

    def require_open(self) -> None:
        """Raise SourceUnavailable once the snapshot is closed."""
        if self.closed:
            raise snapshot_closed(self._where)

    def close(self) -> None:
        """Close what nobody reads from; the others are closed by their readers. May be called twice."""
        with self._lock:
            self.closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> ConnectionT:
        with self._lock:
            self.require_open()
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, connection: ConnectionT, *, reusable: bool) -> None:
        with self._lock:
            if reusable and not self.closed:
                self._idle.append(connection)
                return
        connection.close()
