"""A PostgreSQL server as a process: initdb, settings, readiness."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cdc.testing.servers.process import Account, ServerProcess, run_program

SUPERUSER = "postgres"
# initdb and postgres refuse to run as root; the first of these that exists runs them then.
ACCOUNTS = ("postgres", "nobody")


def initialise(bindir: Path, data: Path, account: Account) -> None:
    """A data folder fresh from initdb, for a server that trusts everyone who reaches it."""
    command = [str(bindir / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8"]
    options = ["--locale=C", "--no-sync", "--no-instructions"]
    run_program([*command, *options], cwd="/", **account.popen_options())


class PostgresProcess(ServerProcess):
    """A server on the data folder that `initialise` made; `bindir` holds its programs."""

    bindir: Path
    account: Account
    # Fast shutdown. The postmaster ends its children with itself on an immediate one only.
    stop_signal = signal.SIGINT
    abandoned_signal = signal.SIGQUIT

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings; they count from the next start (or reload) on, later ones win."""
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(lines)

    def dsn(
        self, dbname: str = "postgres", user: str = SUPERUSER, password: str | None = None, **parameters: str
    ) -> str:
        """A URL over TCP; `host` and `port` among the parameters override (a proxy, the unix socket)."""
        return self._url("postgresql", dbname, user, password, parameters)

    def _is_ready(self) -> bool:
        from psycopg import pq

        if pq.PGconn.ping(self.dsn().encode()) != pq.Ping.OK:
            return False
        return (self.data / "postmaster.pid").read_text().split("\n", 1)[0] == str(self.pid)

    def _command(self) -> list[str]:
        return [str(self.bindir / "postgres"), "-D", str(self.data), "-p", str(self.port)]

    def _popen_options(self) -> dict[str, Any]:
        return self.account.popen_options()
