"""A MySQL or MariaDB server as a process: its system tables and its settings."""

from __future__ import annotations

import signal
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cdc.testing.servers.process import ServerProcess, run_program

# The command line of the server's program with these arguments.
ServerCommand = Callable[..., list[str]]
# What mariadb-install-db feeds to the server, but for help texts and the sys schema. The names changed in 11.
MARIADB_SCRIPTS = ("system_tables.sql", "performance_tables.sql", "system_tables_data.sql")


def initialise_mysql(server: ServerCommand, *options: str) -> None:
    """Make the system tables in the data folder that the options name, without a binlog."""
    run_program(server("--no-defaults", "--initialize-insecure", "--skip-log-bin", *options))


def initialise_mariadb(server: ServerCommand, share: Path, *options: str) -> None:
    """Make the system tables by the scripts in `share`."""
    prefix = "mariadb" if (share / "mariadb_system_tables.sql").exists() else "mysql"
    scripts = [(share / f"{prefix}_{script}").read_text("utf-8") for script in MARIADB_SCRIPTS]
    head = "create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\n"
    run_program(server("--no-defaults", "--bootstrap", *options), "".join([head, *scripts]))


class MysqlProcess(ServerProcess):
    """A server on a data folder that was initialised; it reads its settings from `my.cnf` in its folder."""

    stop_signal = signal.SIGTERM
    abandoned_signal = signal.SIGKILL

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @abstractmethod
    def _server(self, *arguments: str) -> list[str]:
        """The command line of the server's program with these arguments."""

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings; they count from the next start on, later ones win."""
        with (self.folder / "my.cnf").open("a", encoding="utf-8") as file:
            file.write("[mysqld]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))

    def _command(self) -> list[str]:
        arguments = [f"--defaults-file={self.folder / 'my.cnf'}", f"--datadir={self.data}"]
        arguments += [f"--port={self.port}", f"--socket={self.socket}", f"--pid-file={self.folder / 'pid'}"]
        return self._server(*arguments)

    def _popen_options(self) -> dict[str, Any]:
        return {"cwd": self.folder}
