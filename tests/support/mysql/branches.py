"""XA transactions that are ended by another connection than the one that prepared them.

MariaDB lets another connection end a branch as soon as the first one is on its way out, before InnoDB has let
go of it: the binlog says XA COMMIT, the client is told so, and InnoDB finds nothing to commit.
"""

from __future__ import annotations

import re
import time
from typing import Any

import pymysql
from pymysql.connections import Connection

from tests.support.mysql.server import MysqlServer
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

# They are freed between the two moments: some milliseconds.
STATEMENTS_TO_FREE = 2000
ATTEMPTS = 5
# "There is no such branch": the first connection has yet to begin to go.
_UNKNOWN_XID = 1397
_TRANSACTIONS = "\nTRANSACTIONS\n"


def wait_until_let_go(server: MysqlServer, closed: Connection[Any]) -> None:
    """Return when others may end the branch of a closed connection. The process list forgets it too early."""
    number = closed.thread_id()  # type: ignore[no-untyped-call]
    if server.flavour == "mysql":
        return  # Gives a branch free when InnoDB has.
    owner = re.compile(rf"\bthread id {number},")

    def let_go() -> bool:
        status = str(server.query("show engine innodb status")[0][2])
        return owner.search(status.partition(_TRANSACTIONS)[2]) is None

    wait_until(let_go, f"InnoDB to forget connection {number}")


def end_too_early(server: MysqlServer, xid: str, change: str, outcome: str) -> bool:
    """Prepare a branch, close its connection, and at once end it (`commit`, `rollback`) by another one.
    Whether InnoDB has it still.
    """
    preparing, ending = server.connect(), server.connect()
    try:
        with preparing.cursor() as cursor:
            for number in range(STATEMENTS_TO_FREE):
                cursor.execute(f"prepare s{number} from 'select 1'")
            for statement in (f"xa start {xid}", change, f"xa end {xid}", f"xa prepare {xid}"):
                cursor.execute(statement)
        preparing.close()
        _end(ending, f"xa {outcome} {xid}")
        wait_until_let_go(server, preparing)
        with ending.cursor() as cursor:
            cursor.execute("show engine innodb status")
            return "ACTIVE (PREPARED)" in str(cursor.fetchone()[2])
    finally:
        ending.close()


def _end(connection: Connection[Any], statement: str) -> None:
    deadline = time.monotonic() + DEFAULT_TIMEOUT_SECONDS
    with connection.cursor() as cursor:
        while True:
            try:
                cursor.execute(statement)
            except pymysql.MySQLError as error:
                if error.args[0] != _UNKNOWN_XID or time.monotonic() > deadline:
                    raise
            else:
                return
