"""The servers that the other tests run on do what those tests rely on."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database, PostgresServer


@pytest.mark.every_server
def test_server_is_set_for_logical_replication(postgres: PostgresServer) -> None:
    with postgres.connect() as connection:
        assert connection.execute("show wal_level").fetchone() == ("logical",)
    assert postgres.version_num // 10000 == postgres.major
    assert postgres.psql.exists()


def test_database_is_fresh_and_drops_its_slots(postgres: PostgresServer) -> None:
    database = postgres.create_database()
    # The servers of a run are shared: others have slots of their own.
    database.execute(f"select pg_create_logical_replication_slot('{database.name}', 'pgoutput')")
    database.execute(
        "create table t (i int)", f"begin; insert into t values (1); prepare transaction '{database.name}'"
    )
    database.drop()
    with postgres.connect() as connection:
        slots = "select count(*) from pg_replication_slots where database = %s"
        assert connection.execute(slots, [database.name]).fetchone() == (0,)


def test_killed_server_keeps_committed_rows_and_its_port(database: Database) -> None:
    database.execute("create table t (i int)", "insert into t values (1)")
    port = database.server.port
    database.server.kill9()
    with pytest.raises(psycopg.OperationalError):
        database.connect()
    database.server.start()
    assert database.value("select i from t") == 1
    assert database.server.port == port


def test_factory_applies_settings_and_hba(postgres_factory: PostgresFactory) -> None:
    hba = [
        "local all all trust",
        "host all postgres 127.0.0.1/32 trust",
        "host all all 127.0.0.1/32 scram-sha-256",
    ]
    server = postgres_factory({"wal_level": "replica"}, 18, hba=hba)
    with server.connect() as connection:
        assert connection.execute("show wal_level").fetchone() == ("replica",)
        connection.execute("create role visitor login password 'right'")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn(user="visitor", password="wrong"))
