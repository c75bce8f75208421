"""What the history says of the rows that an ALTER TABLE leaves: the server's own rows decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cdc.model import TableId
from cdc_source_mysql.schema.catalog import read_collations, read_tables
from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.ddl.tokens import (
    NO_AUTO_VALUE_ON_ZERO,
    PAD_CHAR_TO_FULL_LENGTH,
    SessionSettings,
)
from cdc_source_mysql.schema.history.history import Applied, History
from tests.support.mysql.server import MysqlDatabase

STRICT = 1 << 21

# A leading `!` says that the table has to be copied again.
ADDED = """
a1 int
a2 int default 5
a3 int not null
a4 int default '-7'
a5 bigint unsigned default 18446744073709551615
a6 tinyint(1) default true
!a8 int default (1 + 1)
b1 varchar(20) character set utf8mb4 default 'x''y  '
b2 varchar(20) default 'ä€😀'
b3 char(5) default 'ab  '
b4 varchar(5) not null
b5 varchar(9) default 12
!b6 varchar(9) default 1.50
b7 varchar(9) default ''
b8 varchar(9) default 'it\\'s\\\\'
c1 decimal(10,2) default 1.5
c2 decimal(10,2) default '2'
c3 decimal(40,3) unsigned not null
c4 double default 3
!c5 double default 0.1
c6 float not null default -2
d1 date default '2024-02-29'
d2 datetime default '2024-02-29 10:11:12'
d3 datetime(3) default '2024-02-29 10:11:12.345'
!d4 datetime default current_timestamp
!d5 timestamp null default '2024-02-29 10:11:12'
!d6 datetime(2) default '2024-02-29 10:11:12'
d7 time default '-12:34:56'
d8 year default 2024
d9 timestamp null
e1 enum('a','b') not null
e2 enum('a','b') default 'b'
!e3 enum('a','b') default 'B'
e4 set('x','y') default 'y'
e5 set('x','y') not null
f1 binary(4) default 'ab'
f2 varbinary(4) default x'00ff'
f3 varbinary(4) not null
f4 bit default b'1'
f5 bit(12) default b'101'
g1 text
g2 json
g3 blob not null
!g4 int as (1) virtual
!g5 int as (id + 1) stored
!g6 serial
""".strip().splitlines()
# After each, the table's rows are what they were or the table is to be copied again.
CHANGED = """
alter table t modify v varchar(50) character set utf8mb4
alter table t modify v text character set utf8mb4
!alter table t modify v varchar(60) character set utf8mb4
!alter table t modify v varchar(60) character set ucs2
alter table t modify c varchar(9) character set latin1
alter table t modify m int
!alter table t modify m bigint
alter table t modify e enum('a','b','c')
!alter table t modify e enum('b','a','c')
alter table t modify dt datetime(6)
!alter table t modify dt datetime
alter table t modify n int not null default 0
alter table t modify n int null
!alter table t change n n2 int
!alter table t rename column n2 to n
!alter table t modify vb varbinary(3)
alter table t modify vb varbinary(30), modify e enum('b','a','c','d') first
alter table t drop column n
!alter table t add column n int
!alter table t modify id int not null auto_increment
""".strip().splitlines()


class Rows:
    """A table with a row, and the history beside it."""

    def __init__(self, database: MysqlDatabase) -> None:
        self.flavour = database.server.flavour
        self.table = TableId(database.name, "t")
        self._connection = database.connect(autocommit=True)
        self.cursor = self._connection.cursor()

    def start(self, columns: str, values: str) -> None:
        self.cursor.execute(f"create table t ({columns}) default charset utf8mb4")
        self.cursor.execute(f"insert into t values ({values})")
        self.history = History(
            lambda table: table == self.table, flavour=self.flavour, collations=read_collations(self.cursor)
        )
        self.learn()

    def learn(self) -> None:
        definition = read_tables(self.cursor, [self.table], self.flavour)[self.table].definition
        self.history.learn(replace(definition, default_collation="utf8mb4_bin"))

    def run(self, statement: str, sql_mode: int = STRICT) -> Applied:
        self.cursor.execute(statement)
        session = SessionSettings(explicit_timestamps=True)
        changes = classify(statement, self.table.schema, sql_mode, flavour=self.flavour, session=session)
        return self.history.apply(changes)

    def value(self, name: str) -> Any:
        self.cursor.execute(f"select {name} from t")
        row = self.cursor.fetchone()
        assert row is not None
        return row[0]

    def values(self) -> list[Any]:
        return [self.value(name) for name in ("id", "v", "c", "m", "e", "dt", "vb")]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def rows(mysql_database: MysqlDatabase) -> Iterator[Rows]:
    found = Rows(mysql_database)
    yield found
    found.close()


def test_older_rows_have_the_fill_of_an_added_column(rows: Rows) -> None:
    rows.start("id int not null primary key", "1")
    problems = []
    for line in ADDED:
        definition = line.removeprefix("!")
        if "serial" in definition:
            rows.run("alter table t drop primary key")
        applied = rows.run(f"alter table t add column {definition}")
        name = definition.split()[0]
        if bool(applied.resnapshots) != line.startswith("!"):
            problems.append(f"{line}: {applied.resnapshots}")
        elif not applied.resnapshots:
            fill = rows.history.fills(rows.table).get(name)
            if _as_driver(rows.value(name)) != _as_driver(None if fill is None else fill.as_py(), fill):
                problems.append(f"{line}: {fill!r} is not {rows.value(name)!r}")
    assert problems == []


@pytest.mark.every_server
def test_fills_survive_a_restart(rows: Rows) -> None:
    rows.start("id int not null primary key", "1")
    applied = rows.run("alter table t add column a int default 5, add b varchar(5) not null default 'x'")
    again = History(lambda table: True, flavour=rows.flavour, collations={})
    again.restore({key: text for key, text in applied.memory.items() if text is not None})
    assert again.definitions() == rows.history.definitions()
    assert {name: fill.as_py() for name, fill in again.fills(rows.table).items()} == {"a": 5, "b": "x"}


def test_a_change_of_type_copies_the_table_again_unless_values_stay(rows: Rows) -> None:
    rows.start(
        "id int not null, v varchar(20), c char(5) character set latin1, m mediumint, e enum('a','b'),"
        " dt datetime(3), n int, vb varbinary(9), key (id)",
        "1, 'x  ', 'y', 7, 'b', '2024-01-02 03:04:05.678', 3, 'ab'",
    )
    problems = []
    for line in CHANGED:
        before = rows.values()
        applied = rows.run(line.removeprefix("!"))
        if bool(applied.resnapshots) != line.startswith("!"):
            problems.append(f"{line}: {applied.resnapshots}")
        if not applied.resnapshots and rows.values() != before:
            problems.append(f"{line}: the values changed")
        if rows.history.definition(rows.table) is None:
            rows.learn()
    assert problems == []


COMPUTED_FROM = """
alter table t modify v varchar(30) collate utf8mb4_bin
!alter table t modify v varchar(30) collate utf8mb4_general_ci
!alter table t modify b bit(16)
!alter table t modify dt datetime(6)
alter table t modify e enum('a','b','c') collate utf8mb4_bin
alter table t modify n int null comment 'x'
!alter table t modify n int null default 4
!alter table t alter n set default 5
!alter table t modify v varchar(80) collate utf8mb4_bin
!alter table t comment = 'x', algorithm = copy
!alter table t partition by hash (id)
!alter table t remove partitioning
alter table t add column o int, add index (n), comment = 'y'
!alter table t convert to character set utf8mb4 collate utf8mb4_unicode_ci
""".strip().splitlines()


def test_a_change_of_type_copies_the_table_again_where_columns_are_computed(rows: Rows) -> None:
    """Their expressions may show what the values don't: a collation, digits, leading zeros."""
    rows.start(
        "id int not null primary key, v varchar(20) collate utf8mb4_bin, b bit(4), dt datetime(3),"
        " e enum('a','b') collate utf8mb4_bin, n int, g varchar(9) as (if(v = 'a', 'yes', 'no')) virtual",
        "1, 'A', 3, '2024-01-02 03:04:05.678', 'b', 3, default",
    )
    problems = []
    for line in COMPUTED_FROM:
        applied = rows.run(line.removeprefix("!"))
        if bool(applied.resnapshots) != line.startswith("!"):
            problems.append(f"{line}: {applied.resnapshots}")
        rows.learn()
    assert problems == []


# Each on a table of its own: the server changes values although both types could have them.
REMADE = (
    ("id int primary key, v int, key (v)", "1, null", "modify v int auto_increment"),
    ("id int primary key, v timestamp null", "1, null", "modify v timestamp not null, algorithm = copy"),
    ("id int primary key, v char(9)", "1, 'x'", "modify v text"),
    ("id int primary key, v double", "1, 1.23456", "modify v double(20,3)"),
    ("id int", "1", "add v int, add primary key (v)"),
)
MODES = "strict_trans_tables,no_auto_value_on_zero,pad_char_to_full_length"
MODE_BITS = STRICT | NO_AUTO_VALUE_ON_ZERO | PAD_CHAR_TO_FULL_LENGTH


@pytest.mark.parametrize(("columns", "values", "clauses"), REMADE, ids=[clauses for _, _, clauses in REMADE])
def test_values_that_the_server_makes_of_others_are_copied_again(
    rows: Rows, columns: str, values: str, clauses: str
) -> None:
    rows.start(columns, values)
    before = rows.value("v") if " v " in columns else None
    rows.cursor.execute(f"set sql_mode = '{MODES}'")
    applied = rows.run(f"alter table t {clauses}", MODE_BITS)
    assert [request.table for request in applied.resnapshots] == [rows.table]
    assert rows.value("v") != before


def test_modify_that_spells_a_column_otherwise_renames_it(rows: Rows) -> None:
    rows.start("id int primary key, Total int", "1, 5")
    applied = rows.run("alter table t modify total int comment 'x'")
    assert [request.reason for request in applied.resnapshots] == ["the column Total was renamed to total"]
    definition = rows.history.definition(rows.table)
    assert definition is not None
    assert definition.names == ("id", "total")


def test_an_added_column_has_no_fill_of_a_column_that_had_its_name(rows: Rows) -> None:
    rows.start("id int not null primary key", "1")
    rows.run("alter table t add column a int default 5")
    rows.run("alter table t rename column a to b")
    applied = rows.run("alter table t add column a int")
    assert [request.table for request in applied.resnapshots] == [rows.table]
    assert rows.history.fills(rows.table) == {}


def test_a_fill_that_another_type_reads_otherwise_is_copied(rows: Rows) -> None:
    rows.start("id int not null primary key", "1")
    rows.run("alter table t add a char(5) default 'x ', add b varchar(5) default 'y '")
    assert rows.run("alter table t modify b varchar(9)").resnapshots == ()
    assert rows.run("alter table t modify a varchar(9)").resnapshots != ()
    assert {name: fill.as_py() for name, fill in rows.history.fills(rows.table).items()} == {"b": "y "}


def _as_driver(value: Any, fill: Any = None) -> Any:
    """A value as comparable text: the driver and Arrow use several types for one."""
    if isinstance(value, bytes) and fill is None and value in (b"\1", b"\0\5"):
        return str(int.from_bytes(value, "big"))
    if isinstance(value, bool):
        return str(int(value))
    if hasattr(value, "total_seconds"):
        seconds = int(value.total_seconds())
        sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
        return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return str(value)
