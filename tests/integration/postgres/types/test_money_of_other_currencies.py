"""money has as many fraction digits as the server's lc_monetary says, in the copy and in the stream."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.postgres.follower import PostgresFollower
from tests.support.postgres.server import Database, PostgresServer

# No fraction digits, and three of them.
LOCALES = {"ja_JP": "ja_JP.UTF-8", "ar_TN": "ar_TN.UTF-8"}


@pytest.fixture(scope="module", params=[15, 18])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
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
    server: PostgresServer, locale: str, amount: Decimal, digits: int
) -> None:
    name = f"money_{locale.lower()}"
    with server.connect() as admin:
        admin.execute(f"create database {name}".encode())
        admin.execute(f"alter database {name} set lc_monetary = '{LOCALES[locale]}'".encode())
    database = Database(server, name)
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
