"""Where a stream goes on, and the servers from which it can't."""

from __future__ import annotations

import shutil

import pytest

from cdc.errors import ConfigError, SourceGap, SourceMismatch, SourceRefused, SourceUnavailable
from cdc.spi import VerifiesReach
from cdc_source_mysql.options import Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.follower import rows_of
from tests.support.mysql.fixtures import EVERY_SERVER, MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import wait_until

OFF = {"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"}


def with_table(database: MysqlDatabase) -> MysqlDatabase:
    database.execute("create table t (id int primary key auto_increment, note varchar(20))")
    return database


def step_for_ever(follower: MysqlFollower) -> None:
    while True:
        follower.step()


@EVERY_SERVER
def test_a_stream_goes_on_exactly_after_any_set(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(with_table(mysql_database), limits=Limits(set_bytes=1))
    for number in range(4):
        mysql_database.execute("begin", *["insert into t (note) values ('x')"] * 3, "commit")
        mysql_database.execute("update t set note = 'y' where id % 2 = 0")
        if number == 1:
            mysql_database.server.execute("flush binary logs")
    follower.catch_up()
    sets, memory = follower.sets, dict(follower.facts)
    every = [(row["_cdc_tx"], row["id"]) for row in rows_of(sets)]
    assert len(every) == 3 * 4 + 6
    for i, changes in enumerate(sets):
        if changes.position is not None:
            follower.close()
            follower.sets, follower.facts, follower.position = [], memory, changes.position
            follower.restart()
            rest = [(row["_cdc_tx"], row["id"]) for row in follower.rows()]
            assert every[len(rows_of(sets[: i + 1])) :] == rest


def test_a_new_stream_begins_at_the_end_of_the_newest_file(
    mysql_database: MysqlDatabase, make_follower: FollowerFactory
) -> None:
    server = mysql_database.server
    for number in range(2):
        mysql_database.execute(f"create table t{number} (id int primary key)")
        server.execute("flush binary logs")
        before = server.position()
        begun = make_follower(mysql_database).source.open(None, {})
        # MariaDB notes a checkpoint in a new file some time after it begins.
        ends = [f"{file}:{offset} {server.executed()}" for file, offset in (before, server.position())]
        assert begun.text in ends


def test_positions_name_the_file_and_the_transactions(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(with_table(mysql_database))
    mysql_database.execute("insert into t (note) values ('x')")
    (row,) = follower.rows()
    server = mysql_database.server
    follower.assert_at_end(server)
    assert follower.position is not None
    assert row["_cdc_tx"] in (server.executed(), row["_cdc_tx"])
    assert row["_cdc_position"].startswith(f"{server.position()[0]}:")
    assert follower.source.position(row["_cdc_position"]) < follower.position
    with pytest.raises(ConfigError):
        follower.source.position("16/B374D848")


def test_tagged_transactions_count(mysql9_database: MysqlDatabase, follow: FollowerFactory) -> None:
    follower = follow(with_table(mysql9_database))
    mysql9_database.execute("set gtid_next = 'automatic:backfill'", "insert into t (note) values ('x')")
    mysql9_database.execute("insert into t (note) values ('y')")
    tagged, plain = follower.rows()
    assert ":backfill:" in tagged["_cdc_tx"]
    assert ":backfill:" not in plain["_cdc_tx"]
    assert follower.position is not None
    assert follower.position.text.endswith(mysql9_database.server.executed())
    follower.restart()
    mysql9_database.execute("insert into t (note) values ('z')")
    assert [row["note"] for row in follower.rows()] == ["z"]


def test_without_gtids_a_stream_goes_on_by_file_and_offset(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory(OFF)
    database = with_table(server.create_database())
    follower = follow(database)
    database.execute("insert into t (note) values ('x')")
    (row,) = follower.rows()
    assert row["_cdc_tx"] == row["_cdc_position"]
    file, offset = server.position()
    assert follower.position is not None
    assert follower.position.text == f"{file}:{offset}"
    assert "server_uuid" in follower.source.identity().values
    follower.close()
    server.restart()
    database.execute("insert into t (note) values ('y')")
    follower.restart()
    assert [row["note"] for row in follower.rows()] == ["y"]
    follower.close()
    server.kill9()
    (server.data / "auto.cnf").unlink()
    server.start()
    with pytest.raises(SourceMismatch, match="server"):
        follower.restart()


@pytest.mark.halved
@pytest.mark.parametrize("ending", ["rotate", "stop", "crash"])
def test_past_4_gib_a_stream_without_gtids_goes_on_in_the_next_file_if_it_lacks_nothing(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, ending: str
) -> None:
    server = mysql_server_factory(OFF)
    database = with_table(server.create_database())
    follower = follow(database)
    database.execute("insert into t (note) values ('x')")
    assert len(follower.rows()) == 1
    follower.close()
    follower.limits = Limits(max_dump_offset=500)
    with pytest.raises(SourceUnavailable, match="4 GiB"):
        follower.restart()
    if ending == "rotate":
        server.execute("flush binary logs")
    elif ending == "stop":
        server.restart()
    else:
        server.kill9()
        server.start()
    database.execute("insert into t (note) values ('y')")
    follower.restart()
    assert [row["note"] for row in follower.rows()] == ["y"]


def test_what_a_stream_without_gtids_lacks_past_4_gib_is_a_gap(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory(OFF)
    database = with_table(server.create_database())
    follower = follow(database)
    database.execute("insert into t (note) values ('x')")
    assert len(follower.rows()) == 1
    follower.close()
    database.execute("insert into t (note) values ('lost')")
    server.execute("flush binary logs")
    follower.limits = Limits(max_dump_offset=500)
    with pytest.raises(SourceGap, match="4 GiB") as error:
        follower.restart()
    assert "Copy all tables again" in error.value.remedy


def test_gtids_that_are_turned_on_are_not_guessed(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory(OFF)
    database = with_table(server.create_database())
    follower = follow(database)
    server.execute(
        "set global enforce_gtid_consistency = on",
        "set global gtid_mode = off_permissive",
        "set global gtid_mode = on_permissive",
        "set global gtid_mode = on",
    )
    database.execute("insert into t (note) values ('x')")
    follower.restart()
    (row,) = follower.rows()
    assert row["_cdc_tx"] in server.executed()
    assert follower.position is not None
    assert " " not in follower.position.text


def test_an_idle_database_moves_the_position_with_its_neighbours(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(with_table(mysql_database), limits=Limits(idle_seconds=0.05))
    begun = follower.position
    other = mysql_database.server.create_database()
    other.execute("create table u (id int primary key)", "insert into u values (1)")

    def has_moved() -> bool:
        follower.step()
        return begun is not None and follower.position is not None and follower.position > begun

    wait_until(has_moved, "the position to move")
    assert follower.taken() == []
    other.drop()


def test_a_cut_connection_is_unavailable_and_the_stream_goes_on(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(with_table(mysql_database))
    mysql_database.execute("insert into t (note) values ('x')")
    assert len(follower.rows()) == 1
    server = mysql_database.server
    mysql_database.execute("insert into t (note) values ('y')")
    for (number,) in server.query(
        "select id from information_schema.processlist where command like 'Binlog Dump%'"
    ):
        server.kill_session(number)
    mysql_database.execute("insert into t (note) values ('z')")
    with pytest.raises(SourceUnavailable):
        step_for_ever(follower)
    follower.restart()
    assert [row["note"] for row in follower.rows()] == ["y", "z"]


def test_a_killed_server_is_unavailable_and_the_stream_goes_on(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, mysql_name: str
) -> None:
    server = mysql_server_factory({}, mysql_name)
    database = with_table(server.create_database())
    follower = follow(database)
    database.execute("insert into t (note) values ('x')")
    assert len(follower.rows()) == 1
    server.kill9()
    with pytest.raises(SourceUnavailable):
        step_for_ever(follower)
    with pytest.raises(SourceUnavailable):
        follower.restart()
    server.start()
    database.execute("insert into t (note) values ('y')")
    follower.restart()
    assert [row["note"] for row in follower.rows()] == ["y"]


def verify_reach(follower: MysqlFollower) -> None:
    """As `cdc check` does while the daemon is stopped."""
    assert isinstance(follower.source, VerifiesReach)
    assert follower.position is not None
    follower.source.verify_reach(follower.position, follower.facts)


def purge(server: MysqlServer) -> None:
    """Leave a new file only."""
    server.execute("flush binary logs")

    def is_purged() -> bool:
        # MariaDB keeps a file until InnoDB has flushed what is in it.
        server.execute(f"purge binary logs to '{server.position()[0]}'")
        return len(server.query("show binary logs")) == 1

    wait_until(is_purged, "the binlog to be purged")


def test_purged_files_without_anything_new_are_no_gap(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, mysql_name: str
) -> None:
    server = mysql_server_factory({}, mysql_name)
    database = with_table(server.create_database())
    follower = follow(database)
    database.execute("insert into t (note) values ('a')")
    assert [row["note"] for row in follower.rows()] == ["a"]
    before = follower.position
    follower.close()
    purge(server)
    verify_reach(follower)
    database.execute("insert into t (note) values ('b')")
    for note in ("b", "c"):
        follower.restart()
        assert [row["note"] for row in follower.rows()] == [note]
        database.execute("insert into t (note) values ('c')")
    assert before is not None
    assert follower.position is not None
    assert follower.position > before


def test_purged_files_are_a_gap(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, mysql_name: str
) -> None:
    server = mysql_server_factory({}, mysql_name)
    database = with_table(server.create_database())
    follower = follow(database)
    follower.catch_up()
    follower.close()
    database.execute("insert into t (note) values ('lost')")
    verify_reach(follower)
    purge(server)
    with pytest.raises(SourceGap):
        verify_reach(follower)
    with pytest.raises(SourceGap) as error:
        follower.restart().rows()
    assert error.value.remedy
    follower.position = None
    follower.facts = {}
    position = follower.source.open(None, {})
    assert follower.source.position(position.text).order > 1 << 72


def test_a_server_that_was_set_back_is_refused(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, mysql_name: str
) -> None:
    server = mysql_server_factory({}, mysql_name)
    database = with_table(server.create_database())
    server.kill9()
    backup = server.data.with_name("backup")
    shutil.copytree(server.data, backup)
    server.start()
    follower = follow(database)
    database.execute("insert into t (note) values ('x')")
    follower.catch_up()
    follower.close()
    server.kill9()
    shutil.rmtree(server.data)
    backup.rename(server.data)
    server.start()
    with pytest.raises(SourceMismatch, match="transactions"):
        follower.restart()


@pytest.mark.every_server
def test_a_different_server_is_refused(
    mysql_database: MysqlDatabase, mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    follower = follow(with_table(mysql_database))
    mysql_database.execute("insert into t (note) values ('x')")
    follower.catch_up()
    stranger = mysql_server_factory({}, mysql_database.server.name)
    with pytest.raises((SourceMismatch, SourceGap)):
        follower.point_to(stranger.url(mysql_database.name)).restart()
    with pytest.raises((SourceMismatch, SourceGap)):
        verify_reach(follower)


def test_a_server_without_a_binary_log_is_refused(
    mysql_server_factory: MysqlFactory, make_follower: FollowerFactory
) -> None:
    server = mysql_server_factory({"skip-log-bin": "", **OFF}, start=False)
    text = (server.folder / "my.cnf").read_text().replace("log-bin = binlog\n", "")
    (server.folder / "my.cnf").write_text(text.replace("skip-log-bin = \n", "skip-log-bin\n"))
    server.start()
    with pytest.raises(SourceRefused, match="binary log"):
        make_follower(server.create_database()).open()
