"""A database server as a process with a folder and a port of its own, to be stopped, killed and restarted.

It listens on a free port of 127.0.0.1, keeps its port from its first start on, and dies with the
process that started it, however that ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlencode

from cdc.errors import CdcError
from cdc.testing.conditions import DEFAULT_TIMEOUT_SECONDS, wait_for
from cdc.testing.ports import free_port

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = DEFAULT_TIMEOUT_SECONDS
STOP_TIMEOUT_SECONDS = DEFAULT_TIMEOUT_SECONDS
# A port that was free a moment ago may be taken by a parallel worker; a few tries are plenty.
PORT_ATTEMPTS = 5
_PORT_TAKEN = "address already in use"
# Enough of the server's log to hold what it died of.
_LOG_TAIL_CHARACTERS = 4000
# Reads until its standard input closes, which the kernel does when we die, then ends the server and removes
# its folder.
_REAPER = (
    "import os,shutil,sys\nsys.stdin.read()\n"
    "try: os.kill(int(sys.argv[1]), int(sys.argv[2]))\nexcept ProcessLookupError: pass\n"
    "shutil.rmtree(sys.argv[3], ignore_errors=True)\n"
)


class ServerFailed(CdcError):
    """A server or one of its programs did not do what it was started for."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that a server runs under."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        return self.uid == os.geteuid()

    def own(self, *folders: Path) -> None:
        """Make the account the owner of these folders and all in them."""
        if self.is_ours:
            return
        for folder in folders:
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def popen_options(self) -> dict[str, Any]:
        """Return the options of Popen that run a child process under the account."""
        return {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": []}


def unprivileged_account(names: Sequence[str]) -> Account:
    """Our own, or when we are root the first of these that exists."""
    if os.geteuid() != 0:
        return _account(pwd.getpwuid(os.geteuid()))
    for name in names:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise ServerFailed(
        f"a server must not run as root, and none of the accounts {', '.join(names)} exists",
        remedy="Run this as another user than root",
    )


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def run_program(command: Sequence[str], text: str = "", **options: Any) -> str:
    """Run one of a server's programs to its end; what it says on stdout."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, errors="replace", check=False, **options
    )
    if done.returncode != 0:
        tail = done.stderr.strip()[-_LOG_TAIL_CHARACTERS:]
        raise ServerFailed(
            f"it ended with exit code {done.returncode}", where=command[0], remedy=f"Its log ends:\n{tail}"
        )
    return done.stdout


class ServerProcess(ABC):
    """Owns its folder and process; `destroy` gives both back."""

    # What ends it in order, and what ends it at once with all its children when our process is gone.
    stop_signal: ClassVar[signal.Signals]
    abandoned_signal: ClassVar[signal.Signals]

    def __init__(self, title: str, folder_prefix: str) -> None:
        self.title: str = title
        self.folder = Path(tempfile.mkdtemp(prefix=folder_prefix))
        self.data = self.folder / "data"
        self.log_path = self.folder / "server.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command that starts the server on its port."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Return whether this very server answers: another one may sit on a port that this one could not
        take.
        """

    def _popen_options(self) -> dict[str, Any]:
        return {}

    @property
    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and wait until it answers. Keeps the port of the first start."""
        # One that ended unasked leaves its reaper, which would remove the folder under the new process.
        self._reap()
        fixed = self.port != 0
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self.port = self.port if fixed else free_port(HOST)
            self._launch()
            try:
                wait_for(self._answers, START_TIMEOUT_SECONDS, f"{self.title} to answer")
            except (ServerFailed, AssertionError):
                self._reap()
                if fixed or attempt == PORT_ATTEMPTS or _PORT_TAKEN not in self.log_text.lower():
                    raise
            else:
                break
        return self

    def stop(self) -> None:
        """Shut down in order and wait for the end. No-op when it is down."""
        self._end(self.stop_signal)

    def kill9(self) -> None:
        """SIGKILL: as a crash leaves it."""
        self._running().kill()
        self._reap()

    def restart(self) -> None:
        self.stop()
        self.start()

    def destroy(self) -> None:
        """End it at once and remove the folder. May be called twice."""
        self._end(self.abandoned_signal)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self.is_running:
            process = self._running()
            process.send_signal(number)
            process.wait(STOP_TIMEOUT_SECONDS)
        self._reap()

    def _url(
        self, scheme: str, database: str, user: str, password: str | None, parameters: Mapping[str, str]
    ) -> str:
        """A URL over TCP; `host` and `port` among the parameters override (a proxy, a unix socket)."""
        options = dict(parameters)
        host = quote(options.pop("host", HOST), safe="")
        port = options.pop("port", str(self.port))
        login = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        return f"{scheme}://{login}@{host}:{port}/{quote(database, safe='')}{query}"

    def _answers(self) -> bool:
        status = self._running().poll()
        if status is not None:
            tail = self.log_text[-_LOG_TAIL_CHARACTERS:]
            raise ServerFailed(
                f"{self.title} ended with status {status} at its start",
                where=self._command()[0],
                remedy=f"Its log ends:\n{tail}",
            )
        return self._is_ready()

    def _launch(self) -> None:
        with self.log_path.open("ab") as log:
            process = self._process = subprocess.Popen[bytes](
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._popen_options(),
            )
        what = [str(process.pid), str(int(self.abandoned_signal)), str(self.folder)]
        self._reaper = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _REAPER, *what],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _reap(self) -> None:
        """End the reaper first (else it would remove the folder), then forget the process."""
        if self._reaper is not None:
            self._reaper.kill()
            self._reaper.wait()
            if self._reaper.stdin is not None:
                self._reaper.stdin.close()
            self._reaper = None
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait(STOP_TIMEOUT_SECONDS)
            self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerFailed(f"the {self.title} server is not started")
        return self._process
