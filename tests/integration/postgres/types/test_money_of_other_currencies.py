"""money has as many fraction digits as the server's lc_monetary says, in the copy and in the stream."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tests.support.equality import postgres as equality
from tests.support.postgres.follower import PostgresFollower
from tests.support.postgres.server import Database, PostgresServer
from tests.support.postgres.silent_ddl import Watched
from tests.support.server_pool import lend

# No fraction digits, and three of them.
LOCALES = {"ja_JP": "ja_JP.UTF-8", "ar_TN": "ar_TN.UTF-8"}


@pytest.fixture(scope="module", params=[15, 18])
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server that finds locales which are made here: most systems have none."""
    if shutil.which("localedef") is None:
        pytest.skip("localedef is not installed: the package of the C library has it")
    folder = Path(tempfile.mkdtemp(prefix="cdc-locale-"))
    folder.chmod(0o755)
    for name, locale in LOCALES.items():
        command = ["localedef", "-i", name, "-f", "UTF-8", str(folder / locale)]
        subprocess.run(command, check=True, capture_output=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCPATH", str(folder))
        started = PostgresServer(request.param, {}).start()
    yield started
    started.destroy()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("locale", "amount", "digits"), [("ja_JP", Decimal(1234), 0), ("ar_TN", Decimal("12.345"), 3)]
)
def test_money_is_read_with_the_digits_of_the_database(
    postgres: PostgresServer, locale: str, amount: Decimal, digits: int
) -> None:
    name = f"money_{locale.lower()}"
    with postgres.connect() as admin:
        admin.execute(f"create database {name}".encode())
        admin.execute(f"alter database {name} set lc_monetary = '{LOCALES[locale]}'".encode())
    database = Database(postgres, name)
    database.execute(
        "create table t (id int primary key, price money, prices money[])",
        f"insert into t values (1, {amount}::numeric::money, array[{amount}::numeric::money])",
    )
    follower = PostgresFollower(database).open()
    try:
        _, copied = follower.copy()
        database.execute(f"alter table t add later money default {amount}::numeric::money")
        database.execute("insert into t select id + 1, price, prices from t")
        (streamed,) = follower.rows()
        column = next(c for c in follower.schema("public.t").columns if c.name == "later")
    finally:
        follower.close()
    assert column.type == pa.decimal128(19, digits)
    assert column.fill is not None
    assert column.fill.as_py() == amount
    for row in (*copied, streamed):
        assert row["price"] == amount
        assert row["prices"] == [amount]


@pytest.fixture
def fresh_database(postgres: PostgresServer) -> Iterator[Database]:
    yield from lend(postgres, postgres.create_database)


PRICED = ("m", "lists", "domains", "parts")
AMOUNTS = {
    "m": "price::numeric",
    "lists": "price[1]::numeric",
    "domains": "price::numeric",
    "parts": "price::numeric",
}


def _insert(row: int, amount: str) -> list[str]:
    money = f"{amount}::numeric::money"
    values = {"m": money, "lists": f"array[{money}]", "domains": money, "parts": money}
    return [f"insert into app.{table} values ({row}, {values[table]})" for table in PRICED]


@pytest.mark.halved
@pytest.mark.parametrize("ddl", ["watch", "trigger"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_tables_with_money_are_copied_again_when_lc_monetary_is_changed(
    fresh_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ddl: str, running: bool
) -> None:
    database = fresh_database
    database.execute(
        f"alter database {database.name} set lc_monetary = 'C'",
        "create schema app",
        "create domain app.price as money",
        "create table app.m (id int primary key, price money)",
        "create table app.lists (id int primary key, price money[])",
        "create table app.domains (id int primary key, price app.price)",
        "create table app.parts (id int primary key, price money) partition by range (id)",
        "create table app.parts_1 partition of app.parts for values from (0) to (9)",
        "create table app.other (id int primary key, n int)",
        "insert into app.other values (1, 1)",
        *_insert(1, "12.34"),
    )
    watched = Watched(database, tmp_path, ddl=ddl)
    change = f"alter database {database.name} set lc_monetary = '{LOCALES['ja_JP']}'"
    watched.migrate(
        [change],
        expected=[f"app.{table}" for table in PRICED],
        later=[*_insert(2, "5000"), "update app.other set n = 2"],
        running=running,
    )
    reason = "lc_monetary was changed: money has 0 fraction digits now, 2 before"
    assert watched.copied == {f"app.{table}": [reason] for table in PRICED}
    # The source is read with the digits that its database has now.
    monkeypatch.setattr(equality, "SESSION", f"{equality.SESSION}; reset lc_monetary")
    watched.assert_equal()
    with duckdb.connect(str(watched.pipeline.mirror), read_only=True) as mirror:
        for table in PRICED:
            column = "price[1]" if table == "lists" else "price"
            found = mirror.execute(f"select {column} from app.{table} order by id").fetchall()
            assert found == database.query(f"select {AMOUNTS[table]} from app.{table} order by id")
