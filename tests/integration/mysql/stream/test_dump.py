from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from cdc.errors import CdcError, SourceBusy, SourceGap, SourceMismatch, SourceRefused, SourceUnavailable
from cdc.spi import LogIdentity, Severity
from cdc_source_mysql.binlog.dump import Dump, Replica, dump_after, dump_from
from cdc_source_mysql.binlog.gtid import Gtids, GtidSet, MariadbGtids
from cdc_source_mysql.checks.preflight import run_checks
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.options import MysqlOptions
from tests.support.findings import Findings
from tests.support.mysql.binlog_events import FORMAT, HEARTBEATS, ROTATE, WRITE_ROWS, XID, events, until
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

STRANGER = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def connector_to(server: MysqlServer, name: str = "shop", **options: str) -> Connector:
    return Connector(MysqlOptions.model_validate({"url": server.url(), **options}), name)


def ours(connector: Connector) -> Replica:
    return Replica.of(connector.options, connector.source)


def first_error(dump: Dump) -> CdcError:
    """What the server answers instead of events that never end."""
    with pytest.raises(CdcError) as raised:
        until(dump)
    return raised.value


def executed(server: MysqlServer) -> Gtids:
    text = server.executed()
    return GtidSet.parse(text) if server.flavour == "mysql" else MariadbGtids.parse(text)


def purged(server: MysqlServer) -> bool:
    """Whether only the newest binlog is left; MariaDB keeps a file until InnoDB has flushed what is in it."""
    server.execute(f"purge binary logs to '{server.position()[0]}'")
    return len(server.query("show binary logs")) == 1


def with_table(database: MysqlDatabase) -> MysqlServer:
    database.execute("create table t (i int primary key)")
    return database.server


@pytest.mark.every_server
def test_dump_by_file_begins_with_where_it_is(mysql_database: MysqlDatabase) -> None:
    server = with_table(mysql_database)
    file, offset = server.position()
    mysql_database.execute("insert into t values (1)")
    connector = connector_to(server)
    dump = dump_from(connector, file, offset, ours(connector))
    found = until(dump, XID)
    dump.close()
    assert [event.type for event in found[:2]] == [ROTATE, FORMAT]
    assert file.encode() in found[0].data
    assert len([event for event in found if event.type in WRITE_ROWS]) == 1
    assert dump.facts.flavour == server.flavour


@pytest.mark.every_server
def test_dump_by_gtids_leaves_out_what_we_have(mysql_database: MysqlDatabase) -> None:
    server = with_table(mysql_database)
    mysql_database.execute("insert into t values (1)")
    known = executed(server)
    mysql_database.execute("insert into t values (2)")
    connector = connector_to(server)
    dump = dump_after(connector, known, ours(connector))
    found = until(dump, XID)
    dump.close()
    [rows] = [event for event in found if event.type in WRITE_ROWS]
    assert rows.body.rstrip().find(b"\x02\x00\x00\x00") > 0


def test_dump_by_gtids_with_tags_is_understood(mysql9_database: MysqlDatabase) -> None:
    server = with_table(mysql9_database)
    mysql9_database.execute("set gtid_next = 'automatic:blue'", "insert into t values (1)")
    known = executed(server)
    assert ":blue:" in str(known)
    mysql9_database.execute("insert into t values (2)")
    connector = connector_to(server)
    dump = dump_after(connector, known, ours(connector))
    found = until(dump, XID)
    dump.close()
    assert len([event for event in found if event.type in WRITE_ROWS]) == 1


@pytest.mark.every_server
def test_dump_that_does_not_wait_ends_at_the_end(mysql_database: MysqlDatabase) -> None:
    server = with_table(mysql_database)
    mysql_database.execute("insert into t values (1)")
    connector = connector_to(server)
    file, _ = server.position()
    for dump in (
        dump_from(connector, file, 4, Replica.random(), stop_at_end=True),
        dump_after(connector, executed(server), Replica.random(), stop_at_end=True),
    ):
        found = list(events(dump))
        dump.close()
        assert found[0].type == ROTATE
    assert not [event for event in found if event.type in WRITE_ROWS]


def test_silence_is_filled_with_heartbeats(mysql: MysqlServer) -> None:
    connector = connector_to(mysql, heartbeat="100ms")
    dump = dump_from(connector, *mysql.position(), ours(connector))
    assert until(dump, *HEARTBEATS)
    dump.close()


def test_second_reader_of_the_same_name_ends_the_first(mysql: MysqlServer) -> None:
    connector = connector_to(mysql, heartbeat="100ms")
    place = mysql.position()
    first = dump_from(connector, *place, ours(connector))
    until(first, FORMAT)
    second = dump_from(connector, *place, ours(connector))
    error = first_error(first)
    assert isinstance(error, SourceBusy | SourceUnavailable)
    assert until(second, *HEARTBEATS)
    second.close()
    first.close()


@pytest.mark.every_server
def test_a_second_log_under_one_server_id_is_told_and_on_mysql_lives_beside(mysql: MysqlServer) -> None:
    connector = connector_to(mysql, heartbeat="100ms")
    place = mysql.position()
    owners = [LogIdentity(str(uuid4()), 1, is_new=False) for _ in range(2)]
    replicas = [Replica.of(connector.options, connector.source, owner) for owner in owners]
    first = dump_from(connector, *place, replicas[0])
    until(first, *HEARTBEATS)
    severity = {
        owner: Findings(run_checks(connector.options, connector.source, owner)).of("server-id").severity
        for owner in (*owners, None)
    }
    assert severity[owners[0]] is Severity.OK
    assert severity[owners[1]] is Severity.ERROR
    second = dump_from(connector, *place, replicas[1])
    assert until(second, *HEARTBEATS)
    if mysql.flavour == "mysql":
        assert until(first, *HEARTBEATS)
    else:
        assert isinstance(first_error(first), SourceBusy | SourceUnavailable)
    second.close()
    first.close()


def test_readers_of_other_names_and_reads_beside_live_together(mysql: MysqlServer) -> None:
    place = mysql.position()
    first = connector_to(mysql, "shop", heartbeat="100ms")
    second = connector_to(mysql, "store", heartbeat="100ms")
    dumps = [dump_from(c, *place, ours(c)) for c in (first, second)]
    for _ in range(2):
        beside = dump_from(first, *place, Replica.random(), stop_at_end=True)
        list(events(beside))
        beside.close()
    for dump in dumps:
        until(dump, *HEARTBEATS)
        until(dump, *HEARTBEATS)
        dump.close()


@pytest.mark.every_server
def test_replica_is_seen_under_the_name_of_the_source(mysql: MysqlServer) -> None:
    connector = connector_to(mysql)
    dump = dump_from(connector, *mysql.position(), ours(connector))
    statement = "show replicas" if mysql.flavour == "mysql" else "show slave hosts"
    shown = mysql.query(statement)
    dump.close()
    assert (ours(connector).server_id, "cdc_shop") in [row[:2] for row in shown]


def test_file_that_is_gone_is_a_gap(mysql: MysqlServer) -> None:
    connector = connector_to(mysql)
    dump = dump_from(connector, "binlog.099999", 4, ours(connector))
    assert isinstance(first_error(dump), SourceGap)
    dump.close()


@pytest.mark.parametrize("shift", [1_000_000_000, 7])
def test_offset_where_no_event_begins_is_a_gap(mysql: MysqlServer, shift: int) -> None:
    connector = connector_to(mysql)
    file, _ = mysql.position()
    dump = dump_from(connector, file, 4 + shift, ours(connector))
    assert isinstance(first_error(dump), SourceGap)
    dump.close()


def test_offset_past_the_protocols_reach_is_a_gap(mysql: MysqlServer) -> None:
    connector = connector_to(mysql)
    with pytest.raises(SourceGap, match="4 GiB"):
        dump_from(connector, "binlog.000001", 2**32, ours(connector))


@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_purged_transactions_are_a_gap(mysql_server_factory: MysqlFactory, name: str) -> None:
    server = mysql_server_factory(name=name)
    database = server.create_database()
    known = executed(server)
    database.execute("create table t (i int)", "insert into t values (1)", "flush binary logs")
    database.execute("insert into t values (2)", "flush binary logs")
    wait_until(lambda: purged(server), "the older binlogs to be purged")
    connector = connector_to(server)
    nothing: Gtids = GtidSet() if name == "mysql9" else MariadbGtids()
    for dump in (
        dump_after(connector, known, Replica.random()),
        dump_after(connector, nothing, Replica.random()),
        dump_from(connector, "binlog.000001", 4, Replica.random()),
    ):
        error = first_error(dump)
        dump.close()
        assert isinstance(error, SourceGap)
        assert "Copy all tables again" in error.remedy


@pytest.mark.every_server
def test_transactions_that_the_server_lost_are_a_mismatch(mysql: MysqlServer) -> None:
    connector = connector_to(mysql)
    # MariaDB takes a GTID of a domain that its binlog does not have for one that is still to come.
    mysql.execute("create database of_the_domain", "drop database of_the_domain")
    if mysql.flavour == "mysql":
        uuid = mysql.value("select @@server_uuid")
        ahead: Gtids = GtidSet.parse(f"{mysql.executed()},{uuid}:1000000")
    else:
        ahead = MariadbGtids.parse(f"0-{mysql.value('select @@server_id')}-1000000")
    dump = dump_after(connector, ahead, ours(connector))
    assert isinstance(first_error(dump), SourceMismatch)
    dump.close()


@pytest.mark.every_server
def test_gtids_of_the_other_kind_of_server_are_a_mismatch(mysql: MysqlServer) -> None:
    foreign: Gtids = (
        MariadbGtids.parse("0-1-5") if mysql.flavour == "mysql" else GtidSet.parse(f"{STRANGER}:1")
    )
    connector = connector_to(mysql)
    with pytest.raises(SourceMismatch, match="another kind of server"):
        dump_after(connector, foreign, ours(connector))


def test_login_without_the_privilege_is_refused(mysql: MysqlServer) -> None:
    mysql.execute("create user plain@'%' identified by ''")
    connector = Connector(MysqlOptions.model_validate({"url": mysql.url(user="plain")}), "shop")
    with pytest.raises(SourceRefused, match=r"REPLICATION SLAVE.*grant replication slave"):
        dump_from(connector, *mysql.position(), ours(connector))
    mysql.execute("drop user plain@'%'")


def test_server_without_binlog_is_refused(mysql_server_factory: MysqlFactory) -> None:
    server = mysql_server_factory({"skip-log-bin": "1"}, "mariadb10")
    connector = connector_to(server)
    dump = dump_from(connector, "binlog.000001", 4, ours(connector))
    assert isinstance(first_error(dump), SourceRefused)
    dump.close()


def test_dump_of_a_killed_server_ends(mysql_server_factory: MysqlFactory) -> None:
    server = mysql_server_factory(name="mariadb10")
    connector = connector_to(server)
    dump = dump_from(connector, *server.position(), ours(connector))
    until(dump, FORMAT)
    server.kill9()
    with pytest.raises(SourceUnavailable):
        until(dump)
    dump.close()


def test_close_from_another_thread_wakes_the_reader(mysql: MysqlServer) -> None:
    # So only closing can end the wait.
    connector = connector_to(mysql, heartbeat="1h")
    dump = dump_from(connector, *mysql.position(), ours(connector))
    until(dump, FORMAT)
    closer = threading.Thread(target=dump.close)
    closer.start()
    with pytest.raises(SourceUnavailable):
        list(iter(lambda: dump.recv(1 << 16, DEFAULT_TIMEOUT_SECONDS), b""))
    closer.join()
    dump.close()


def test_wait_tells_whether_there_is_something(mysql: MysqlServer) -> None:
    connector = connector_to(mysql, heartbeat="1h")
    dump = dump_from(connector, *mysql.position(), ours(connector))
    assert dump.wait(DEFAULT_TIMEOUT_SECONDS)
    until(dump, FORMAT)
    # The next heartbeat is an hour away.
    while dump.wait(1.0):
        dump.recv(1 << 16, 0)
    assert dump.recv(1 << 16, 0) == b""
    dump.close()
