"""Foreign keys that change rows of child tables, which the binlog has only of some servers."""

from __future__ import annotations

import pytest

from cdc.model import Resnapshot
from tests.integration.mysql.conftest import FollowerFactory, create_account
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

TABLES = (
    "create table parent (id int primary key, code varchar(9) unique, v int)",
    "create table child (id int primary key, p int, constraint belongs foreign key (p) references parent (id)"
    " on delete cascade on update cascade)",
    "create table named (id int primary key, code varchar(9), constraint says foreign key (code)"
    " references parent (code) on delete set null on update cascade)",
    "create table grandchild (id int primary key, c int, foreign key (c) references child (id)"
    " on delete cascade)",
    "create table free (id int primary key, p int, foreign key (p) references parent (id))",
    "insert into parent values (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)",
    "insert into child values (1, 1), (2, 2), (3, 3)",
    "insert into named values (1, 'a'), (2, 'b'), (3, 'c')",
    "insert into grandchild values (1, 1), (2, 2), (3, 3)",
)


@pytest.fixture
def database(mariadb10_database: MysqlDatabase) -> MysqlDatabase:
    mariadb10_database.execute(*TABLES)
    return mariadb10_database


def copied(follower: MysqlFollower) -> dict[str, Resnapshot]:
    """The tables that are copied again because of what came since the last call."""
    follower.catch_up()
    found, follower.stale = {request.table.name: request for request in follower.stale}, []
    return found


CHANGES = {
    "delete from parent where id = 1": {"child", "named", "grandchild"},
    "delete from child where id = 1": {"grandchild"},
    "update parent set id = 10 where id = 1": {"child"},
    "update parent set code = 'z' where id = 1": {"named"},
    "update parent set code = 'A' where id = 1": {"named"},
    "update parent set code = null where id = 3": {"named"},
    "replace into parent values (1, 'a', 7)": {"child", "named", "grandchild"},
    "update parent set v = v + 1": set(),
    "insert into parent values (4, 'd', 4)": set(),
    "update child set p = 3": set(),
    "delete from free": set(),
}


# What MySQL logs of each statement; the children come first.
LOGGED = {
    "delete from parent where id = 1": [("child", "d"), ("grandchild", "d"), ("named", "u"), ("parent", "d")],
    "update parent set id = 10 where id = 2": [("child", "u"), ("parent", "u")],
    "update parent set code = 'z' where id = 3": [("named", "u"), ("parent", "u")],
    "delete from child where id = 2": [("child", "d"), ("grandchild", "d")],
}


@pytest.mark.halved
@pytest.mark.parametrize("image", ["full", "minimal"])
@pytest.mark.parametrize("statement", list(CHANGES))
def test_children_that_a_foreign_key_changes_are_copied_again(
    database: MysqlDatabase, follow: FollowerFactory, statement: str, image: str
) -> None:
    follower = follow(database)
    database.execute(f"set session binlog_row_image = {image}", statement)
    found = copied(follower)
    # MariaDB's REPLACE under minimal images is copied for a reason of its own.
    assert found.keys() - ({"parent"} if image == "minimal" else set()) == CHANGES[statement]


def test_the_reason_names_the_key_and_the_remedy_a_statement(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    database.execute("delete from parent where id = 1")
    request = copied(follower)["child"]
    name = database.name
    assert f"rows of {name}.parent changed at " in request.reason
    assert request.reason.endswith(
        f"the foreign key belongs of {name}.child (on delete cascade, on update cascade)"
    )
    assert f"alter table {name}.child drop foreign key belongs" in request.remedy


def test_changes_of_a_parent_that_is_not_followed_reach_its_followed_children(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    name = database.name
    follower = follow(database, tables=(f"{name}.grandchild", f"{name}.named"))
    database.execute("update parent set v = 7 where id = 2", "update parent set id = 9 where id = 1")
    assert follower.rows() == []
    assert copied(follower) == {}
    database.execute("delete from parent where id = 2")
    assert follower.rows() == []
    assert copied(follower).keys() == {"grandchild", "named"}
    database.execute("insert into grandchild values (4, null)")
    (row,) = follower.rows()
    assert (row["id"], row["_cdc_op"]) == (4, "c")


def test_a_parent_that_cannot_be_read_counts_as_changed(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    name = database.name
    follower = follow(database, tables=(f"{name}.child",))
    database.execute("set global binlog_row_metadata = no_log")
    database.execute("delete from parent where id = 1", "alter table parent modify v varchar(3)")
    assert copied(follower).keys() == {"child"}


def test_a_key_that_is_dropped_or_made_while_the_stream_is_behind(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    database.execute(
        "delete from parent where id = 1",
        "alter table child drop foreign key belongs",
        "delete from parent where id = 2",
    )
    assert "child" in copied(follower)
    database.execute("delete from parent where id = 3")
    assert copied(follower).keys() == {"named"}
    database.execute(
        "delete from child",
        "alter table child add constraint again foreign key (p) references parent (id) on delete set null",
        "insert into parent values (5, 'e', 5)",
    )
    assert copied(follower).keys() == {"grandchild"}
    database.execute("delete from parent where id = 5")
    assert copied(follower).keys() == {"child", "named"}
    database.execute(
        "create table late (id int primary key, foreign key (id) references parent (id) on delete cascade)",
        "delete from parent",
    )
    assert "late" in copied(follower)


@pytest.mark.parametrize("statement", ["rename table parent to elder", "drop table parent"])
def test_a_parent_that_is_renamed_or_gone_by_now(
    database: MysqlDatabase, follow: FollowerFactory, statement: str
) -> None:
    follower = follow(database, tables=(f"{database.name}.child",))
    database.execute("delete from parent where id = 1", "set foreign_key_checks = 0", statement)
    assert copied(follower).keys() == {"child"}


def test_rows_of_a_table_that_refers_to_itself(database: MysqlDatabase, follow: FollowerFactory) -> None:
    database.execute(
        "create table tree (id int primary key, up int, foreign key (up) references tree (id)"
        " on delete cascade)",
        "insert into tree values (1, null), (2, 1), (3, 2)",
    )
    follower = follow(database)
    database.execute("delete from tree where id = 1")
    assert copied(follower).keys() == {"tree"}


def test_an_account_with_no_more_than_select_sees_foreign_keys(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    name = database.name
    create_account(
        database.server,
        "modest",
        f"select on {name}.*",
        "replication slave, replication client, binlog monitor on *.*",
    )
    follower = follow(database, url=database.server.url(name, "modest", "secret-word"))
    database.execute("delete from parent where id = 1")
    assert copied(follower).keys() == {"child", "named", "grandchild"}


def test_a_parent_that_the_account_may_not_see_reaches_its_children(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    name, server = database.name, database.server
    status = "replication slave, replication client, binlog monitor on *.*"
    create_account(server, "modest", f"select on {name}.child", status)
    server.execute("set global binlog_row_metadata = no_log")
    follower = follow(database, url=server.url(name, "modest", "secret-word"), tables=(f"{name}.child",))
    assert any(fields.get("table") == f"{name}.parent" for _, fields in follower.events)
    database.execute("delete from parent where id = 1")
    assert copied(follower).keys() == {"child"}


@pytest.mark.parametrize("image", ["full", "minimal", "noblob"])
def test_mysql_logs_what_foreign_keys_do(
    mysql9_database: MysqlDatabase, follow: FollowerFactory, image: str
) -> None:
    mysql9_database.execute(*TABLES)
    follower = follow(mysql9_database)
    mysql9_database.execute(f"set session binlog_row_image = {image}", *LOGGED)
    found = [(row["table"].rpartition(".")[2], row["_cdc_op"]) for row in follower.rows()]
    assert sorted(found) == sorted(change for changes in LOGGED.values() for change in changes)
    assert follower.stale == []


def test_mysql_with_native_foreign_keys_has_children_copied_again(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory({"innodb-native-foreign-keys": "ON"}, "mysql9")
    database = server.create_database()
    database.execute(*TABLES)
    follower = follow(database)
    database.execute("delete from parent where id = 1")
    assert copied(follower).keys() == {"child", "named", "grandchild"}


@pytest.mark.halved
@pytest.mark.parametrize("setting", ["ON", "OFF"])
def test_mysql_started_with_another_setting_for_foreign_keys_while_the_stream_is_behind(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, setting: str
) -> None:
    server = mysql_server_factory({"innodb-native-foreign-keys": setting}, "mysql9")
    database = server.create_database()
    database.execute(*TABLES)
    follower = follow(database)
    follower.close()
    children = {"child", "named", "grandchild"}
    database.execute("delete from parent where id = 1")
    server.configure({"innodb-native-foreign-keys": "OFF" if setting == "ON" else "ON"})
    server.restart()
    follower.restart()
    assert copied(follower).keys() == (children if setting == "ON" else set())
    database.execute("delete from parent where id = 2")
    assert copied(follower).keys() == (children if setting == "OFF" else set())
    # Not at its place any more, and nothing that it did before is missing.
    database.execute("alter table child drop foreign key belongs")
    assert copied(follower) == {}


def test_rows_that_triggers_change_are_in_the_binlog(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.server.execute("set global log_bin_trust_function_creators = on")
    mysql_database.execute(
        "create table t (id int primary key)",
        "create table changed (id int primary key, n int)",
        "create trigger made after insert on t for each row insert into changed values (new.id, 0)",
        "create trigger counted after update on t for each row update changed set n = n + 1",
        "create trigger gone after delete on t for each row delete from changed where id = old.id",
    )
    follower = follow(mysql_database)
    mysql_database.execute("insert into t values (1)", "update t set id = 2", "delete from t")
    names = [(row["table"].rpartition(".")[2], row["_cdc_op"]) for row in follower.rows()]
    assert names == [("t", "c"), ("changed", "c"), ("t", "u"), ("changed", "u"), ("t", "d")]
    assert follower.stale == []


def with_family(database: MysqlDatabase) -> MysqlDatabase:
    database.execute(
        "create table parent (id int primary key)",
        "create table child (id int primary key, p int,"
        " foreign key (p) references parent (id) on delete cascade on update cascade)",
        "insert into parent values (1), (2)",
        "insert into child values (10, 1), (11, 1)",
    )
    return database


def test_rows_that_a_foreign_key_changes_come_where_the_server_logs_them(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory({"innodb-native-foreign-keys": "OFF"})
    database = with_family(server.create_database())
    follower = follow(database)
    database.execute("update parent set id = 5 where id = 1", "delete from parent where id = 5")
    found = [(row["table"].rpartition(".")[2], row["_cdc_op"], row["id"]) for row in follower.rows()]
    assert sorted(found) == sorted(
        [
            *[("parent", "u", 5), ("child", "u", 10), ("child", "u", 11)],
            *[("parent", "d", 5), ("child", "d", 10), ("child", "d", 11)],
        ]
    )


def test_a_child_that_no_row_event_follows_does_not_disturb_the_stream(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """MariaDB names the child in a table map, and logs none of the rows that the foreign key changed."""
    database = with_family(mariadb10_database)
    follower = follow(database)
    database.execute("delete from parent where id = 1", "insert into child values (12, 2)")
    found = [(row["table"].rpartition(".")[2], row["_cdc_op"], row["id"]) for row in follower.rows()]
    assert found == [("parent", "d", 1), ("child", "c", 12)]
