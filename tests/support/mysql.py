"""Runs real MySQL and MariaDB servers in temporary folders, to be stopped, killed and restarted by tests.

Every server has its own data folder (a copy of one initialised per kind and process), a free port on
127.0.0.1 and a unix socket, and dies with the test process, however that ends. The superuser has no password.
"""

from __future__ import annotations

import itertools
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pymysql
from pymysql.connections import Connection

from tests.support.mysql_binaries import Flavour, mysql_binaries
from tests.support.mysql_template import template
from tests.support.ports import free_port
from tests.support.waiting import wait_until

SUPERUSER = "root"
HOST = "127.0.0.1"
# Small, and unsafe on power loss only: a commit is in the page cache at once, so that killed servers come
# back whole.
_COMMON_SETTINGS: Mapping[str, str] = {
    "bind-address": HOST,
    "skip-name-resolve": "ON",
    "log-bin": "binlog",
    "binlog-row-metadata": "FULL",
    "sync-binlog": "0",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-flush-method": "nosync",
    "innodb-doublewrite": "OFF",
    "innodb-buffer-pool-size": "32M",
    "innodb-buffer-pool-load-at-startup": "OFF",
    "innodb-buffer-pool-dump-at-shutdown": "OFF",
    "character-set-server": "utf8mb4",
    "max-connections": "60",
    "table-open-cache": "200",
}
# The performance schema is on, as it is in the world, with room for a test: 140 MiB less a server.
_PERFORMANCE_SCHEMA: Mapping[str, int] = {
    "max-table-instances": 400,
    "max-table-handles": 400,
    "max-thread-instances": 150,
    "max-index-stat": 200,
    "max-program-instances": 100,
    "digests-size": 100,
    "max-digest-length": 256,
    "max-sql-text-length": 256,
    "error-size": 10,
    "events-statements-history-long-size": 100,
    "events-stages-history-long-size": 100,
    "events-waits-history-long-size": 100,
    "events-transactions-history-long-size": 100,
}
_FLAVOUR_SETTINGS: Mapping[Flavour, Mapping[str, str]] = {
    "mysql": {
        "gtid-mode": "ON",
        "enforce-gtid-consistency": "ON",
        "mysqlx": "OFF",
        # Files may be loaded from everywhere; the built-in folder does not exist.
        "secure-file-priv": "",
        "innodb-redo-log-capacity": "32M",
        **{f"performance-schema-{name}": str(size) for name, size in _PERFORMANCE_SCHEMA.items()},
    },
    "mariadb": {
        "binlog-format": "ROW",
        "gtid-strict-mode": "ON",
        "log-slave-updates": "ON",
        "innodb-log-file-size": "16M",
    },
}
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 60.0
# A port that was free a moment ago may be taken by a parallel worker; a few tries are plenty.
PORT_ATTEMPTS = 5
_PORT_TAKEN = "Address already in use"
# Reads until its standard input closes, which the kernel does when we die, then kills the server and removes
# its folder.
_REAPER = (
    "import os,shutil,signal,sys\nsys.stdin.read()\n"
    "try: os.kill(int(sys.argv[1]), signal.SIGKILL)\nexcept ProcessLookupError: pass\n"
    "shutil.rmtree(sys.argv[2], ignore_errors=True)\n"
)
_server_ids = itertools.count(1)


class MysqlServer:
    """One server: mysql9, mariadb10 or mariadb11. Owns its folder and process; `destroy` gives both back."""

    def __init__(self, name: str = "mysql9", settings: Mapping[str, str] | None = None) -> None:
        self.binaries = mysql_binaries(name)
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"cdc-{name}-"))
        self.data = self.folder / "data"
        self.socket = self.folder / "socket"
        self.log_path = self.folder / "server.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper: subprocess.Popen[bytes] | None = None
        shutil.copytree(template(name), self.data, symlinks=True)
        temporary = self.folder / "tmp"
        temporary.mkdir()
        # A starting MariaDB removes all `#sql*` files from its tmpdir: other servers' too, which then crash.
        self.configure({**_COMMON_SETTINGS, **_FLAVOUR_SETTINGS[self.flavour], "tmpdir": str(temporary)})
        self.configure({"server-id": str(next(_server_ids)), **(settings or {})})

    @property
    def flavour(self) -> Flavour:
        return self.binaries.flavour

    @property
    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings; they count from the next start on, later ones win."""
        with (self.folder / "my.cnf").open("a", encoding="utf-8") as file:
            file.write("[mysqld]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))

    def start(self) -> MysqlServer:
        """Start and wait until it answers. Keeps the port of the first start."""
        # One that ended by itself leaves its reaper, which would remove the folder under the new process.
        self._reap()
        fixed = self.port != 0
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self.port = self.port if fixed else free_port(HOST)
            self._launch()
            try:
                wait_until(self._answers, f"{self.name} to answer", START_TIMEOUT_SECONDS)
            except (ChildProcessError, AssertionError):
                self._reap()
                if fixed or attempt == PORT_ATTEMPTS or _PORT_TAKEN not in self.log_text:
                    raise
            else:
                break
        return self

    def stop(self) -> None:
        """Shut down in order and wait for the end. No-op when it is down."""
        if self.is_running:
            process = self._running()
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_TIMEOUT_SECONDS)
        self._reap()

    def kill9(self) -> None:
        """SIGKILL: as a crash leaves it."""
        self._running().kill()
        self._reap()

    def restart(self) -> None:
        self.stop()
        self.start()

    def destroy(self) -> None:
        """Kill it and remove the folder. May be called twice."""
        self._reap()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(
        self, database: str = "", user: str = SUPERUSER, password: str | None = None, **parameters: str
    ) -> str:
        """A URL over TCP; `host` and `port` among the parameters override (a proxy)."""
        host = parameters.pop("host", HOST)
        port = parameters.pop("port", str(self.port))
        login = (
            quote(user, safe="") if password is None else f"{quote(user, safe='')}:{quote(password, safe='')}"
        )
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        return f"{self.flavour}://{login}@{host}:{port}/{quote(database, safe='')}{query}"

    def connect(self, database: str | None = None, user: str = SUPERUSER, **options: Any) -> Connection[Any]:
        """An autocommit connection; options are PyMySQL's."""
        settings = {"host": HOST, "port": self.port, "autocommit": True, "charset": "utf8mb4", **options}
        return pymysql.connect(user=user, database=database, **settings)

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser on one connection."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def value(self, statement: str, parameters: Sequence[Any] | None = None) -> Any:
        """The first column of the first row."""
        return self.query(statement, parameters)[0][0]

    def position(self) -> tuple[str, int]:
        """File and offset of the binlog's end."""
        statement = "show binary log status" if self.flavour == "mysql" else "show binlog status"
        file, offset = self.query(statement)[0][:2]
        return str(file), int(offset)

    def executed(self) -> str:
        """The GTIDs in the binlog, as the server writes them."""
        variable = "gtid_executed" if self.flavour == "mysql" else "gtid_binlog_pos"
        return str(self.value(f"select @@global.{variable}")).replace("\n", "")

    def create_database(self, options: str = "") -> MysqlDatabase:
        """A fresh database with a random name; options as `character set latin1`."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"create database `{name}` {options}")
        return MysqlDatabase(self, name)

    def _answers(self) -> bool:
        status = self._running().poll()
        if status is not None:
            message = f"{self.name} ended with status {status} at start:\n{self.log_text[-4000:]}"
            raise ChildProcessError(message)
        try:
            # Another server may answer on a port that this one could not take.
            return Path(str(self.value("select @@datadir"))) == self.data
        except pymysql.err.MySQLError:
            return False

    def _launch(self) -> None:
        arguments = [f"--defaults-file={self.folder / 'my.cnf'}", f"--datadir={self.data}"]
        arguments += [f"--port={self.port}", f"--socket={self.socket}", f"--pid-file={self.folder / 'pid'}"]
        with self.log_path.open("ab") as log:
            process = self._process = subprocess.Popen[bytes](
                self.binaries.server_command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        command = [sys.executable, "-S", "-E", "-c", _REAPER, str(process.pid), str(self.folder)]
        self._reaper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
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
            message = f"the {self.name} server is not started"
            raise ChildProcessError(message)
        return self._process


class MysqlDatabase:
    """One database of a server."""

    def __init__(self, server: MysqlServer, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def connect(self, user: str = SUPERUSER, **options: Any) -> Connection[Any]:
        """An autocommit connection; options are PyMySQL's."""
        return self.server.connect(self.name, user, **options)

    def execute(self, *statements: str) -> None:
        """Run statements on one connection, each in a transaction of its own unless they say otherwise."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def value(self, statement: str, parameters: Sequence[Any] | None = None) -> Any:
        """The first column of the first row."""
        return self.query(statement, parameters)[0][0]

    def drop(self) -> None:
        """Drop the database, with the sessions in it and every prepared XA transaction of the server."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("select id from information_schema.processlist where db = %s", [self.name])
            for (session,) in cursor.fetchall():
                cursor.execute("kill %s", [session])
            converted = (
                "xa recover convert xid" if self.server.flavour == "mysql" else "xa recover format='SQL'"
            )
            cursor.execute(converted)
            for format_id, gtrid, bqual, data in cursor.fetchall():
                cursor.execute(f"xa rollback {_xid(format_id, gtrid, bqual, str(data))}")
            cursor.execute(f"drop database if exists `{self.name}`")


def _xid(format_id: int, gtrid_length: int, bqual_length: int, data: str) -> str:
    """An XID as a statement takes it, of what the server lists (MariaDB lists it so already)."""
    if not data.startswith("0x"):
        return data
    digits = data[2:]
    parts = digits[: 2 * gtrid_length], digits[2 * gtrid_length : 2 * (gtrid_length + bqual_length)]
    return f"X'{parts[0]}',X'{parts[1]}',{format_id}"
