"""The proxy's faults are the faults that they are named after."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.postgres.server import Database
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until


def through(database: Database, proxy: Proxy) -> str:
    return database.dsn(port=str(proxy.port), sslmode="disable", gssencmode="disable")


def test_proxy_passes_data_and_cut_resets_connections(database15: Database) -> None:
    with Proxy(database15.server.port) as proxy:
        connection = psycopg.connect(through(database15, proxy), autocommit=True)
        assert connection.execute("select length(repeat('x', 1000000))").fetchone() == (1000000,)
        assert proxy.cut() == 1
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        connection.close()
        psycopg.connect(through(database15, proxy)).close()
        wait_until(lambda: proxy.open_connections == 0, "the proxy to notice the end")


def test_proxy_cut_after_lands_inside_a_result(database15: Database) -> None:
    with (
        Proxy(database15.server.port) as proxy,
        psycopg.connect(through(database15, proxy), autocommit=True) as connection,
    ):
        proxy.cut_after(500_000)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select repeat('x', 1000000)")
        connection.close()
        assert proxy.passed_bytes("to_client") >= 500_000
        psycopg.connect(through(database15, proxy)).close()


def test_proxy_refuses_until_told_to_accept(database15: Database) -> None:
    with Proxy(database15.server.port) as proxy:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(through(database15, proxy))
        proxy.accept()
        psycopg.connect(through(database15, proxy)).close()


def test_proxy_pause_holds_bytes_until_resumed(database15: Database) -> None:
    with Proxy(database15.server.port) as proxy:
        proxy.pause("to_client")
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(through(database15, proxy), connect_timeout=2)
        proxy.resume()
        psycopg.connect(through(database15, proxy)).close()
