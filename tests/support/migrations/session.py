"""The ends of a session's transactions, and what counts as a refusal of the server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from tests.support.migrations.threads import Refused


class DriverSession(ABC):
    """A connection of a DB-API driver; `Error` is the base of the driver's errors."""

    Error: ClassVar[type[Exception]]
    _connection: Any

    @abstractmethod
    def _is_lost(self, error: Exception) -> bool:
        """Whether the server went away; all other errors are its refusals."""

    def commit(self) -> None:
        with self._refusals():
            self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except self.Error as error:
            if self._is_lost(error):
                raise
            self._connection.rollback()
            raise Refused from error
