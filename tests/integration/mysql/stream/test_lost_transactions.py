"""Transactions that our log has and the server lacks: refused by name, until the operator gives them up."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdc.errors import SourceMismatch
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.pairs import Pair, make_pair, stop_replica, wait_for_replica
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import wait_until

# A commit waits so long for a replica that is not there.
ACKNOWLEDGED_AFTER_MS = 4000


@pytest.fixture
def pair(mysql_server_factory: MysqlFactory, mysql_name: str) -> Pair:
    return make_pair(mysql_server_factory, mysql_name)


@pytest.fixture
def database(pair: Pair) -> MysqlDatabase:
    database = pair[0].create_database()
    database.execute("create table t (id int primary key)", "insert into t values (1)")
    return database


def ids(follower: MysqlFollower) -> list[int]:
    return [row["id"] for row in follower.rows()]


def fail_over(pair: Pair, database: MysqlDatabase, follower: MysqlFollower) -> MysqlDatabase:
    """The first one dies with 10 and 11, which only we have; the second one goes on with 20 and 21."""
    first, second = pair
    wait_for_replica(pair)
    stop_replica(pair)
    database.execute("insert into t values (10)", "insert into t values (11)")
    follower.catch_up()
    first.kill9()
    there = MysqlDatabase(second, database.name)
    there.execute("insert into t values (20)", "insert into t values (21)")
    follower.point_to(there.url)
    return there


def named(error: SourceMismatch) -> str:
    found = re.search(r"accept_lost_gtids: (\S+);", error.remedy)
    assert found is not None
    return found[1]


@pytest.mark.every_server
def test_lost_transactions_are_named_and_given_up_by_their_names_only(
    pair: Pair, database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    there = fail_over(pair, database, follower)
    with pytest.raises(SourceMismatch, match="does not have") as error:
        follower.restart()
    lost = named(error.value)
    assert lost in error.value.message
    if there.server.flavour == "mysql":
        uuid, _, numbers = lost.partition(":")
        first = int(numbers.partition("-")[0])
        assert int(numbers.partition("-")[2]) == first + 1
        others = [f"{uuid}:{first}", f"{uuid}:{first + 1}", f"{uuid}:1-{first - 1}"]
    else:
        # MariaDB's place names the last one of each domain.
        domain_server, _, last = lost.rpartition("-")
        others = [f"{domain_server}-{int(last) - 1}", f"{domain_server}-{last}..{int(last) + 5}"]
        lost = f"{domain_server}-{int(last) - 1}..{last}"
    for other in others:
        follower.given["accept_lost_gtids"] = other
        with pytest.raises(SourceMismatch, match="does not have"):
            follower.restart()
    follower.given["accept_lost_gtids"] = lost
    follower.sets.clear()
    assert ids(follower.restart()) == [20, 21]
    assert {request.table.name for request in follower.stale} == {"t"}
    assert "lost" in follower.stale[0].reason
    follower.stale.clear()
    there.execute("insert into t values (22)")
    assert ids(follower.restart()) == [22]
    assert follower.stale == []
    copied = follower.copy(f"{database.name}.t")[1]
    assert [row["id"] for row in copied] == [1, 20, 21, 22]


def test_columns_that_a_lost_statement_added_are_forgotten(
    pair: Pair, database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    wait_for_replica(pair)
    stop_replica(pair)
    database.execute("alter table t add note int", "insert into t values (10, 1)")
    follower.catch_up()
    pair[0].kill9()
    there = MysqlDatabase(pair[1], database.name)
    there.execute("insert into t values (20)")
    follower.point_to(there.url)
    with pytest.raises(SourceMismatch) as error:
        follower.restart()
    lost = named(error.value)
    if there.server.flavour == "mariadb":
        domain_server, _, last = lost.rpartition("-")
        lost = f"{domain_server}-{int(last) - 1}..{last}"
    follower.given["accept_lost_gtids"] = lost
    follower.sets.clear()
    [row] = follower.restart().rows()
    assert row["id"] == 20
    assert "note" not in row
    follower.step()
    assert [row["id"] for row in follower.copy(f"{database.name}.t")[1]] == [1, 20]


def test_a_failover_goes_on_in_every_domain(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    pair = make_pair(mysql_server_factory, "mariadb10")
    database = pair[0].create_database()
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    seven = "set session gtid_domain_id = 7"
    database.execute("insert into t values (1)", seven, "insert into t values (2)")
    assert ids(follower) == [1, 2]
    database.execute(seven, "insert into t values (3)")
    wait_for_replica(pair)
    stop_replica(pair)
    pair[0].kill9()
    there = MysqlDatabase(pair[1], database.name)
    there.execute("insert into t values (4)", seven, "insert into t values (5)")
    assert sorted(ids(follower.point_to(there.url).restart())) == [3, 4, 5]


def test_a_loss_in_one_domain_leaves_the_others_as_they_are(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    pair = make_pair(mysql_server_factory, "mariadb10")
    database = pair[0].create_database()
    seven = "set session gtid_domain_id = 7"
    database.execute("create table t (id int primary key)", seven, "insert into t values (1)")
    follower = follow(database)
    wait_for_replica(pair)
    stop_replica(pair)
    database.execute(seven, "insert into t values (10)")
    assert ids(follower) == [10]
    pair[0].kill9()
    there = MysqlDatabase(pair[1], database.name)
    there.execute(
        "insert into t values (20)", seven, "insert into t values (21)", "insert into t values (22)"
    )
    follower.point_to(there.url)
    with pytest.raises(SourceMismatch, match=r"7-\d+-2 .*in these domains it has 7-") as error:
        follower.restart()
    follower.given["accept_lost_gtids"] = named(error.value)
    assert sorted(ids(follower.restart())) == [20, 21, 22]


def deleted_domain(server: MysqlServer) -> None:
    """Domain 7 has no transaction in the binlog any more, and is forgotten."""
    server.execute("flush binary logs")

    def is_deleted() -> bool:
        server.execute(f"purge binary logs to '{server.position()[0]}'")
        if len(server.query("show binary logs")) > 1:
            return False
        server.execute("flush binary logs delete_domain_id = (7)")
        return True

    wait_until(is_deleted, "the domain to be deleted")
    assert ",7-" not in f",{server.executed()}"


def test_a_domain_that_the_server_deleted_is_forgotten_and_may_begin_anew(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory({}, "mariadb10")
    database = server.create_database()
    seven = "set session gtid_domain_id = 7"
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    database.execute("insert into t values (1)", seven, "insert into t values (2)")
    assert ids(follower) == [1, 2]
    server.execute("flush binary logs")
    database.execute("insert into t values (3)")
    assert ids(follower) == [3]
    assert follower.position is not None
    assert ",7-" in follower.position.text
    deleted_domain(server)
    database.execute("insert into t values (4)")
    assert ids(follower.restart()) == [4]
    follower.restart()
    database.execute(seven, "insert into t values (5)", "insert into t values (6)")
    assert ids(follower.restart()) == [5, 6]
    assert follower.stale == []


def test_a_deleted_domain_is_given_up_by_name_on_another_server(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    pair = make_pair(mysql_server_factory, "mariadb10")
    database = pair[0].create_database()
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    database.execute("set session gtid_domain_id = 7", "insert into t values (1)")
    assert ids(follower) == [1]
    before, facts = follower.position, dict(follower.facts)
    wait_for_replica(pair)
    stop_replica(pair)
    pair[0].kill9()
    deleted_domain(pair[1])
    there = MysqlDatabase(pair[1], database.name)
    there.execute("insert into t values (2)")
    follower.point_to(there.url)
    # What it has replicated it knows nevertheless.
    assert ids(follower.restart()) == [2]
    vars(follower).update(position=before, facts=facts)
    pair[1].execute("reset slave all", f"set global gtid_slave_pos = '{pair[1].executed()}'")
    with pytest.raises(SourceMismatch, match=r"7-\d+-1") as error:
        follower.restart()
    assert "domain was deleted" in error.value.remedy
    follower.given["accept_lost_gtids"] = named(error.value)
    assert ids(follower.restart()) == [2]


def test_a_transaction_that_waits_for_a_replica_is_not_taken_for_lost(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    """It is in the binlog, and in our log; the server counts it as executed when the replica has answered."""
    server = mysql_server_factory({"plugin-load-add": "semisync_source.so"})
    database = server.create_database()
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    server.execute(
        f"set global rpl_semi_sync_source_timeout = {ACKNOWLEDGED_AFTER_MS}",
        "set global rpl_semi_sync_source_enabled = on",
    )
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(database.execute, "insert into t values (1)")
        wait_until(lambda: (follower.step(), follower.sets[-1].row_count)[1], "the row in the binlog")
        follower.restart()
        written.result()
    server.execute("set global rpl_semi_sync_source_enabled = off")
    database.execute("insert into t values (2)")
    assert [row["id"] for row in follower.taken() + follower.rows()] == [1, 2]
