"""The tables of a publication are read as the server's own view has them, without opening them."""

from __future__ import annotations

import pytest

from cdc.model import TableId
from cdc_source_postgres.stream.publication import read_publication
from tests.support.postgres.server import Database

SETUP = (
    "create schema s",
    "create table a (id int primary key, n int, g int generated always as (n * 2) stored)",
    "create table s.b (id int primary key, n int)",
    "create unlogged table u (id int primary key)",
    "create view v as select * from a",
    "create table parent (id int primary key)",
    "create table child () inherits (parent)",
    "create table r (id int, k int, primary key (id, k)) partition by list (k)",
    "create table r1 partition of r for values in (1)",
    "create table r2 partition of r for values in (2) partition by list (k)",
    "create table s.r21 partition of r2 for values in (2)",
    "alter table a drop column n cascade",
    "alter table a add m int",
    "alter table a add g int generated always as (m * 2) stored",
)
MEMBERS = {
    "nothing": "",
    "some": "for table a, parent, only s.b",
    "lists": "for table a (id, m) where (m > 7), s.b where (n <> 0)",
    "partitions": "for table r, r1",
    "a partition alone": "for table r2",
    "a leaf alone": "for table s.r21",
    "schema": "for tables in schema s",
    "schema and tables": "for tables in schema s, table a, s.b, r",
    "everything": "for all tables",
}


@pytest.mark.every_server
@pytest.mark.parametrize("via_root", ["true", "false"])
def test_the_tables_of_a_publication_are_those_of_the_servers_view(database: Database, via_root: str) -> None:
    database.execute(*SETUP)
    with database.connect() as connection:
        for what, members in MEMBERS.items():
            connection.execute(
                f"create publication p {members} with (publish_via_partition_root = {via_root})".encode()
            )
            found = read_publication(connection, "p")
            view = connection.execute(
                "select schemaname, tablename, attnames, rowfilter from pg_publication_tables"
            ).fetchall()
            assert found is not None
            generated = {"g"} if database.server.major < 16 else set()
            assert {
                (table, frozenset(sent.columns or ()), sent.row_filter)
                for table, sent in found.tables.items()
            } == {
                (
                    TableId(schema, name),
                    frozenset(columns) - (generated if name == "a" and what != "lists" else set()),
                    row_filter,
                )
                for schema, name, columns, row_filter in view
            }, what
            connection.execute("drop publication p")


def test_reading_a_publication_does_not_wait_for_who_alters_its_tables(database: Database) -> None:
    database.execute("create table t (id int primary key)", "create publication p for table t")
    with database.connect(autocommit=False) as application, database.connect() as connection:
        application.execute("alter table t add x int")
        connection.execute("set lock_timeout = '1ms'")
        found = read_publication(connection, "p")
        assert found is not None
        assert list(found.tables) == [TableId("public", "t")]
