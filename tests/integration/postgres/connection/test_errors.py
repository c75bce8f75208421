from __future__ import annotations

import psycopg
import pytest
from psycopg import pq

from cdc.errors import CdcError, SourceBusy, SourceGap, SourceRefused, SourceUnavailable
from cdc_source_postgres.errors import translate, translate_result
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database, PostgresServer

WHERE = "sources.shop"


def refusal(database: Database, statement: str, user: str = "postgres") -> CdcError:
    """What becomes of the server's answer to a statement."""
    with database.connect(user=user) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    return translate(caught.value, WHERE, "asking")


def streaming(url: str, *commands: bytes) -> CdcError:
    """What becomes of the last replication command's answer, or of the end of the stream it starts."""
    connection = pq.PGconn.connect(url.encode())
    try:
        for command in commands:
            result = connection.exec_(command)
        if result.status == pq.ExecStatus.COPY_BOTH:
            length = 1
            while length > 0:
                length, _ = connection.get_copy_data(0)
            result = connection.get_result() or result
        return translate_result(connection, result, WHERE, "streaming")
    finally:
        connection.finish()


def start(slot: str) -> bytes:
    options = "(proto_version '1', publication_names 'p')"
    return f"START_REPLICATION SLOT {slot} LOGICAL 0/0 {options}".encode()


def create(slot: str) -> bytes:
    return f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT".encode()


def test_missing_privilege_is_refused(database: Database) -> None:
    role = f"app_{database.name}"
    database.execute("create table t (id int)", f"create role {role} login")
    error = refusal(database, "select * from t", role)
    database.execute(f"drop role {role}")
    assert type(error) is SourceRefused
    assert str(error) == (
        "sources.shop: asking: permission denied for table t (SQLSTATE 42501)."
        " Run cdc check: it prints the grant for each missing privilege."
    )


def test_values_of_rows_never_reach_an_error(database: Database) -> None:
    database.execute("create table t (v text)", "insert into t values ('a secret value')")
    raising = "do $$ begin raise exception 'no: %', (select v from t); end $$"
    for statement in ("select v::int from t", "select cast(v as date) from t", raising):
        assert "secret" not in str(refusal(database, statement))


def test_busy_slot_is_busy(database: Database) -> None:
    slot = f"s_{database.name}"
    database.query("select pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    url = database.dsn(replication="database")
    holder = pq.PGconn.connect(url.encode())
    try:
        assert holder.exec_(start(slot)).status == pq.ExecStatus.COPY_BOTH
        error = streaming(url, start(slot))
    finally:
        holder.finish()
    assert type(error) is SourceBusy
    assert error.message == (
        f'streaming: replication slot "{slot}" is active for PID {holder_pid(error)} (SQLSTATE 55006)'
    )


def holder_pid(error: CdcError) -> str:
    return error.message.partition("PID ")[2].partition(" ")[0]


def test_missing_slot_is_a_gap(database: Database) -> None:
    error = streaming(database.dsn(replication="database"), start("nowhere"))
    assert type(error) is SourceGap
    assert error.message == 'streaming: replication slot "nowhere" does not exist (SQLSTATE 42704)'


def test_missing_publication_is_a_gap_where_the_server_says_so(database15: Database) -> None:
    slot = f"s_{database15.name}"
    database15.query("select pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    database15.execute("create table t (id int primary key)", "insert into t values (1)")
    error = streaming(database15.dsn(replication="database"), start(slot))
    assert type(error) is SourceGap
    assert error.message == 'streaming: publication "p" does not exist (SQLSTATE 42704)'


@pytest.mark.halved
@pytest.mark.parametrize("version", [15, 18])
def test_low_wal_level_and_full_slots_are_refused(postgres_factory: PostgresFactory, version: int) -> None:
    server = postgres_factory({"wal_level": "replica"}, version=version)
    error = streaming(server.dsn(replication="database"), create("s"))
    assert type(error) is SourceRefused
    assert "wal_level" in error.message
    assert error.remedy.startswith("Run: alter system set wal_level = 'logical'; then restart the server")

    server.configure({"wal_level": "logical", "max_replication_slots": "1"})
    server.restart()
    full = streaming(server.dsn(replication="database"), create("a"), create("b"))
    assert type(full) is SourceRefused
    assert full.message == "streaming: all replication slots are in use (SQLSTATE 53400)"
    assert full.remedy.startswith("Drop an unused slot.")


@pytest.mark.halved(other=True)
@pytest.mark.parametrize("version", [15, 18])
def test_lost_slot_is_a_gap(postgres_factory: PostgresFactory, version: int) -> None:
    server = postgres_factory({"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB"}, version=version)
    with server.connect() as admin:
        admin.execute("select pg_create_logical_replication_slot('s', 'pgoutput')")
        for _ in range(3):
            admin.execute("select pg_logical_emit_message(false, 'x', 'y')")
            admin.execute("select pg_switch_wal()")
        admin.execute("checkpoint")
    assert type(streaming(server.dsn(replication="database"), start("s"))) is SourceGap


def test_ended_sessions_are_unavailable(database: Database) -> None:
    with database.connect() as admin, database.connect() as victim:
        admin.execute("select pg_terminate_backend(%s)", [victim.info.backend_pid])
        with pytest.raises(psycopg.Error) as caught:
            victim.execute("select pg_sleep(10)")
    assert type(translate(caught.value, WHERE)) is SourceUnavailable


def test_lock_timeout_is_unavailable(database: Database) -> None:
    database.execute("create table t (id int)")
    with database.connect(autocommit=False) as holder:
        holder.execute("lock table t in access exclusive mode")
        error = refusal(database, "set lock_timeout = '20ms'; select * from t")
    assert type(error) is SourceUnavailable
    assert error.message == "asking: canceling statement due to lock timeout (SQLSTATE 55P03)"


def test_shutdown_is_unavailable(postgres_factory: PostgresFactory) -> None:
    server: PostgresServer = postgres_factory()
    with server.connect() as connection:
        server.stop("immediate")
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("select 1")
    assert type(translate(caught.value, WHERE)) is SourceUnavailable
