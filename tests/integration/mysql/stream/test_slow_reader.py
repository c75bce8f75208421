"""A reader that stands still, because a sink is slow or the disk is full: the server gives it up after its
patience, and the stream goes on where the log ends.
"""

from __future__ import annotations

import pytest

from cdc.errors import SourceUnavailable
from cdc_source_mysql.options import DEFAULTS, Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase
from tests.support.waiting import wait_until

# More than the buffers of a local connection take, on both sides.
ROWS, NOTE_BYTES = 100, 400_000
DUMPS = "select count(*) from information_schema.processlist where command like 'Binlog Dump%'"


def step_for_ever(follower: MysqlFollower) -> None:
    while True:
        follower.step()


def test_a_reader_that_stood_still_for_too_long_loses_and_doubles_nothing(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    server = mysql_database.server
    mysql_database.execute("create table t (id int primary key auto_increment, note longtext)")
    follower = follow(mysql_database, limits=Limits(server_patience_seconds=1))
    follower.limits = DEFAULTS
    mysql_database.execute("insert into t (note) values ('first')")
    assert len(follower.rows()) == 1
    mysql_database.execute(*[f"insert into t (note) values (repeat('x', {NOTE_BYTES}))"] * ROWS)
    wait_until(lambda: server.value(DUMPS) == 0, "the server to give the reader up")
    with pytest.raises(SourceUnavailable):
        step_for_ever(follower)
    # A log gives up a part whose end does not come.
    while follower.sets and follower.sets[-1].position is None:
        follower.sets.pop()
    before = [row["id"] for row in follower.taken()]
    after = [row["id"] for row in follower.restart().rows()]
    assert after
    assert before + after == list(range(2, ROWS + 2))
