from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdc.errors import UnsupportedSchema
from cdc.model import TableId, TableSchema
from cdc_source_postgres.options import select
from cdc_source_postgres.schema.catalog import (
    Connection,
    build_schema,
    read_table,
    read_tables,
    read_types,
    server_version,
)
from cdc_source_postgres.schema.tables import TableInfo
from cdc_source_postgres.schema.type_catalog import TypeCatalog
from cdc_source_postgres.schema.type_plan import plan_column
from tests.support.postgres.server import Database

EVERYTHING = select(["*.*"])


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with database.connect() as connection:
        yield connection


@pytest.fixture
def conn15(database15: Database) -> Iterator[Connection]:
    """For the cases that no version tells apart."""
    with database15.connect() as connection:
        yield connection


def only(conn: Connection) -> TableInfo:
    (info,) = read_tables(conn, EVERYTHING)
    return info


def schema_of(conn: Connection, info: TableInfo, *columns: str) -> TableSchema:
    catalog = TypeCatalog()
    catalog.add(read_types(conn))
    plans = [
        plan_column(c.name, c.type_oid, c.typmod, c.ndims, catalog, "error")
        for c in info.sent_columns(columns or None)
    ]
    return build_schema(info, plans)


@pytest.mark.every_server
def test_catalog_tells_the_version(conn: Connection, database: Database) -> None:
    assert server_version(conn) // 10000 == database.server.major


def test_catalog_reads_columns_keys_and_identity(conn: Connection) -> None:
    conn.execute(
        'create table "T" (b int, "A""x" text not null, id int, n numeric(9,2)[], primary key (id, b))'
    )
    info = only(conn)
    assert info.table == TableId("public", "T")
    assert [(c.name, c.attnum, c.not_null) for c in info.columns] == [
        ("b", 1, True),
        ('A"x', 2, True),
        ("id", 3, True),
        ("n", 4, False),
    ]
    assert (info.columns[3].typmod, info.columns[3].ndims) == ((9 << 16 | 2) + 4, 1)
    assert (info.pk, info.identity_columns, info.identity) == (("b", "id"), ("b", "id"), "key")
    assert info.without_identity() == []


def test_catalog_forgets_dropped_columns(conn: Connection) -> None:
    conn.execute("create table t (id int primary key, gone int, v text)")
    conn.execute("alter table t drop column gone")
    assert [(c.name, c.attnum) for c in only(conn).columns] == [("id", 1), ("v", 3)]


@pytest.mark.parametrize(
    ("ddl", "key", "identity"),
    [
        ("create table t (id int primary key, v int)", ("id",), "key"),
        ("create table t (id int primary key, v int); alter table t replica identity full", ("id",), "full"),
        ("create table t (id int, v int); alter table t replica identity full", (), "full"),
        ("create table t (id int, v int)", (), "none"),
        ("create table t (id int primary key deferrable, v int)", (), "none"),
        (
            "create table t (id int primary key deferrable, v int); alter table t replica identity full",
            (),
            "full",
        ),
        ("create table t (id int primary key, v int); alter table t replica identity nothing", (), "none"),
        (
            "create table t (id int primary key, v int not null, w int);"
            " create unique index i on t (v) include (w); alter table t replica identity using index i",
            ("v",),
            "key",
        ),
    ],
)
def test_schema_has_the_key_that_the_server_sends(
    conn15: Connection, ddl: str, key: tuple[str, ...], identity: str
) -> None:
    conn15.execute(ddl.encode())
    schema = schema_of(conn15, only(conn15))
    assert (schema.key, schema.identity) == (key, identity)


def test_schema_carries_ids_nullability_and_types(conn: Connection) -> None:
    conn.execute(
        "create type mood as enum ('ok'); create table t (id int primary key, m mood, n numeric(5,1))"
    )
    info = only(conn)
    schema = schema_of(conn, info)
    assert [(c.name, c.source_type, c.nullable, c.id) for c in schema.columns] == [
        ("id", "integer", False, 1),
        ("m", "public.mood", True, 2),
        ("n", "numeric(5,1)", True, 3),
    ]
    assert schema.relation == info.relid


def test_schema_refuses_reserved_names(conn: Connection) -> None:
    conn.execute("create table t (id int primary key, _cdc_seq int)")
    with pytest.raises(UnsupportedSchema):
        schema_of(conn, only(conn))


def test_schema_refuses_column_lists_without_the_identity(conn: Connection) -> None:
    conn.execute("create table t (id int primary key, v int)")
    info = only(conn)
    with pytest.raises(UnsupportedSchema) as caught:
        schema_of(conn, info, "v")
    assert str(caught.value) == (
        "public.t: the published columns leave out id, which identifies a row in updates and deletes."
        " Add id to the table's column list."
    )


def test_catalog_keeps_generated_columns_out_unless_published(conn: Connection) -> None:
    conn.execute("create table t (id int primary key, g int generated always as (id * 2) stored)")
    info = only(conn)
    assert [c.name for c in info.sent_columns()] == ["id"]
    assert [c.name for c in info.sent_columns({"id", "g"})] == ["id", "g"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("int not null default 7", "7"),
        ("text default 'a \"b\", \\ {c}'", 'a "b", \\ {c}'),
        ("int[] default '{1,2}'", "{1,2}"),
        ("numeric default 1.50", "1.50"),
        ("text", None),
    ],
)
def test_catalog_knows_what_older_rows_have(conn15: Connection, column: str, value: str | None) -> None:
    conn15.execute("create table t (id int primary key)")
    conn15.execute("insert into t values (1)")
    conn15.execute(f"alter table t add v {column}".encode())
    conn15.execute("alter table t alter v drop default")
    info = only(conn15)
    assert (info.columns[1].has_missing, info.columns[1].missing_text) == (value is not None, value)


def test_catalog_knows_what_older_rows_of_partitions_have(conn: Connection) -> None:
    conn.execute("create table root (id int primary key) partition by range (id)")
    conn.execute("create table leaf partition of root for values from (0) to (10)")
    conn.execute("insert into root values (1)")
    conn.execute("alter table root add v int default 5")
    assert only(conn).columns[1].missing_text == "5"


@pytest.mark.parametrize(
    ("column", "volatile"),
    [
        ("uuid default gen_random_uuid()", True),
        ("timestamptz default now()", False),
        ("timestamptz default clock_timestamp()", True),
        ("int default 1", False),
        ("serial", True),
        ("int generated always as identity", True),
        ("int generated always as (id * 2) stored", False),
    ],
)
def test_catalog_knows_volatile_defaults(conn15: Connection, column: str, *, volatile: bool) -> None:
    conn15.execute(f"create table t (id int primary key, v {column})".encode())
    assert only(conn15).columns[1].default_volatile is volatile


def test_catalog_notices_rewrites_by_filenode_and_column(conn: Connection) -> None:
    conn.execute("create table t (id int primary key, v int)")
    before = only(conn)
    conn.execute("vacuum full t")
    vacuumed = only(conn)
    assert vacuumed.filenode != before.filenode
    assert vacuumed.attribute_xmins == before.attribute_xmins
    conn.execute("alter table t alter v type bigint")
    rewritten = only(conn)
    assert rewritten.filenode != vacuumed.filenode
    assert rewritten.attribute_xmins[2] != vacuumed.attribute_xmins[2]


def test_catalog_gives_partitions_to_the_topmost_selected_table(conn: Connection) -> None:
    conn.execute("create table root (id int, k int, primary key (id, k)) partition by range (id)")
    conn.execute("create table mid partition of root for values from (0) to (10) partition by range (k)")
    conn.execute("create table leaf partition of mid for values from (0) to (10)")
    conn.execute("create table other partition of root for values from (10) to (20)")

    def names(entries: list[str], *, via_root: bool = True) -> dict[str, list[str]]:
        infos = read_tables(conn, select(entries), via_root=via_root)
        return {info.table.name: [leaf.table.name for leaf in info.leaves] for info in infos}

    assert names(["public.*"]) == {"root": ["leaf", "other"]}
    assert names(["public.*", "!public.root"]) == {"mid": ["leaf"], "other": ["other"]}
    assert names(["public.*"], via_root=False) == {"leaf": ["leaf"], "other": ["other"]}


def test_catalog_leaves_out_what_sends_no_changes(conn: Connection) -> None:
    conn.execute("create unlogged table u (id int primary key)")
    conn.execute("create view v as select 1 as id")
    conn.execute("create temporary table t (id int primary key)")
    assert read_tables(conn, EVERYTHING) == []


def test_catalog_leaves_out_tables_of_extensions_unless_named(conn: Connection) -> None:
    conn.execute("create table t (id int primary key)")
    conn.execute("create extension hstore")
    conn.execute("alter extension hstore add table t")
    assert read_tables(conn, EVERYTHING) == []
    assert [i.table.name for i in read_tables(conn, select(["public.t"]))] == ["t"]


def test_catalog_reads_one_table_by_its_oid(conn: Connection) -> None:
    conn.execute("create table a (id int primary key); create table b (id int primary key)")
    info = next(i for i in read_tables(conn, EVERYTHING) if i.table.name == "b")
    assert read_table(conn, info.relid) == info
    conn.execute("drop table b")
    assert read_table(conn, info.relid) is None


def test_catalog_takes_no_lock_on_tables(conn: Connection, database: Database) -> None:
    conn.execute("create table t (id int primary key)")
    with database.connect(autocommit=False) as holder:
        holder.execute("lock table t in access exclusive mode")
        conn.execute("set lock_timeout = '30s'")
        assert only(conn).table.name == "t"


def test_catalog_leaves_the_connection_as_it_was(conn: Connection) -> None:
    read_tables(conn, EVERYTHING)
    assert conn.info.transaction_status.name == "IDLE"
    with conn.transaction():
        read_tables(conn, EVERYTHING)
        assert conn.info.transaction_status.name == "INTRANS"
