"""Records pgoutput messages of a real server, one a line in hex.

Usage: python -m tests.golden.pgoutput.record DSN > FILE. The recordings are kept, so that a change of the
decoders is held against what servers really sent.
"""

from __future__ import annotations

import sys

import psycopg

SCENARIO = [
    "create table orders (id int primary key, note text, price numeric(10,2), tags text[], big text)",
    "alter table orders alter big set storage external",
    "create table pile (a int, b timestamptz)",
    "alter table pile replica identity full",
    "create publication golden for all tables",
    "select pg_create_logical_replication_slot('golden', 'pgoutput')",
    """insert into orders values (1, 'a "quoted" é', 12.50, '{x,NULL,"y z"}', repeat('0123456789', 1000)),
       (2, null, null, '{}', 'short')""",
    "update orders set note = 'b' where id = 1",
    "update orders set id = 3, big = 'gone' where id = 1",
    "delete from orders where id = 2",
    """begin; insert into pile values (1, '2020-02-29 12:00:00.5+00'); savepoint s;
       insert into pile values (2, null); rollback to s; update pile set a = 5; delete from pile; commit""",
    "truncate orders, pile",
]


def main() -> None:
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        for statement in SCENARIO:
            connection.execute(statement.encode())
        options = "'proto_version', '1', 'publication_names', 'golden', 'binary', 'true'"
        changes = f"pg_logical_slot_get_binary_changes('golden', null, null, {options})"
        query = f"select encode(data, 'hex') from {changes}"
        for (message,) in connection.execute(query.encode()).fetchall():
            sys.stdout.write(f"{message}\n")
        connection.execute("select pg_drop_replication_slot('golden')")


if __name__ == "__main__":
    main()
