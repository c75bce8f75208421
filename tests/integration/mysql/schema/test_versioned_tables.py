"""System-versioned tables of MariaDB: the sinks get what a SELECT without FOR SYSTEM_TIME shows."""

from __future__ import annotations

import random

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import EVERY_MARIADB
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

IMPLICIT = "create table t (id int primary key, note text) with system versioning"
EXPLICIT = (
    "create table t (id int primary key, note text, since timestamp(6) generated always as row start{hidden},"
    " until timestamp(6) generated always as row end{hidden}, period for system_time (since, until))"
    " with system versioning"
)
PARTITIONED = f"{IMPLICIT} partition by system_time (partition old history, partition now current)"
SHAPES = {
    "implicit": IMPLICIT,
    "explicit": EXPLICIT.format(hidden=""),
    "hidden": EXPLICIT.format(hidden=" invisible"),
    "partitioned": PARTITIONED,
    "one column": "create table t (id int primary key, note text with system versioning)",
    "without key": IMPLICIT.replace(" primary key", ""),
}
WRITES = (
    "insert into t (id, note) values (1, 'a'), (2, 'b'), (3, 'c')",
    "update t set note = 'd' where id = 1",
    "update t set id = 20 where id = 2",
    "delete from t where id = 1",
    "insert into t (id, note) values (1, 'back')",
    "replace into t (id, note) values (3, 'replaced')",
    "insert into t (id, note) values (1, 'x') on duplicate key update note = 'y'",
)


def applied(held: list[tuple[int, str]], follower: MysqlFollower) -> list[tuple[int, str]]:
    """The rows of a table after the changes since the last call."""
    for row in follower.rows():
        before = row["_cdc_before"] if row["_cdc_op"] == "u" else row
        if row["_cdc_op"] in ("u", "d"):
            held.remove((before["id"], before["note"]))
        if row["_cdc_op"] in ("c", "u"):
            held.append((row["id"], row["note"]))
    return sorted(held)


def copied(follower: MysqlFollower) -> list[tuple[int, str]]:
    _, rows = follower.copy()
    return sorted((row["id"], row["note"]) for row in rows)


@pytest.mark.halved
@EVERY_MARIADB
@pytest.mark.parametrize(
    ("shape", "metadata"),
    [*((shape, "full") for shape in SHAPES), ("implicit", "no_log"), ("explicit", "no_log")],
)
def test_copy_and_stream_of_a_versioned_table_are_its_present_rows(
    mysql_database: MysqlDatabase, follow: FollowerFactory, shape: str, metadata: str
) -> None:
    server = mysql_database.server
    server.execute(f"set global binlog_row_metadata = {metadata}")
    try:
        mysql_database.execute(SHAPES[shape], "insert into t (id, note) values (0, 'first')")
        mysql_database.execute("update t set note = 'zero'")
        follower = follow(mysql_database)
        held = copied(follower)
        writes = WRITES[:5] if shape == "without key" else WRITES
        mysql_database.execute(*writes)
        present = sorted(mysql_database.query("select id, note from t"))
        assert applied(held, follower) == present
        assert copied(follower) == present
        # History that is thrown away was never delivered.
        if shape not in ("one column", "partitioned"):
            mysql_database.execute("delete history from t")
        mysql_database.execute("delete from t")
        assert applied(held, follower) == []
        assert follower.stale == []
    finally:
        server.execute("set global binlog_row_metadata = full")


@EVERY_MARIADB
@pytest.mark.parametrize("metadata", ["full", "no_log"])
def test_versioning_may_be_added_and_dropped(
    mysql_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    """A table that has had no versions, or has them no more, is whole after a copy at the latest."""
    server = mysql_database.server
    server.execute(f"set global binlog_row_metadata = {metadata}")
    try:
        mysql_database.execute("create table t (id int primary key, note text)")
        mysql_database.execute("insert into t values (1, 'a'), (2, 'b')")
        follower = follow(mysql_database)
        held = copied(follower)
        for clause in ("add system versioning", "drop system versioning"):
            mysql_database.execute(
                f"alter table t {clause}",
                "update t set note = concat(note, '!')",
                "insert into t values (3, 'c')",
            )
            mysql_database.execute("delete from t where id = 3")
            present = sorted(mysql_database.query("select id, note from t"))
            assert applied(held, follower) == present
            assert [request.table.name for request in follower.stale] == ["t"]
            follower.step()  # What was handed on counts as captured when the next is asked for.
            assert copied(follower) == present
            follower.stale = []
    finally:
        server.execute("set global binlog_row_metadata = full")


@EVERY_MARIADB
@pytest.mark.parametrize("hidden", ["by the server", "by the statement"])
def test_a_column_added_beside_hidden_ones_has_its_own_values(
    mysql_database: MysqlDatabase, follow: FollowerFactory, hidden: str
) -> None:
    """The server puts it before the columns that it hides itself, and behind those that a statement hides. It
    has their type here: a row that is read in the wrong order passes for an old version.
    """
    mysql_database.server.execute("set global binlog_row_metadata = no_log")
    shown = EXPLICIT.format(hidden=" invisible").replace("since", "row_start").replace("until", "row_end")
    mysql_database.execute(IMPLICIT if hidden == "by the server" else shown)
    mysql_database.execute("insert into t (id, note) values (1, 'a')")
    follower = follow(mysql_database)
    mysql_database.execute(
        "set system_versioning_alter_history = keep",
        "alter table t add moved timestamp(6) not null default '2021-01-01 00:00:00'",
        "update t set note = 'b'",
        "insert into t (id, note, moved) values (2, 'c', '2022-02-02 00:00:00')",
    )
    rows = follower.rows()
    assert [(row["id"], row["note"], row["moved"].year) for row in rows] == [(1, "b", 2021), (2, "c", 2022)]


@EVERY_MARIADB
def test_random_changes_of_a_versioned_table_are_its_present_rows(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    chance = random.Random(11)
    mysql_database.execute(IMPLICIT)
    follower = follow(mysql_database)
    held: list[tuple[int, str]] = []
    for number in range(4):
        statements = [random_statement(chance) for _ in range(60)]
        for at in range(0, len(statements), 12):
            statements[at] = "begin"
            statements[at + 5] = "savepoint s"
            statements[at + 8] = chance.choice(["rollback to s", "do 0"])
            statements[at + 11] = chance.choice(["commit", "commit", "rollback"])
        mysql_database.execute(*statements)
        if number == 2:
            follower.restart()
        assert applied(held, follower) == sorted(mysql_database.query("select id, note from t"))
    assert held
    assert copied(follower) == sorted(held)
    assert follower.stale == []


def random_statement(chance: random.Random) -> str:
    first, second, note = chance.randrange(12), chance.randrange(12), chance.randrange(1000)
    return chance.choice(
        [
            f"insert ignore into t (id, note) values ({first}, 'n{note}'), ({second}, 'm{note}')",
            f"update t set note = 'u{note}' where id between {first} and {second}",
            f"update ignore t set id = {second} where id = {first}",
            f"replace into t (id, note) values ({first}, 'r{note}')",
            f"insert into t (id, note) values ({first}, 'x') on duplicate key update note = 'd{note}'",
            f"delete from t where id = {first}",
        ]
    )


def test_a_table_with_versions_by_transaction_is_copied_again(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """MariaDB logs the statements that change it, whatever the format."""
    mariadb10_database.execute(EXPLICIT.format(hidden="").replace("timestamp(6)", "bigint unsigned"))
    follower = follow(mariadb10_database)
    mariadb10_database.execute("insert into t (id, note) values (1, 'a')")
    follower.catch_up()
    (request,) = follower.stale
    assert "was logged as a statement" in request.reason
    assert "versions by timestamp(6), or exclude the table" in request.remedy
