"""A slot that is made while others alter tables decodes what they and their neighbours write."""

from __future__ import annotations

import threading

import psycopg

from tests.integration.postgres.conftest import FollowerFactory
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until

# The process that makes the slot waits for this transaction to end.
WAITED_FOR = """
    select count(*) > 0 from pg_locks
     where locktype = 'transactionid' and not granted and transactionid::text = %s
"""


def begin(database: Database, statement: str) -> tuple[psycopg.Connection, str]:
    """An open transaction, and its id."""
    connection = database.connect(autocommit=False)
    connection.execute(statement)
    row = connection.execute("select pg_current_xact_id()::xid::text").fetchone()
    assert row is not None
    return connection, str(row[0])


def wait_until_waited_for(database: Database, transaction: str) -> None:
    wait_until(lambda: database.value(WAITED_FOR, [transaction]), f"the slot to wait for {transaction}")


def test_rows_written_behind_ddl_that_a_new_slot_did_not_see_whole_are_decoded(
    database: Database, make_follower: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)", "create table other (id int primary key)")
    # A publication of ours would be altered for these tables, which teaches the server's decoding the rest.
    database.execute("create publication everything for all tables")
    follower = make_follower(database, publication="everything")
    first, first_id = begin(database, "insert into other values (1)")
    opening = threading.Thread(target=follower.open, kwargs={"follow": False})
    opening.start()
    wait_until_waited_for(database, first_id)
    # Begun before the server notes catalog changes for the slot, committed behind that.
    truncating, truncating_id = begin(database, "truncate t")
    first.commit()
    wait_until_waited_for(database, truncating_id)
    neighbour, neighbour_id = begin(database, "insert into other values (2)")
    truncating.commit()
    wait_until_waited_for(database, neighbour_id)
    later, later_id = begin(database, "insert into other values (3)")
    neighbour.execute("insert into t values (2)")
    neighbour.commit()
    wait_until_waited_for(database, later_id)
    last, _ = begin(database, "insert into other values (4)")
    later.commit()
    opening.join()
    last.execute("insert into t values (4)")
    last.commit()
    for connection in (first, truncating, neighbour, later, last):
        connection.close()
    assert [(row["table"], row["id"]) for row in follower.rows()] == [("public.other", 4), ("public.t", 4)]
