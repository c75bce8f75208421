"""What the story needs of a database: a server of its own, a session, its place in the log, hashes of rows.

The server listens on a free port of 127.0.0.1, keeps its files in a folder of its own, and ends with the
demo; where we are root it runs as another account.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from cdc.cli.demo.shop import Shop
from cdc.errors import CdcError
from cdc.testing.ports import free_port

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 10.0
START_POLL_SECONDS = 0.05
# Enough of the server's log to hold what it died of.
LOG_TAIL_CHARACTERS = 800


class DemoFailed(CdcError):
    """The demo did not end with three equal copies."""


class Session(Protocol):
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


class DemoServer(ABC):
    """One server; a context manager that starts it and takes it away again."""

    # `type` of the source in the configuration, and what people call the database.
    connector: ClassVar[str]
    title: ClassVar[str]
    # Schema, or database, of the shop's tables; a URL with neither port nor password.
    schema: ClassVar[str]
    example_url: ClassVar[str]
    hashing: ClassVar[Hashing]
    # Who may run the server where we are root; the first that exists.
    accounts: ClassVar[Sequence[str]]
    # What ends the server, politely and when that took too long.
    stop_signals: ClassVar[tuple[signal.Signals, signal.Signals]]

    def __init__(self) -> None:
        self.account = _account(self.accounts)
        self.folder = Path(tempfile.mkdtemp(prefix="cdc-demo-"))
        self.port = free_port("127.0.0.1")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The shop, as the daemon connects to it."""

    @abstractmethod
    def connect(self) -> Session:
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
    def _prepare(self) -> list[str]:
        """Make the data folder; the command that starts the server."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server answers."""

    def _user_and_group(self) -> tuple[int | None, int | None]:
        """Whom the server's programs run as; None leaves our own."""
        return (self.account.pw_uid, self.account.pw_gid) if self.account else (None, None)

    def __enter__(self) -> Self:
        try:
            self._start(self._prepare())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _start(self, command: list[str]) -> None:
        user, group = self._user_and_group()
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", user=user, group=group)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._is_ready():
                return
            time.sleep(START_POLL_SECONDS)
        tail = (self.folder / "server.log").read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
        raise DemoFailed("the embedded server does not start", where=command[0], remedy=f"It says:\n{tail}")

    def _end(self) -> None:
        politely, by_force = self.stop_signals
        if self._process is not None:
            self._process.send_signal(politely)
            try:
                self._process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.send_signal(by_force)
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, command: Sequence[str], text: str = "") -> str:
        """Run one of the server's programs to its end; what it says on stdout."""
        user, group = self._user_and_group()
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, cwd="/", check=False, user=user, group=group
        )
        if done.returncode != 0:
            tail = done.stderr.strip()[-LOG_TAIL_CHARACTERS:]
            raise DemoFailed(
                f"it ended with exit code {done.returncode}", where=command[0], remedy=f"It says:\n{tail}"
            )
        return done.stdout

    def own(self, path: Path) -> None:
        """Give a folder to the server's account."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)


def _account(names: Sequence[str]) -> pwd.struct_passwd | None:
    """The account to run as: None is our own."""
    if os.geteuid() != 0:
        return None
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise DemoFailed(
        f"a server must not run as root, and none of the accounts {', '.join(names)} exists",
        remedy="Run the demo as another user than root",
    )
