"""DDL that event triggers report: what a source makes of each statement, at its place in the stream."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from cdc_source_postgres.schema.reported_history import UNCONFIRMED
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.follower import Follower
from tests.support.postgres.follower import PostgresFollower
from tests.support.postgres.server import Database

# One transaction each, with what a table with the columns id, a, b (text) has in the end, by column number.
TRANSACTIONS = {
    "backfilled": (
        [
            "insert into t values (1, 'A', 'x')",
            "alter table t add e2 text",
            "update t set e2 = lower(a)",
            "alter table t drop a",
            "alter table t rename e2 to a",
            "insert into t values (2, 'y', 'new')",
        ],
        [
            {1: 1, 2: "A", 3: "x"},
            {1: 1, 2: "A", 3: "x", 4: "a"},
            {1: 2, 3: "y", 4: "new"},
        ],
    ),
    "swapped": (
        [
            "insert into t values (1, 'a1', 'b1')",
            "alter table t rename a to c",
            "alter table t rename b to a",
            "alter table t rename c to b",
            "insert into t (id, a, b) values (2, 'in 3', 'in 2')",
            "alter table t rename a to c",
            "alter table t rename b to a",
            "alter table t rename c to b",
            "insert into t values (3, 'a3', 'b3')",
        ],
        [{1: 1, 2: "a1", 3: "b1"}, {1: 2, 2: "in 2", 3: "in 3"}, {1: 3, 2: "a3", 3: "b3"}],
    ),
    "replaced": (
        [
            "insert into t values (1, 'old', 'x')",
            "alter table t drop a",
            "alter table t add a text default 'given'",
            "insert into t values (2, 'y', 'new')",
        ],
        [{1: 1, 2: "old", 3: "x"}, {1: 2, 3: "y", 4: "new"}],
    ),
}


@pytest.fixture
def table(database: Database) -> Database:
    database.execute("create table t (id int primary key, a text, b text)")
    return database


def begin(follow: FollowerFactory, database: Database, ddl: str = "trigger") -> PostgresFollower:
    """A follower that has copied the tables."""
    follower = follow(database, ddl=ddl)
    follower.copy()
    follower.catch_up()
    return follower


def numbered(follower: Follower) -> list[dict[int | None, Any]]:
    """The rows up to now, by column number."""
    follower.catch_up()
    found = []
    for changes in follower.sets:
        for batch in changes.batches:
            numbers = {column.name: column.id for column in batch.schema.columns}
            found += [{numbers[k]: v for k, v in row.items() if k in numbers} for row in batch.rows()]
    follower.sets = []
    return found


def reasons(database: Database, follower: Follower) -> list[str]:
    """Why tables were to be copied again, up to now: the steps before a look are judged once the stream has
    passed it.
    """
    follower.catch_up()
    follower.source._monitor.look()  # type: ignore[attr-defined]
    database.execute("select pg_logical_emit_message(true, 'behind', 'the look')")
    follower.catch_up()
    return [stale.reason for stale in follower.stale]


@pytest.mark.halved
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("name", TRANSACTIONS)
def test_statements_of_one_transaction_need_no_copy(
    table: Database, follow: FollowerFactory, name: str, running: bool
) -> None:
    statements, expected = TRANSACTIONS[name]
    follower = begin(follow, table)
    if not running:
        follower.close()
    with table.connect(autocommit=False) as connection:
        for statement in statements:
            connection.execute(statement.encode())
    if not running:
        follower.restart()
    assert numbered(follower) == expected
    assert reasons(table, follower) == []


@pytest.mark.parametrize("name", ["backfilled", "replaced"])
def test_without_event_triggers_the_same_statements_need_one(
    table: Database, follow: FollowerFactory, name: str
) -> None:
    follower = begin(follow, table, ddl="watch")
    with table.connect(autocommit=False) as connection:
        for statement in TRANSACTIONS[name][0]:
            connection.execute(statement.encode())
    assert len(reasons(table, follower)) == 1


def test_several_transactions_while_the_daemon_is_stopped_need_no_copy(
    table: Database, follow: FollowerFactory
) -> None:
    follower = begin(follow, table)
    follower.close()
    for statements, _ in TRANSACTIONS.values():
        table.execute(
            "; ".join(statements),
            "truncate t",
            "drop table t",
            "create table t (id int primary key, a text, b text)",
        )
    table.execute("insert into t values (9, 'a', 'b')")
    follower.restart()
    rows = numbered(follower)
    assert rows[:3] == TRANSACTIONS["backfilled"][1]
    assert reasons(table, follower) == []


def test_new_files_without_a_report_are_no_rewrite(table: Database, follow: FollowerFactory) -> None:
    table.execute("create publication cdc_shop for all tables")
    follower = begin(follow, table)
    table.execute("insert into t values (1, 'a', 'b')", "alter table t add c int")
    assert reasons(table, follower) == []
    table.execute("vacuum full t", "cluster t using t_pkey", "truncate t")
    assert reasons(table, follower) == []
    table.execute("grant select (a) on t to public")
    assert reasons(table, follower) == []


def test_new_files_and_new_catalog_rows_of_columns_without_a_report_may_be_a_rewrite(
    table: Database, follow: FollowerFactory
) -> None:
    table.execute("create publication cdc_shop for all tables", "insert into t values (1, 'a', 'b')")
    follower = begin(follow, table)
    table.execute("vacuum full t", "grant select (a) on t to public")
    (reason,) = reasons(table, follower)
    assert reason == "ALTER TABLE rewrote its rows, or VACUUM FULL ran at the same time"


def test_a_default_that_old_rows_have_is_read_from_the_catalog_until_vacuum_full_moves_it_into_the_rows(
    table: Database, follow: FollowerFactory
) -> None:
    table.execute("create publication cdc_shop for all tables")
    follower = begin(follow, table)
    table.execute("insert into t values (1, 'a', 'b')", "alter table t add c int default 7")
    table.execute("alter table t alter c drop default", "grant select (a) on t to public")
    assert reasons(table, follower) == []
    assert follower.schema("public.t").columns[-1].fill == pa.scalar(7, pa.int32())
    # From here on the catalog no longer says what a sink's old rows have.
    table.execute("vacuum full t")
    assert follower.schema("public.t").columns[-1].fill is None
    (reason,) = reasons(table, follower)
    assert reason == "ALTER TABLE rewrote its rows, or VACUUM FULL ran at the same time"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (
            ["alter table t add c uuid default gen_random_uuid()", "alter table t alter c drop default"],
            "ALTER TABLE",
        ),
        (["alter table t alter b type int using length(b)"], "the type of a column was changed (column b)"),
        (["alter table t set unlogged", "update t set b = 'unseen'", "alter table t set logged"], "unlogged"),
    ],
)
def test_a_reported_rewrite_is_copied_once(
    table: Database, follow: FollowerFactory, statements: list[str], reason: str
) -> None:
    table.execute("create publication cdc_shop for all tables", "insert into t values (1, 'a', 'b')")
    follower = begin(follow, table)
    table.execute(*statements, "insert into t (id) values (2)")
    found = reasons(table, follower)
    assert len(found) == 1
    assert reason in found[0] or "rewrote" in found[0]


def test_ddl_in_a_transaction_that_sees_an_old_catalog_is_looked_up(
    table: Database, follow: FollowerFactory
) -> None:
    follower = begin(follow, table)
    with table.connect(autocommit=False) as connection:
        connection.execute("set transaction isolation level serializable")
        for statement in TRANSACTIONS["backfilled"][0]:
            connection.execute(statement.encode())
    follower.catch_up()
    (reason,) = reasons(table, follower)
    assert reason.startswith("columns were added and dropped between two reads")


def test_what_happens_while_the_triggers_are_disabled_is_looked_up(
    table: Database, follow: FollowerFactory
) -> None:
    follower = begin(follow, table)
    table.execute("alter event trigger cdc_ddl_end disable")
    with table.connect(autocommit=False) as connection:
        for statement in TRANSACTIONS["backfilled"][0]:
            connection.execute(statement.encode())
    table.execute("alter event trigger cdc_ddl_end enable always")
    (reason,) = reasons(table, follower)
    assert reason.startswith("columns were added and dropped between two reads")


def test_messages_of_others_change_nothing(table: Database, follow: FollowerFactory) -> None:
    follower = begin(follow, table)
    with table.connect(autocommit=False) as connection:
        connection.execute(
            "select pg_logical_emit_message(true, 'other', 'x'), pg_logical_emit_message(true, 'cdc.ddl', '')"
        )
        connection.execute("select pg_logical_emit_message(true, 'cdc.ddl', '\\xff00'::bytea)")
        connection.execute("select pg_logical_emit_message(false, 'cdc.ddl', '{}')")
        connection.execute("insert into t values (1, 'a', 'b')")
    assert numbered(follower) == [{1: 1, 2: "a", 3: "b"}]
    assert reasons(table, follower) == []


def test_a_forged_message_costs_a_copy_and_no_row(table: Database, follow: FollowerFactory) -> None:
    follower = begin(follow, table)
    role = f"app_{table.name}"
    table.execute(f"create role {role} login", "insert into t values (1, 'a', 'b')")
    follower.catch_up()
    look = table.value(
        "select jsonb_build_object('relid', 't'::regclass::oid::int8, 'file', 't'::regclass::oid::int8)"
    )
    try:
        with table.connect(user=role, autocommit=False) as connection:
            xid = connection.execute("select pg_current_xact_id()::text").fetchone()[0]  # type: ignore[index]
            columns = [
                [1, "id", 23, -1, 0, 0, "", "", True, None, xid, ""],
                [2, "b", 25, -1, 0, 100, "", "", False, None, xid, ""],
                [3, "a", 25, -1, 0, 100, "", "", False, None, xid, ""],
            ]
            document = {
                "schema": "public",
                "name": "t",
                "namespace": 2200,
                "kind": "r",
                "persistence": "p",
                "identity": "d",
                "attributes": 3,
                "ancestors": None,
                "keys": None,
                "toast": 0,
                "columns": columns,
                **look,
            }
            message = json.dumps(
                {"form": 1, "event": "ddl_command_end", "tag": "ALTER TABLE", "tables": [document]}
            )
            connection.execute("select pg_logical_emit_message(true, 'cdc.ddl', %s)", [message])
        follower.catch_up()
        table.execute(
            "analyze t", "alter table t alter a set statistics 10", "insert into t values (2, 'a', 'b')"
        )
        assert reasons(table, follower) == [UNCONFIRMED]
    finally:
        table.execute(f"drop role {role}")
