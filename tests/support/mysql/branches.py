"""XA transactions that are ended by another connection than the one that prepared them.

MariaDB lets another connection end a branch as soon as the first one is on its way out, before InnoDB has let
go of it: the binlog says XA COMMIT, the client gets that answer, and InnoDB finds nothing to commit.
"""

from __future__ import annotations

import re
import time
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import ER

from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

# They are freed between the two moments: some milliseconds.
STATEMENTS_TO_FREE = 2000
ATTEMPTS = 5
_TRANSACTIONS = "\nTRANSACTIONS\n"


def prepare(database: MysqlDatabase, xid: str, *statements: str) -> None:
    """Prepare a branch in a session of its own; any session may end it then."""
    with database.connect() as connection, connection.cursor() as cursor:
        for statement in (f"xa start {xid}", *statements, f"xa end {xid}", f"xa prepare {xid}"):
            cursor.execute(statement)
    wait_until_let_go(database.server, connection)


def wait_until_let_go(server: MysqlServer, closed: Connection[Any]) -> None:
    """Return when others may end the branch of a closed connection: until then the server answers that there
    is
    none. MariaDB's process list forgets the connection too early.
    """
    number = closed.thread_id()  # type: ignore[no-untyped-call]
    owner = re.compile(rf"\bthread id {number},")

    def let_go() -> bool:
        if server.flavour == "mysql":
            return not server.query(f"select 1 from performance_schema.processlist where id = {number}")
        status = str(server.query("show engine innodb status")[0][2])
        return owner.search(status.partition(_TRANSACTIONS)[2]) is None

    wait_until(let_go, f"the server to forget connection {number}")


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
                # The first connection has yet to begin to go.
                if error.args[0] != ER.XAER_NOTA or time.monotonic() > deadline:
                    raise
            else:
                return
