"""The demo on MySQL and MariaDB: a server program that is installed here, and the shop in their SQL.

Only the server's account and root reach its socket, and the superuser logs in there alone.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from cdc.cli.demo.server import FOLDER_PREFIX, DemoFailed, DemoServer, Hashing
from cdc.cli.demo.shop import Shop
from cdc.installing import install_command
from cdc.testing.servers.mysql import MARIADB_SCRIPTS, MysqlProcess, initialise_mariadb, initialise_mysql
from cdc.testing.servers.process import run_program, unprivileged_account

# Where packages put servers; not all of these are on the PATH of every user.
USUAL_FOLDERS: Final = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/usr/local/mysql/bin",
    "/opt/mysql/bin",
)
# The two servers share most settings; `loose` ones are for those that know them. The server holds invented
# data and lives for minutes: what matters here is our durability, not its own.
SETTINGS: Final = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "ON",
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "loose-binlog-row-metadata": "FULL",
    "sync-binlog": "0",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-doublewrite": "0",
    "innodb-buffer-pool-size": "256M",
    "loose-innodb-redo-log-capacity": "512M",
    "loose-innodb-log-file-size": "256M",
    "character-set-server": "utf8mb4",
    "loose-mysqlx": "OFF",
    "loose-gtid-mode": "ON",
    "loose-enforce-gtid-consistency": "ON",
}
VERSION_TIMEOUT_SECONDS = 10.0

ROLE: Final = (
    "create database shop",
    "create user shop@'%' identified by 'shop'",
    "grant all on shop.* to shop@'%'",
    "grant replication slave, replication client on *.* to shop@'%'",
)
# Joined with itself it counts to a million, on servers of every age.
NUMBERS: Final = ("create database numbers", "create table numbers.thousand (n int primary key)")

SCHEMA: Final = (
    """create table customers (
        customer_id bigint primary key, name varchar(60) not null, email varchar(60) not null,
        joined_on date not null, is_business boolean not null, preferences json)""",
    """create table orders (
        order_id bigint primary key, customer_id bigint not null, status varchar(10) not null,
        total decimal(12, 2) not null, placed_at timestamp(6) not null, note text)""",
    """create table order_lines (
        order_id bigint not null, line_no int not null, product varchar(20) not null, quantity int not null,
        unit_price decimal(10, 2) not null, primary key (order_id, line_no))""",
    """create table payments (
        payment_id bigint primary key, order_id bigint not null, amount decimal(12, 2) not null,
        method varchar(10) not null, paid_at timestamp(6) not null)""",
)


def _fill(shop: Shop) -> tuple[str, ...]:
    return (
        f"""insert into customers select i, concat('Customer ', i), concat('c', i, '@example.com'),
            date_add('2015-01-01', interval i % 4000 day), i % 7 = 0,
            if(i % 3 = 0, json_object('newsletter', i % 2, 'size', i % 40), null)
            from {_numbers(shop.customers)}""",
        f"""insert into orders select i, 1 + (i * 7919) % {shop.customers},
            elt(1 + i % 4, 'new', 'paid', 'sent', 'done'), (i % 100000) / 100,
            date_add('2024-01-01', interval i * 97 second), if(i % 11 = 0, repeat('gift ', i % 20), null)
            from {_numbers(shop.orders)}""",
        f"""insert into order_lines select 1 + (i - 1) div 3, 1 + (i - 1) % 3,
            concat('SKU-', (i * 31) % 5000), 1 + i % 9, (i % 20000) / 100
            from {_numbers(shop.order_lines)}""",
        f"""insert into payments select i, i, (i % 100000) / 100, elt(1 + i % 3, 'card', 'transfer', 'cash'),
            date_add('2024-01-02', interval i * 97 second) from {_numbers(shop.payments)}""",
    )


def _numbers(count: int) -> str:
    """1 to `count`, in order: rows that come in the order of the key are inserted faster."""
    return f"""(select 1 + h.n * 1000 + l.n as i from numbers.thousand h cross join numbers.thousand l
        where h.n * 1000 + l.n < {count} and h.n <= {count // 1000} order by i) counted"""


class MysqlDemoSession:
    """A PyMySQL connection in autocommit."""

    def __init__(self, **login: Any) -> None:
        import pymysql

        self._connection = pymysql.connect(
            **login,
            autocommit=True,
            charset="utf8mb4",
            init_command="set time_zone = '+00:00', sql_mode = concat(@@sql_mode, ',ANSI_QUOTES')",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def execute(self, statement: str, parameters: Sequence[Any] | None = None) -> Sequence[Sequence[Any]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.begin()
        yield
        self._connection.commit()


class MysqlServer(MysqlProcess, DemoServer):
    """A MySQL, by the program `mysqld`."""

    connector: ClassVar[str] = "mysql"
    # The scheme of its URLs.
    flavour: ClassVar[str] = "mysql"
    title = "MySQL"
    schema: ClassVar[str] = "shop"
    example_url: ClassVar[str] = "mysql://shop@127.0.0.1/shop"
    hashing: ClassVar[Hashing] = Hashing(
        as_text="cast({} as char)",
        timestamp_as_text="cast(cast(unix_timestamp({}) * 1000000 as signed) as char)",
        sixty_bits_of="cast(conv(substr(sha2({}, 256), 1, 15), 16, 10) as unsigned)",
    )
    # The server changes to this account once it has read what only root may.
    accounts: ClassVar[Sequence[str]] = ("mysql", "nobody")
    programs: ClassVar[Sequence[str]] = ("mysqld",)
    remedy: ClassVar[str] = "Install the package mysql-server-core of Debian or Ubuntu (apt-get install)"

    def __init__(self, program: Path | None = None, folders: Sequence[str] = USUAL_FOLDERS) -> None:
        """`program` is looked for on the PATH and in `folders` where it is not given."""
        self._program = _program(self, program, folders)
        super().__init__(self.title, FOLDER_PREFIX)
        self.account = unprivileged_account(self.accounts)

    @property
    def url(self) -> str:
        return f"{self.flavour}://shop:shop@127.0.0.1:{self.port}/shop"

    def connect(self) -> MysqlDemoSession:
        account = {"user": "shop", "password": "shop"}
        return MysqlDemoSession(host="127.0.0.1", port=self.port, database="shop", **account)

    def fill(self, shop: Shop) -> None:
        with self._superuser() as session:
            session.execute("set sql_log_bin = 0")
            for statement in (*ROLE, *NUMBERS):
                session.execute(statement)
            thousand = ", ".join(f"({n})" for n in range(1000))
            session.execute(f"insert into numbers.thousand values {thousand}")
            for statement in ("use shop", *SCHEMA, *_fill(shop), "drop database numbers"):
                session.execute(statement)

    def written(self) -> int:
        with self.connect() as session:
            file, offset = session.execute(self._position_statement(session))[0][:2]
        return self.order(f"{file}:{offset}")

    def order(self, position: str) -> int:
        """`binlog.000003:1234 …` by the number of the file, then by the offset."""
        number, offset = position.partition(" ")[0].rsplit(".", 1)[1].split(":")
        return (int(number) << 40) + int(offset)

    def _position_statement(self, session: MysqlDemoSession) -> str:
        (version,) = session.execute("select version()")[0]
        major, minor = (int(part) for part in re.findall(r"\d+", str(version))[:2])
        return "show binary log status" if (major, minor) >= (8, 2) else "show master status"

    def _superuser(self) -> MysqlDemoSession:
        return MysqlDemoSession(unix_socket=str(self.socket), user="root")

    def _server(self, *arguments: str) -> list[str]:
        account = [] if self.account.is_ours else [f"--user={self.account.name}"]
        return [str(self._program), *arguments, *account]

    def _prepare(self) -> None:
        # A package's setting for it may name a folder that only its installer makes.
        files = self.folder / "files"
        # A starting server removes what it takes for leftovers from its tmpdir: in /tmp, another server's
        # temporary tables.
        temporary = self.folder / "tmp"
        for folder in (self.data, files, temporary):
            folder.mkdir()
        self.account.own(self.folder)
        self._make_system_tables(
            f"--datadir={self.data}", f"--secure-file-priv={files}", f"--tmpdir={temporary}"
        )
        self.configure({**SETTINGS, "secure-file-priv": str(files), "tmpdir": str(temporary)})

    def _make_system_tables(self, *options: str) -> None:
        initialise_mysql(self._server, *options)

    def _is_ready(self) -> bool:
        import pymysql

        try:
            with self._superuser():
                return True
        except pymysql.err.OperationalError:
            return False


class MariadbServer(MysqlServer):
    """A MariaDB, by the program `mariadbd`."""

    flavour: ClassVar[str] = "mariadb"
    title = "MariaDB"
    example_url: ClassVar[str] = "mariadb://shop@127.0.0.1/shop"
    programs: ClassVar[Sequence[str]] = ("mariadbd", "mysqld")
    remedy: ClassVar[str] = "Install the package mariadb-server-core of Debian or Ubuntu (apt-get install)"

    def _position_statement(self, _session: MysqlDemoSession) -> str:
        return "show binlog status"

    def _make_system_tables(self, *options: str) -> None:
        initialise_mariadb(self._server, self._share(), *options)

    def _share(self) -> Path:
        """Where the scripts that make the system tables are: beside the character sets."""
        text = run_program([str(self._program), "--no-defaults", "--verbose", "--help"])
        found = re.search(r"^character-sets-dir\s+(/.+?)\s*$", text, re.MULTILINE)
        share = Path(found[1]).parent if found else Path("/usr/share/mysql")
        for folder in (share, share.with_name("mariadb"), share.with_name("mysql")):
            if list(folder.glob(f"m*_{MARIADB_SCRIPTS[0]}")):
                return folder
        raise DemoFailed(
            "the scripts that create the system tables are missing", where=str(share), remedy=self.remedy
        )


def _program(server: MysqlServer, given: Path | None, folders: Sequence[str]) -> Path:
    """The server's program: the one that was named, else the first of its kind that is installed."""
    if importlib.util.find_spec("pymysql") is None:
        raise DemoFailed(
            f"the demo on {server.title} needs the package pymysql",
            remedy=f"Run: {install_command('mysql')}",
        )
    if given is not None:
        if (flavour := _flavour(given)) != server.flavour:
            found = f"this is the server of {flavour}" if flavour else "this is no server that runs here"
            raise DemoFailed(found, where=str(given), remedy=f"Name the program of a {server.title} server")
        return given.absolute()
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *folders])
    for name in server.programs:
        installed = shutil.which(name, path=path)
        if installed is not None and _flavour(Path(installed)) == server.flavour:
            return Path(installed)
    raise DemoFailed(
        f"there is no {server.title} server on this machine (looked for {' and '.join(server.programs)} on "
        f"PATH and in {', '.join(folders)})",
        remedy=f"{server.remedy}, or name its program with --server or CDC_DEMO_SERVER",
    )


def _flavour(program: Path) -> str:
    """Whose server a program is, by what it says; empty when it says nothing."""
    command = [str(program.absolute()), "--no-defaults", "--version"]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=VERSION_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if said.returncode != 0 or "Ver" not in said.stdout:
        return ""
    return "mariadb" if "MariaDB" in said.stdout else "mysql"
