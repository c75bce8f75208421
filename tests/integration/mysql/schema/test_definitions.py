"""What TABLE_MAP events tell of tables, against what the servers' catalogs say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from cdc.model import TableId
from cdc_source_mysql.connection import prepare_session
from cdc_source_mysql.schema.catalog import read_collations, read_tables
from cdc_source_mysql.schema.charsets import Collation
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.history.event_definitions import definition_of, fits, merge
from cdc_source_mysql.schema.table_map import TableMap, parse_table_map
from cdc_source_mysql.schema.type_plan import plan_table, schema_of
from tests.support.mysql.binlog_file import Recorded
from tests.support.mysql.columns import CHARSETS_WITHOUT_COLUMNS, charset_columns, create_table
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase, MysqlServer

# Facts that events do not carry; everything else must be equal without any definition known otherwise.
_HIDDEN_TYPES = {
    "uuid": "binary(16)",
    "inet6": "binary(16)",
    "inet4": "binary(4)",
}


class _Subject:
    def __init__(self, database: MysqlDatabase) -> None:
        self.database = database
        self.flavour = database.server.flavour
        with database.connect() as connection, connection.cursor() as cursor:
            self.collations: Mapping[int, Collation] = read_collations(cursor)

    def known(self, name: str) -> TableDefinition:
        table = TableId(self.database.name, name)
        with self.database.connect() as connection, connection.cursor() as cursor:
            return read_tables(cursor, [table], self.flavour)[table].definition

    def event(self, *statements: str) -> TableMap:
        """The last table map that the statements log."""
        recorded = Recorded(self.database.server)
        self.database.execute(*statements)
        return parse_table_map(recorded.table_maps()[-1], self.flavour)

    def told(self, event: TableMap) -> TableDefinition:
        definition = definition_of(event, self.collations, self.flavour)
        assert definition is not None
        return definition


@pytest.fixture
def subject(mysql_database: MysqlDatabase) -> _Subject:
    return _Subject(mysql_database)


def _as_event_tells(definition: TableDefinition, flavour: str) -> TableDefinition:
    columns = tuple(
        replace(
            column,
            column_type=_HIDDEN_TYPES.get(column.column_type, column.column_type),
            generated=False,
            default=None,
            is_json=False,
            srid=None,
            invisible=column.invisible and flavour == "mysql",
        )
        for column in definition.columns
    )
    return replace(definition, columns=columns, engine="", period=())


@pytest.mark.every_server
def test_an_event_with_full_metadata_tells_what_the_catalog_says(subject: _Subject) -> None:
    subject.database.execute(create_table("every", subject.flavour))
    known = subject.known("every")
    event = subject.event("insert into every (id, second, dt6) values (1, 'x', now())")
    told = subject.told(event)
    assert told.columns == _as_event_tells(known, subject.flavour).columns
    assert told == _as_event_tells(known, subject.flavour)
    assert merge(told, known) == known
    assert fits(event, known, subject.collations) == ""


@pytest.mark.every_server
def test_plans_by_event_and_by_catalog_are_the_same(subject: _Subject) -> None:
    subject.database.execute(create_table("every", subject.flavour))
    known = subject.known("every")
    event = subject.event("insert into every (id, second, dt6) values (1, 'x', now())")
    by_event = plan_table(known, event, subject.flavour, "error")
    assert by_event == plan_table(known, None, subject.flavour, "error")
    assert schema_of(known, by_event).key == ("second", "id")


@pytest.mark.every_server
def test_every_character_set_is_told_by_the_event(subject: _Subject) -> None:
    with subject.database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("select character_set_name from information_schema.character_sets")
        charsets = [str(row[0]) for row in cursor.fetchall() if row[0] not in CHARSETS_WITHOUT_COLUMNS]
    columns = ", ".join(f"{name} {ddl}" for name, ddl in charset_columns(charsets).items())
    subject.database.execute(f"create table sets ({columns})")
    known = subject.known("sets")
    event = subject.event("insert into sets values ()")
    assert merge(subject.told(event), known) == known
    assert subject.told(event) == _as_event_tells(known, subject.flavour)
    assert fits(event, known, subject.collations) == ""
    assert plan_table(known, event, subject.flavour, "error") == plan_table(
        known, None, subject.flavour, "error"
    )


@pytest.mark.every_server
@pytest.mark.parametrize("metadata", ["minimal", "no_log"])
def test_an_event_without_full_metadata_fits_the_definition(subject: _Subject, metadata: str) -> None:
    server = subject.database.server
    if server.flavour == "mysql" and metadata == "no_log":
        pytest.skip("MySQL has no such setting")
    subject.database.execute(create_table("every", subject.flavour))
    known = subject.known("every")
    server.execute(f"set global binlog_row_metadata = {metadata}")
    try:
        event = subject.event("insert into every (id, second, dt6) values (1, 'x', now())")
    finally:
        server.execute("set global binlog_row_metadata = full")
    assert event.names is None
    assert definition_of(event, subject.collations, subject.flavour) is None
    assert fits(event, known, subject.collations) == ""


@pytest.mark.parametrize(
    "alteration",
    [
        "add column more int",
        "drop column d",
        "modify i bigint",
        "modify vc varchar(11)",
        "modify vc char(10)",
        "modify i int not null",
        "modify de decimal(10,3)",
        "modify dt datetime(1)",
        "modify e300 enum('a')",
        "modify bl mediumblob",
        "modify b8 bit(9)",
    ],
)
def test_an_event_contradicts_a_definition_of_before_an_alteration(
    subject: _Subject, alteration: str
) -> None:
    columns = "i int, d double, de decimal(10,2), vc varchar(10), dt datetime, bl blob, b8 bit(8)"
    labels = ",".join(f"'label {number}'" for number in range(300))
    subject.database.execute(f"create table t ({columns}, e300 enum({labels}))")
    before = subject.known("t")
    server = subject.database.server
    server.execute("set global binlog_row_metadata = minimal")
    try:
        insert = "insert into t (i) values (1)"
        assert fits(subject.event(insert), before, subject.collations) == ""
        subject.database.execute(f"alter table t {alteration}")
        assert fits(subject.event(insert), before, subject.collations) != ""
    finally:
        server.execute("set global binlog_row_metadata = full")


def test_an_event_that_tells_more_is_held_to_more(subject: _Subject) -> None:
    subject.database.execute("create table t (a int, b varchar(10), e enum('x','y'))")
    before = subject.known("t")
    for alteration in (
        "rename column a to aa",
        "modify a int unsigned",
        "modify b varchar(40) character set latin1",
        "modify e enum('y','x')",
    ):
        subject.database.execute(f"alter table t {alteration}")
        assert fits(subject.event("insert into t values ()"), before, subject.collations) != "", alteration
        subject.database.execute("drop table t", "create table t (a int, b varchar(10), e enum('x','y'))")


@pytest.mark.every_server
def test_the_key_is_the_primary_key_or_the_first_unique_index_without_nulls(subject: _Subject) -> None:
    subject.database.execute(
        "create table pk (a int, b int not null, unique a_first (b), primary key (b, a))",
        "create table prefix (a text not null, primary key (a(10)))",
        "create table uniques (a int, b int not null, c int not null, unique x (a), unique z (b), "
        "unique y (c, b))",
        "create table nullable (a int, unique (a))",
        "create table none (a int not null, key (a))",
    )
    keys = {name: subject.known(name).key for name in ("pk", "prefix", "uniques", "nullable", "none")}
    assert keys == {"pk": ("b", "a"), "prefix": ("a",), "uniques": ("b",), "nullable": (), "none": ()}
    assert subject.told(subject.event("insert into pk values (1, 2)")).key == ("b", "a")
    assert subject.told(subject.event("insert into prefix values ('x')")).key == ("a",)
    event = subject.event("insert into uniques values (1, 2, 3)")
    assert subject.told(event).key == ("b",)
    assert merge(subject.told(event), subject.known("uniques")) == subject.known("uniques")


@pytest.mark.every_server
def test_a_column_that_became_another_keeps_nothing_of_the_old_one(subject: _Subject) -> None:
    subject.database.execute("create table t (id int primary key, a varchar(10) default 'x')")
    before = subject.known("t")
    subject.database.execute("alter table t modify a int")
    told = subject.told(subject.event("insert into t (id) values (1)"))
    assert merge(told, before).column("a").default is None
    assert merge(told, before).column("a").column_type == "int"


def test_mariadb_names_system_versioning_that_the_catalog_hides(mariadb10_database: MysqlDatabase) -> None:
    subject = _Subject(mariadb10_database)
    mariadb10_database.execute(
        "create table hidden (id int primary key, a int) with system versioning",
        "create table named (id int primary key, a int, s timestamp(6) generated always as row start, "
        "e timestamp(6) generated always as row end, period for system_time (s, e)) with system versioning",
    )
    for name, period in (("hidden", ("row_start", "row_end")), ("named", ("s", "e"))):
        known = subject.known(name)
        assert known.period == period
        assert known.key == ("id",)
        event = subject.event(f"insert into {name} (id) values (1)")
        assert fits(event, known, subject.collations) == ""
        assert merge(subject.told(event), known) == known


@pytest.mark.parametrize("mysql", ["mariadb11"], indirect=True)
def test_a_vector_of_mariadb_is_known_from_the_catalog_alone(subject: _Subject) -> None:
    subject.database.execute("create table t (id int primary key, v vector(100), b varchar(3))")
    known = subject.known("t")
    event = subject.event("insert into t (id) values (1)")
    assert known.column("v").column_type == "vector(100)"
    assert subject.told(event).column("v").column_type == "varbinary(400)"
    assert merge(subject.told(event), known) == known
    assert fits(event, known, subject.collations) == ""
    assert plan_table(known, event, "mariadb", "error") == plan_table(known, None, "mariadb", "error")


@pytest.mark.every_server
def test_partitions_and_engines_are_listed(subject: _Subject) -> None:
    subject.database.execute(
        "create table parts (a int primary key) partition by hash (a) partitions 2",
        "create table plain (a int) engine = myisam",
    )
    tables = [TableId(subject.database.name, name) for name in ("parts", "plain")]
    with subject.database.connect() as connection, connection.cursor() as cursor:
        infos = read_tables(cursor, tables, subject.flavour)
    assert infos[tables[0]].partitions == ("p0", "p1")
    assert infos[tables[1]].partitions == ()
    assert infos[tables[1]].definition.engine == "MyISAM"


def test_names_are_matched_as_the_server_compares_them(mysql_server_factory: MysqlFactory) -> None:
    server = mysql_server_factory({"lower-case-table-names": "1"}, "mariadb10")
    server.execute("create database Shop", "create table Shop.Orders (id int)")
    with server.connect() as connection, connection.cursor() as cursor:
        found = read_tables(cursor, [TableId("Shop", "ORDERS")], "mariadb")
    assert list(found) == [TableId("shop", "orders")]


@pytest.mark.every_server
def test_names_of_another_case_are_other_tables(mysql: MysqlServer, mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table Orders (id int)", "create table orders (id int, a int)")
    with mysql_database.connect() as connection, connection.cursor() as cursor:
        found = read_tables(cursor, [TableId(mysql_database.name, "orders")], mysql.flavour)
    assert [(table.name, len(info.definition.columns)) for table, info in found.items()] == [("orders", 2)]


def test_mysql_tells_of_generated_primary_keys_that_the_session_would_hide(
    mysql9_database: MysqlDatabase,
) -> None:
    with mysql9_database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set sql_generate_invisible_primary_key = on")
        cursor.execute("create table t (a int)")
        cursor.execute("set show_gipk_in_create_table_and_information_schema = off")
        prepare_session(cursor)
        table = TableId(mysql9_database.name, "t")
        definition = read_tables(cursor, [table], "mysql")[table].definition
    assert definition.key == ("my_row_id",)
    assert definition.names == ("my_row_id", "a")
