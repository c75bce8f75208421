"""Runs real MySQL and MariaDB servers in temporary folders, to be stopped, killed and restarted by tests.

Every server has its own data folder (a copy of one initialised per kind and process) and a unix socket. The
superuser has no password.
"""

from __future__ import annotations

import itertools
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import ER
from pymysql.cursors import Cursor

from cdc.testing.servers.mysql import MysqlProcess
from cdc.testing.servers.process import HOST
from tests.support.mysql.binaries import Flavour, mysql_binaries
from tests.support.mysql.template import template
from tests.support.waiting import wait_until

SUPERUSER = "root"
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
_server_ids = itertools.count(1)


class _Sessions(ABC):
    """What a test says to a server or to one of its databases."""

    @abstractmethod
    def connect(self) -> Connection[Any]:
        """An autocommit connection."""

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


class MysqlServer(MysqlProcess, _Sessions):
    """One server: mysql9, mariadb10 or mariadb11."""

    def __init__(self, name: str = "mysql9", settings: Mapping[str, str] | None = None) -> None:
        self.binaries = mysql_binaries(name)
        super().__init__(name, f"cdc-{name}-")
        self.name = name
        names = (settings or {}).get("lower-case-table-names", "0")
        shutil.copytree(template(name, names), self.data, symlinks=True)
        temporary = self.folder / "tmp"
        temporary.mkdir()
        # A starting MariaDB removes all `#sql*` files from its tmpdir: other servers' too, which then crash.
        self.configure({**_COMMON_SETTINGS, **_FLAVOUR_SETTINGS[self.flavour], "tmpdir": str(temporary)})
        self.configure({"server-id": str(next(_server_ids)), **(settings or {})})

    @property
    def flavour(self) -> Flavour:
        return self.binaries.flavour

    def url(
        self, database: str = "", user: str = SUPERUSER, password: str | None = None, **parameters: str
    ) -> str:
        """A URL over TCP; `host` and `port` among the parameters override (a proxy)."""
        return self._url(self.flavour, database, user, password, parameters)

    def connect(self, database: str | None = None, user: str = SUPERUSER, **options: Any) -> Connection[Any]:
        """An autocommit connection; options are PyMySQL's. The superuser's goes without TLS, which costs ten
        times what else a login costs; others may need it for their passwords.
        """
        settings = {"host": HOST, "port": self.port, "autocommit": True, "charset": "utf8mb4", **options}
        settings.setdefault("ssl_disabled", user == SUPERUSER)
        return pymysql.connect(user=user, database=database, **settings)

    def position(self) -> tuple[str, int]:
        """File and offset of the binlog's end."""
        statement = "show binary log status" if self.flavour == "mysql" else "show binlog status"
        file, offset = self.query(statement)[0][:2]
        return str(file), int(offset)

    def executed(self) -> str:
        """The GTIDs in the binlog, as the server writes them."""
        variable = "gtid_executed" if self.flavour == "mysql" else "gtid_binlog_pos"
        return str(self.value(f"select @@global.{variable}")).replace("\n", "")

    def kill_session(self, number: int) -> None:
        """End a session, unless it has ended meanwhile: one that its client closed is listed for a moment."""
        try:
            self.execute(f"kill {number}")
        except pymysql.MySQLError as error:
            if error.args[0] != ER.NO_SUCH_THREAD:
                raise

    def create_database(self, options: str = "") -> MysqlDatabase:
        """A fresh database with a random name; options as `character set latin1`."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"create database `{name}` {options}")
        return MysqlDatabase(self, name)

    def _is_ready(self) -> bool:
        try:
            return Path(str(self.value("select @@datadir"))) == self.data
        except pymysql.err.MySQLError:
            return False

    def _server(self, *arguments: str) -> list[str]:
        return self.binaries.server_command(*arguments)


class MysqlDatabase(_Sessions):
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

    def drop(self) -> None:
        """Drop the database, with the sessions in it and every prepared XA transaction of the server."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("select id from information_schema.processlist where db = %s", [self.name])
            for (session,) in cursor.fetchall():
                self.server.kill_session(int(session))
            wait_until(lambda: self._roll_back_branches(cursor), "the server to give its branches free")
            cursor.execute(f"drop database if exists `{self.name}`")

    def _roll_back_branches(self, cursor: Cursor) -> bool:
        """Roll back what is prepared; return whether nothing is left, as of a session on its way out."""
        is_mysql = self.server.flavour == "mysql"
        cursor.execute("xa recover convert xid" if is_mysql else "xa recover format='SQL'")
        branches = cursor.fetchall()
        for format_id, gtrid, bqual, data in branches:
            try:
                cursor.execute(f"xa rollback {_xid(format_id, gtrid, bqual, str(data))}")
            except pymysql.MySQLError as error:
                if error.args[0] != ER.XAER_NOTA:
                    raise
        return not branches


def _xid(format_id: int, gtrid_length: int, bqual_length: int, data: str) -> str:
    """An XID as a statement takes it, of what the server lists (MariaDB lists it so already)."""
    if not data.startswith("0x"):
        return data
    digits = data[2:]
    parts = digits[: 2 * gtrid_length], digits[2 * gtrid_length : 2 * (gtrid_length + bqual_length)]
    return f"X'{parts[0]}',X'{parts[1]}',{format_id}"
