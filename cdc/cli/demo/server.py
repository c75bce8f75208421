"""The database of the demo: its own server, a session, its position in the log, hashes of rows.

The server listens on a free port of 127.0.0.1, keeps its files in a folder of its own, and ends with the
demo; where we are root it runs as another account.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from cdc.cli.demo.shop import Shop
from cdc.errors import CdcError
from cdc.testing.servers.process import START_TIMEOUT_SECONDS, ServerProcess

FOLDER_PREFIX = "cdc-demo-"
# Enough of the server's log to hold what it died of.
LOG_TAIL_CHARACTERS = 800


class DemoFailed(CdcError):
    """The demo did not end with three equal copies."""


class DemoSession(Protocol):
    """A connection that commits every statement, but for those in a `transaction`; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def execute(self, statement: str, parameters: Sequence[Any] | None = None) -> Sequence[Sequence[Any]]:
        """Run one statement with `%s` for parameters; its rows."""
        ...

    def transaction(self) -> AbstractContextManager[object]:
        """One transaction, committed at the end of the block."""
        ...


@dataclass(frozen=True, slots=True)
class Hashing:
    """How the database renders and hashes rows; names in double quotes are understood."""

    as_text: str
    timestamp_as_text: str
    sixty_bits_of: str


class DemoServer(ServerProcess):
    """One server; a context manager that starts it and takes it away again."""

    # `type` of the source in the configuration.
    connector: ClassVar[str]
    # Schema, or database, of the shop's tables; a URL with neither port nor password.
    schema: ClassVar[str]
    example_url: ClassVar[str]
    hashing: ClassVar[Hashing]

    @property
    @abstractmethod
    def url(self) -> str:
        """The shop, as the daemon connects to it."""

    @abstractmethod
    def connect(self) -> DemoSession:
        """A session in the shop's schema, in UTC."""

    @abstractmethod
    def fill(self, shop: Shop) -> None:
        """Make account, schema and rows."""

    @abstractmethod
    def written(self) -> int:
        """Where the server's log of changes ends now, comparable with `order`."""

    @abstractmethod
    def order(self, position: str) -> int:
        """The place that a position in the status names."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder and the settings."""

    def __enter__(self) -> Self:
        try:
            self._prepare()
            return self.start()
        except AssertionError as error:
            self.destroy()
            raise DemoFailed(
                f"the embedded server did not start within {START_TIMEOUT_SECONDS:g} s",
                remedy=f"Its log ends:\n{self.log_text[-LOG_TAIL_CHARACTERS:]}",
            ) from error
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_: object) -> None:
        self.destroy()
