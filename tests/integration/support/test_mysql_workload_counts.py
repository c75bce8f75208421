"""The workload counts what it commits as the binlog tells it: the judge is checked before it judges."""

from __future__ import annotations

import pytest

from tests.support.mysql.fixtures import MysqlFactory
from tests.support.waiting import wait_until
from tests.support.workload.events import counts
from tests.support.workload.mysql import MysqlWorkload

# Enough for every operation, XA and truncates too, with any seed.
TRANSACTIONS = 400


@pytest.mark.halved(other=True)
@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_mysql_workload_and_binlog_count_the_same(mysql_server_factory: MysqlFactory, name: str) -> None:
    with MysqlWorkload(mysql_server_factory(None, name), seed=1) as workload:
        wait_until(lambda: _enough(workload), "the writers to write")
    events = workload.oracle.events()
    assert dict(counts(events)) == workload.tally.counts
    assert {event.op for items in events.values() for event in items} == {"c", "u", "d", "t"}
    for items in events.values():
        positions = [event.position for event in items]
        assert positions == sorted(positions)


def _enough(workload: MysqlWorkload) -> bool:
    workload.check()
    return workload.tally.transactions >= TRANSACTIONS
