"""Finds the MySQL and MariaDB servers that scripts/mysql-servers.sh unpacked, and how to run them."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support.postgres.binaries import UNPACKED_ROOT

Flavour = Literal["mysql", "mariadb"]
# What every run covers, and what every run has a look at; `all` in the variable runs all tests on both.
REQUIRED = ("mysql9", "mariadb10")
FURTHER = ("mariadb11",)
SERVERS_VARIABLE = "CDC_TEST_MYSQL"


@dataclass(frozen=True)
class MysqlBinaries:
    """One unpacked server with all its libraries; its programs run by the loader that came with them."""

    name: str
    root: Path

    @property
    def flavour(self) -> Flavour:
        return "mariadb" if self.name.startswith("mariadb") else "mysql"

    @property
    def starter(self) -> Path:
        """The program that runs the server with its own libraries, messages and plug-ins."""
        return self.root / "server"

    @property
    def share(self) -> Path:
        """Messages, character sets and the scripts that make the system tables."""
        candidates = [self.root / "usr/share/mariadb", self.root / "usr/share/mysql"]
        return next(folder for folder in candidates if (folder / "charsets").exists())

    def command(self, program: str, *arguments: str | Path) -> list[str]:
        """The command line of a program (`mysqld`, `mysqlbinlog`) by this server's own C library."""
        found = [
            path
            for path in (self.root / "usr/sbin" / program, self.root / "usr/bin" / program)
            if path.exists()
        ]
        if not found:
            message = f"{self.name} brings no program {program}"
            raise FileNotFoundError(message)
        loader = _loader(self.root)
        return [str(loader), "--library-path", str(loader.parent), str(found[0]), *map(str, arguments)]

    def server_command(self, *arguments: str | Path) -> list[str]:
        """The server's command line, with the account when we are root."""
        # A server refuses to run as root without an option; its folder is ours and temporary.
        account = ["--user=root"] if os.geteuid() == 0 else []
        return [str(self.starter), *map(str, arguments), *account]


@functools.cache
def mysql_binaries(name: str) -> MysqlBinaries:
    """The server of that name; RuntimeError naming the command that installs it where it is missing."""
    root = UNPACKED_ROOT / name
    if not (root / "server").exists():
        message = f"the test server {name} is not installed; `make setup` installs it (with apt, on Debian)"
        raise RuntimeError(message)
    return MysqlBinaries(name, root)


def every_server(flavour: str = "") -> list[str]:
    """The servers that tests of their differences run through; those of one flavour."""
    names = servers_under_test() if os.environ.get(SERVERS_VARIABLE) else [*REQUIRED, *FURTHER]
    return [name for name in names if name.startswith(flavour)]


def servers_under_test() -> list[str]:
    """The servers that the `mysql` fixture runs through."""
    wanted = os.environ.get(SERVERS_VARIABLE, "")
    if wanted == "all":
        return [*REQUIRED, *FURTHER]
    return wanted.split(",") if wanted else list(REQUIRED)


@functools.cache
def _loader(root: Path) -> Path:
    """The program loader beside the C library (a link to it stands elsewhere too)."""
    return next(path for path in sorted(root.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*")))
