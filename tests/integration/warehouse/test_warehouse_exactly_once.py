"""One writer at a time, and every delivery once, whatever happens to the connection."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from cdc.errors import SinkFenced, SinkRefused, SinkUnavailable
from cdc.testing.events import table
from cdc_sink_postgres.database import PostgresConnection
from tests.support.fed_sink import SOURCE
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until
from tests.support.warehouses import Warehouse

T = table("public.t", {"id": pa.int32(), "v": pa.string()})
OpenWarehouse = Callable[..., Warehouse]
# Statements of one delivery into a table that is there, in their order.
PHASES = ("begin", "pg_advisory_xact_lock", "fences", "copy", "insert into", "cursors", "commit")


def rows_of(warehouse: Warehouse) -> list[tuple[object, ...]]:
    return warehouse.rows("public.t", "id, v")


def take_lock_of_sink(connection: psycopg.Connection[object]) -> None:
    number = int.from_bytes(hashlib.sha256(f"cdc {SOURCE}".encode()).digest()[:8], "big", signed=True)
    connection.execute("select pg_advisory_xact_lock(%s)", [number])


def errors_behind(
    holder: psycopg.Connection[object], wait_event: str, database: Database, act: Callable[[], object]
) -> list[Exception]:
    """Act in a thread, commit what it waits for once it waits, and return what it raised."""
    errors: list[Exception] = []

    def apply() -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  (shown by the assertion)
            errors.append(error)

    thread = threading.Thread(target=apply)
    thread.start()
    waits = f"select count(*) from pg_stat_activity where wait_event = '{wait_event}'"
    wait_until(lambda: database.value(waits) == 1, f"the sink to wait ({wait_event})")
    holder.commit()
    thread.join()
    return errors


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
def test_connection_that_is_cut_at_a_phase_leaves_the_delivery_whole_or_absent(
    open_warehouse: OpenWarehouse, monkeypatch: pytest.MonkeyPatch, phase: str, *, sent: bool
) -> None:
    """`after`: the server has carried out the statement, and its answer does not arrive."""
    warehouse = open_warehouse()
    warehouse.change(T, ("c", {"id": 1, "v": "a"}), ("c", {"id": 2, "v": "b"}))
    run, copy = PostgresConnection.run, PostgresConnection._copy
    cuts: list[str] = []

    def cut(self: PostgresConnection) -> None:
        cuts.append(phase)
        self.handle.close()
        message = "the connection is closed"
        raise psycopg.OperationalError(message)

    def cutting(self: PostgresConnection, what: str, act: Callable[[], Any]) -> Any:
        hits = (what.startswith(phase) if phase in ("begin", "commit") else phase in what) and not cuts
        if hits and not sent:
            cut(self)
        done = act()
        if hits:
            cut(self)
        return done

    def cut_run(self: PostgresConnection, statement: str, given: pa.Table | None = None) -> int:
        return cutting(self, statement, lambda: run(self, statement, given))

    def cut_query(self: PostgresConnection, statement: str, values: object = ()) -> object:
        return cutting(self, statement, lambda: query(self, statement, values))  # type: ignore[arg-type]

    def cut_copy(self: PostgresConnection, *args: object) -> None:
        cutting(self, "copy", lambda: copy(self, *args))  # type: ignore[arg-type]

    query = PostgresConnection.query
    monkeypatch.setattr(PostgresConnection, "run", cut_run)
    monkeypatch.setattr(PostgresConnection, "query", cut_query)
    monkeypatch.setattr(PostgresConnection, "_copy", cut_copy)
    change = (("u", {"id": 1, "v": "A"}), ("d", {"id": 2}), ("c", {"id": 3, "v": "c"}))
    with pytest.raises(SinkUnavailable, match="the connection was lost"):
        warehouse.change(T, *change)
    committed = warehouse.sink.committed(SOURCE)
    assert cuts
    assert committed is not None
    is_there = phase == "commit" and sent
    assert committed.next == (5 if is_there else 2)
    assert rows_of(warehouse) == ([(1, "A"), (3, "c")] if is_there else [(1, "a"), (2, "b")])
    warehouse.change(T, *change)
    assert rows_of(warehouse) == [(1, "A"), (3, "c")]


def test_delivery_whose_commit_was_not_answered_is_not_applied_again(
    open_warehouse: OpenWarehouse, database15: Database
) -> None:
    """The sink waits for the old session, and then finds its cursor."""
    warehouse = open_warehouse(mode="append")
    warehouse.change(T, ("c", {"id": 1, "v": "a"}))
    with database15.connect(autocommit=False) as old:
        # The session of a connection that is lost: it has the source's lock and has not ended.
        take_lock_of_sink(old)
        old.execute('update _cdc.cursors set "offset" = 2, high = 2')
        change = (T, ("c", {"id": 2, "v": "b"}))
        errors = errors_behind(old, "advisory", database15, lambda: warehouse.change(*change))
    assert errors == []
    assert rows_of(warehouse) == [(1, "a")]


def test_older_daemon_is_refused_once_a_newer_one_has_opened_the_sink(open_warehouse: OpenWarehouse) -> None:
    older = open_warehouse(epoch=1)
    older.change(T, ("c", {"id": 1, "v": "a"}))
    newer = open_warehouse(epoch=2)
    newer.next = older.next
    with pytest.raises(SinkFenced):
        older.change(T, ("c", {"id": 2, "v": "b"}))
    newer.change(T, ("c", {"id": 2, "v": "B"}))
    assert rows_of(newer) == [(1, "a"), (2, "B")]


def test_sink_connects_again_after_the_server_ended_its_session(
    warehouse: Warehouse, database15: Database
) -> None:
    warehouse.change(T, ("c", {"id": 1, "v": "a"}))
    database15.query(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where application_name = 'cdc_warehouse' and datname = current_database()"
    )
    with pytest.raises(SinkUnavailable):
        warehouse.change(T, ("c", {"id": 2, "v": "b"}))
    warehouse.change(T, ("c", {"id": 2, "v": "b"}))
    assert rows_of(warehouse) == [(1, "a"), (2, "b")]


def test_lost_network_is_an_outage(open_warehouse: OpenWarehouse, database15: Database) -> None:
    with Proxy(database15.server.port) as proxy:
        url = database15.url.replace(f":{database15.server.port}", f":{proxy.port}")
        warehouse = open_warehouse(url=url)
        warehouse.change(T, ("c", {"id": 1, "v": "a"}))
        proxy.cut()
        with pytest.raises(SinkUnavailable):
            warehouse.change(T, ("c", {"id": 2, "v": "b"}))
        warehouse.change(T, ("c", {"id": 2, "v": "b"}))
    assert rows_of(warehouse) == [(1, "a"), (2, "b")]


def test_table_that_somebody_drops_is_made_again(warehouse: Warehouse, database15: Database) -> None:
    warehouse.change(T, ("c", {"id": 1, "v": "a"}))
    database15.execute("drop table public.t")
    warehouse.change(T, ("c", {"id": 2, "v": "b"}))
    assert rows_of(warehouse) == [(2, "b")]


def test_lock_of_a_reader_is_waited_for_and_then_retried(
    warehouse: Warehouse, database15: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.change(T, ("c", {"id": 1, "v": "a"}))
    assert warehouse.sink._connection is not None
    warehouse.sink._connection.run("set lock_timeout = '10ms'")
    with database15.connect(autocommit=False) as reader:
        reader.execute("lock table public.t in access exclusive mode")
        with pytest.raises(SinkUnavailable, match="55P03"):
            warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    assert rows_of(warehouse) == [(1, "b")]


def test_keys_that_are_there_against_expectation_are_written_over(warehouse: Warehouse) -> None:
    """A snapshot's chunk may have rows that are stored already."""
    many = [("c", {"id": i, "v": "old"}) for i in range(150)]
    warehouse.change(T, *many)
    warehouse.change(T, *(("r", {"id": i, "v": "new"}) for i in range(100, 300)))
    found = warehouse.query("select v, count(*) from public.t group by v order by v")
    assert found == [("new", 200), ("old", 100)]


def test_session_ignores_what_the_role_has_set(open_warehouse: OpenWarehouse, database15: Database) -> None:
    name = f'"{database15.name}"'
    database15.execute(
        f"alter database {name} set default_transaction_read_only = on",
        f"alter database {name} set default_transaction_isolation = 'serializable'",
        f"alter database {name} set synchronous_commit = off",
        f"alter database {name} set timezone = 'Asia/Tokyo'",
        f"alter database {name} set extra_float_digits = -10",
    )
    warehouse = open_warehouse()
    warehouse.change(table("public.f", {"v": pa.float64()}, key=(), identity="full"), ("c", {"v": 0.1234567}))
    warehouse.change(
        table("public.f", {"v": pa.float64()}, key=(), identity="full"),
        ("c", {"v": 0.1234568}),
        ("d", {"v": 0.1234567}),
    )
    assert warehouse.sink._connection is not None
    assert warehouse.sink._connection.query("show synchronous_commit") == [("on",)]
    assert warehouse.sink._connection.query("select v from public.f") == [(0.1234568,)]


def test_rows_of_another_log_are_refused(open_warehouse: OpenWarehouse) -> None:
    open_warehouse().change(T, ("c", {"id": 1, "v": "a"}))
    other = open_warehouse()
    other.sink._context = type(other.sink._context)(
        "warehouse", 9, other._log, other._count, log_id="another"
    )
    with pytest.raises(SinkRefused, match="another log"):
        other.sink.prepare(SOURCE)


def test_schema_that_two_sinks_make_at_once_sets_no_table_aside(
    warehouse: Warehouse, database15: Database
) -> None:
    both = table("twin.t", {"id": pa.int32()})
    with database15.connect(autocommit=False) as other:
        other.execute("create schema twin")
        change = (both, ("c", {"id": 1}))
        errors = errors_behind(other, "transactionid", database15, lambda: warehouse.change(*change))
    (error,) = errors
    assert isinstance(error, SinkUnavailable)
    assert "another session was creating an object of the same name" in error.message
    warehouse.change(both, ("c", {"id": 1}))
    assert warehouse.rows("twin.t", "id") == [(1,)]
    assert warehouse.query("select * from _cdc.set_aside") == []


def test_schema_that_somebody_drops_is_made_again(warehouse: Warehouse, database15: Database) -> None:
    many = [("c", {"id": i, "v": "a"}) for i in range(200)]
    warehouse.change(table("app.t", {"id": pa.int32(), "v": pa.string()}), *many)
    database15.execute("drop schema app cascade")
    warehouse.change(table("app.t", {"id": pa.int32(), "v": pa.string()}), *many)
    assert warehouse.query("select count(*) from app.t") == [(200,)]


def staging(database: Database) -> set[int]:
    return {oid for (oid,) in database.query("select oid::int from pg_class where relname ~ '^_cdc_given'")}


def test_staging_tables_do_not_grow_old(warehouse: Warehouse, database15: Database) -> None:
    """VACUUM cannot freeze what is in the temporary tables of another session."""
    warehouse.change(T, ("c", {"id": 1, "v": "a"}))
    first = staging(database15)
    warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    warehouse.sink.idle()
    assert first
    assert staging(database15) == first
    assert warehouse.sink._connection is not None
    warehouse.sink._connection.staging_seconds = 0.0
    warehouse.change(T, ("u", {"id": 1, "v": "c"}))
    second = staging(database15)
    assert second
    assert not second & first
    warehouse.sink.idle()
    assert staging(database15) == set()
    warehouse.change(T, ("u", {"id": 1, "v": "d"}))
    assert rows_of(warehouse) == [(1, "d")]


def test_session_that_a_pooler_changes_is_refused(warehouse: Warehouse) -> None:
    """The lock, the settings and the staging tables belong to a session."""
    warehouse.change(T, ("c", {"id": 1, "v": "a"}))
    assert warehouse.sink._connection is not None
    warehouse.sink._connection.session += 1
    with pytest.raises(SinkRefused, match="another session of the server") as caught:
        warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    assert "pool_mode=session" in caught.value.remedy
    assert rows_of(warehouse) == [(1, "a")]


def test_server_that_became_a_standby_is_an_outage(postgres_factory: PostgresFactory) -> None:
    server = postgres_factory()
    database = server.create_database()
    warehouse = Warehouse(database)
    warehouse.change(T, ("c", {"id": 1, "v": "a"}))
    server.stop()
    signal = server.data / "standby.signal"
    signal.touch()
    server.start()
    with pytest.raises(SinkUnavailable, match="57P01"):
        warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    with pytest.raises(SinkUnavailable, match="25006") as caught:
        warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    assert "target_session_attrs=read-write" in caught.value.remedy
    assert [finding.code for finding in warehouse.sink.check()][-1] == "postgres-writable"
    server.stop()
    signal.unlink()
    server.start()
    with pytest.raises(SinkUnavailable, match="57P01"):
        warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    assert rows_of(warehouse) == [(1, "b")]
    warehouse.sink.close()


def test_rows_that_a_policy_hides_are_not_skipped(database15: Database) -> None:
    role = f"owner_{database15.name}"
    database15.execute(
        f"create role {role} login", f'grant create, temp on database "{database15.name}" to {role}'
    )
    try:
        warehouse = Warehouse(database15, url=database15.dsn(role))
        schema = table("app.t", {"id": pa.int32(), "v": pa.string()})
        warehouse.change(schema, ("c", {"id": 1, "v": "a"}))
        database15.execute(
            "alter table app.t enable row level security",
            "alter table app.t force row level security",
            "create policy few on app.t using (id > 1)",
        )
        with pytest.raises(SinkRefused, match="42501"):
            warehouse.change(schema, ("d", {"id": 1}))
        (found,) = [each for each in warehouse.sink.check() if each.code == "postgres-row-security"]
        database15.execute(found.fix)
        warehouse.change(schema, ("d", {"id": 1}))
        assert warehouse.query("select * from app.t") == []
        warehouse.sink.close()
    finally:
        database15.execute(f"drop owned by {role} cascade", f"drop role {role}")


def test_row_whose_key_is_null_is_stored_once(warehouse: Warehouse) -> None:
    """A unique index takes any number of nulls."""
    for first, value in ((0, "a"), (200, "b")):
        keys = [None, *range(first, first + 150)]
        warehouse.change(T, *(("c", {"id": key, "v": value}) for key in keys))
    assert warehouse.query("select v from public.t where id is null") == [("b",)]
    assert warehouse.query("select count(*) from public.t") == [(301,)]


def test_publication_that_needs_an_identity_is_named_with_the_statement(
    warehouse: Warehouse, database15: Database
) -> None:
    warehouse.change(T, ("c", {"id": 1, "v": "a"}))
    database15.execute("create publication everything for all tables")
    with pytest.raises(SinkUnavailable, match="55000") as caught:
        warehouse.change(T, ("u", {"id": 1, "v": "b"}))
    assert "replica identity full" in caught.value.remedy
