"""A server and its replica, for tests of failovers."""

from __future__ import annotations

from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlServer

Pair = tuple[MysqlServer, MysqlServer]


def make_pair(factory: MysqlFactory, name: str) -> Pair:
    """A server and its replica, which writes what it replicates into a binlog of its own."""
    replica = {"log-slave-updates": "ON"} if "mariadb" in name else {"log-replica-updates": "ON"}
    first, second = factory({}, name), factory(replica, name)
    if second.flavour == "mysql":
        second.execute(
            f"change replication source to source_host='127.0.0.1', source_port={first.port},"
            " source_user='root', source_password='', source_auto_position=1, get_source_public_key=1",
            "start replica",
        )
    else:
        second.execute(
            f"change master to master_host='127.0.0.1', master_port={first.port}, master_user='root',"
            " master_password='', master_use_gtid=slave_pos",
            "start slave",
        )
    return first, second


def wait_for_replica(pair: Pair) -> None:
    first, second = pair
    if first.flavour == "mysql":
        assert second.value(f"select wait_for_executed_gtid_set('{first.executed()}', 30)") == 0
    else:
        assert second.value(f"select master_gtid_wait('{first.executed()}', 30)") == 0


def stop_replica(pair: Pair) -> None:
    """What the first one writes from now on is lost when it dies."""
    pair[1].execute("stop replica" if pair[1].flavour == "mysql" else "stop slave")
