"""Looks at many tables: whatever moves is seen, and only what moved is read again."""

from __future__ import annotations

import pytest

from cdc_source_postgres.schema.catalog_looks import Looker, look_at
from tests.support.postgres.server import Database

SETUP = (
    "create type mood as enum ('sad')",
    "create table a (id int primary key, v text)",
    "create table b (id int primary key, v text)",
    "create table root (id int) partition by range (id)",
    "create table leaf partition of root for values from (0) to (9)",
    "create publication shown for table a, b, root",
)
# statement → the tables that are read again.
MOVES = {
    "alter table a add c int": ["a"],
    "alter table b alter v set default 'x'": ["b"],
    "truncate a": ["a"],
    "vacuum full b": ["b"],
    "alter table a replica identity full": ["a"],
    "alter table leaf rename to leaf1": ["root"],
    "alter table root detach partition leaf": ["root"],
    "create table leaf2 partition of root for values from (9) to (19)": ["root"],
    "truncate leaf": ["root"],
    "alter publication shown drop table a; alter publication shown add table a": ["a"],
    "alter publication shown set (publish = 'insert')": ["a", "b", "root"],
    "alter publication shown add tables in schema public": ["a", "b", "root"],
    "alter table a add m mood; alter type mood rename value 'sad' to 'blue'": ["a"],
    "insert into a values (1); analyze a; vacuum a": [],
}


@pytest.mark.parametrize("statement", MOVES)
def test_a_look_reads_what_has_moved_and_nothing_else(database: Database, statement: str) -> None:
    database.execute(*SETUP)
    names = {
        int(oid): str(name)
        for oid, name in database.query(
            "select oid::int8, relname from pg_class where relname in ('a', 'b', 'root')"
        )
    }
    with database.connect() as connection:
        looker = Looker("shown")
        assert sorted(looker.look(connection, list(names), {})[1]) == sorted(names)
        assert looker.look(connection, list(names), {})[1] == {}
        for part in statement.split(";"):
            database.execute(part)
        _, seen, gone, _ = looker.look(connection, list(names), {})
        assert sorted(names[relid] for relid in seen) == MOVES[statement]
        assert gone == set()
        for relid, found in seen.items():
            alone = look_at(connection, "shown", relid, ())
            assert alone is not None
            assert (alone.definition, alone.sent) == (found.definition, found.sent)


def test_a_look_misses_tables_that_were_dropped(database: Database) -> None:
    database.execute("create table a (id int)", "create publication shown for all tables")
    relid = int(database.value("select 'a'::regclass::oid::int8"))
    with database.connect() as connection:
        looker = Looker("shown")
        looker.look(connection, [relid], {})
        database.execute("drop table a")
        _, seen, gone, _ = looker.look(connection, [relid], {})
        assert (seen, gone) == ({}, {relid})
        assert look_at(connection, "shown", relid, ()) is None
