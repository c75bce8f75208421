"""After each statement the history's definition equals what information_schema says, or is unsure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cdc.model import TableId
from cdc_source_mysql.schema.catalog import read_collations, read_tables
from cdc_source_mysql.schema.ddl.changes import Created
from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.ddl.tokens import SessionSettings
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.history.history import History
from tests.support.mysql.fixtures import EVERY_MARIADB
from tests.support.mysql.server import MysqlDatabase

STRICT = 1 << 21
UNSURE = "?"

# One statement a line; a leading `?` says that only the catalog knows what it makes.
BOTH = """
alter table t add column a int not null default 5
alter table t add column v varchar(20)
alter table t add v2 varchar(30) character set latin1 default 'x' after id
alter table t add column (c1 char(3) collate utf8mb4_bin, c2 binary(4), c3 varbinary(5))
alter table t add column d decimal(12,4) unsigned, add e decimal(5), add f numeric
alter table t add u1 tinyint unsigned, add u2 smallint(5) zerofill, add u3 mediumint, add u4 bigint unsigned
alter table t add b1 bit, add b2 bit(12), add y year, add bo boolean, add i1 int1, add m middleint
alter table t add f1 float, add f2 float(30), add f3 float(7,3), add f4 double precision, add f5 real
alter table t add dt datetime, add dt6 datetime(6), add ts timestamp null, add ti time(3), add da date
alter table t add tx text, add tt tinytext, add mt mediumtext, add lt longtext character set ascii
alter table t add tb tinyblob, add bl blob, add mb mediumblob, add lb longblob, add bl9 blob(100000)
alter table t add tx9 text(100) character set latin1, add l1 long varchar, add l2 long varbinary
alter table t add tx8 text(100) character set utf8mb4, add tx7 text(20000) character set utf8mb4
alter table t add en enum('a','b''c','d e ') not null, add se set('x','y','z')
alter table t add en2 enum('ä','ß') character set latin1 collate latin1_german1_ci
alter table t add nc nchar(5), add nv national varchar(6), add cv character varying(7), add cb char byte
alter table t add g geometry, add p point not null, add ls linestring, add gc geometrycollection
alter table t add js json
alter table t add ge int generated always as (a + 1) virtual, add gs int as (a + 2) stored
alter table t add inv int invisible default 7
alter table t add vb varchar(5) character set binary, add tb2 text character set binary
alter table t modify e bigint not null
alter table t modify e int null default null after v
alter table t modify v varchar(100) first
alter table t change v w varchar(100) not null
alter table t change u1 b1x int, change b1 u1 int
alter table t rename column w to v, rename column d to w
alter table t rename column v to w, rename column w to v
alter table t drop column u1, drop u2, add u2 int first
alter table t drop column e, add column e int after f, modify f int first
alter table t modify f1 float after f2, modify f2 double first
alter table t add z2 int, add z3 int after z2, add z4 int first
alter table t alter column e set default 5
alter table t alter e drop default
alter table t add index (e), add unique index ue (e)
alter table t drop index ue
alter table t add unique key un (id)
?alter table t drop primary key
alter table t add primary key (id)
alter table t drop key un
alter table t modify id bigint unsigned
alter table t modify id bigint unsigned auto_increment
alter table t add unique key un2 (id)
alter table t engine=InnoDB
alter table t comment = 'drop table t', row_format=dynamic
alter table t default character set latin1
alter table t add after_default varchar(5)
alter table t character set utf8mb4 collate utf8mb4_bin, add after_default2 varchar(5)
alter table t drop en2, drop tx, drop tt, drop mt, drop lt, drop tx9, drop tx8, drop tx7, drop l1, drop js
alter table t convert to character set utf8mb4 collate utf8mb4_unicode_ci
alter table t convert to character set latin1, add after_convert varchar(5)
create unique index ix on t (e)
drop index ix on t
alter table t modify en enum('a','b''c','d e','f') not null
alter table t add column if_1 int comment 'it''s, add x int', add if_2 int
alter table t order by id
alter table t add column `odd ``name` int, add `select` int, add 1st int, add état int
alter table t change `ODD ``NAME` odd int, drop column `SELECT`
alter table t rename to t2
rename table t2 to t
alter table t rename column odd to `even`, add column tail int after `EVEN`
alter table t add ts9 timestamp
alter table t add ts8 timestamp(3) not null default current_timestamp(3) on update current_timestamp(3)
""".strip().splitlines()
MARIADB = """
alter table t add uu uuid, add i4 inet4, add i6 inet6
alter table t add jx longtext character set utf8mb4 collate utf8mb4_bin check (json_valid(jx))
alter table t add co varchar(50) compressed, add ct text compressed
alter table t add column if not exists uu int
alter table t add column if not exists new_one int default (1 + 1)
alter table t add column x1 int, add column x2 varchar(5)
alter table t rename column x1 to x3, add column if not exists x1 int
alter table t drop column x2, add column if not exists x2 varchar(5), add column if not exists x4 int
alter table t change x3 x5 int, add column if not exists x5 bigint, add column if not exists x3 int
alter table t drop column if exists nothing
alter table if exists t modify column if exists new_one bigint
alter online table t nowait add column ol int
set statement max_statement_time=10 for alter table t add ss int
alter table t add /*M!100000 mm int, add */ nn int
alter table t add column ex int default (1 + 1), add eu varchar(40) default uuid()
alter table t add ck int check (ck < 9)
?alter table t add system versioning
""".strip().splitlines()
MYSQL = """
alter table t add ve vector(3), add vd vector
alter table t add sr point srid 4326
alter table t alter column inv set visible
alter table t alter inv set invisible
alter table t add ex int default (1 + 1), add js2 json default (json_array())
alter table t add vi int visible, add ck int constraint cc check (ck < 9) not enforced
alter table t modify ve vector(4), algorithm=copy, lock=shared
""".strip().splitlines()
CREATES = """
?create table c1 (id int primary key, v varchar(5))
create table c2 (a int not null, b int not null, c text, primary key (b, a)) default charset=latin1
create table c3 (a int not null, unique key (a), b varchar(5) character set utf8mb3) engine=InnoDB
create table c4 (a int, unique key (a))
create table c5 (id serial, b bool, c char) collate utf8mb4_bin
create table if not exists c6 (a int key, b int, key k (b), constraint x check (b > 0))
create table c7 (a int not null auto_increment, b int, primary key (a, b)) partition by hash (b) partitions 2
create table c8 (e enum('a','b') character set latin1, t timestamp null, d datetime default now())
?create table c9 (a int not null, b int not null, unique (a), unique (b))
create table c10 (v varchar(20) character set ascii not null, primary key (v(5)))
create table `c 11` (`a``b` int, `from` int unsigned zerofill, `c.d` double(5,2))
create table c12 like c2
?create table c13 as select 1 as one, 'x' as two
""".strip().splitlines()
MARIADB_CREATES = (
    """
create table v1 (a int not null unique) with system versioning
create table v2 (a int primary key, s timestamp(6) generated always as row start,
 e timestamp(6) generated always as row end invisible, period for system_time (s, e)) with system versioning
create or replace table c2 (a int) default charset=utf8mb4
create table j1 (j json, k longtext character set utf8mb4 collate utf8mb4_bin)
""".strip()
    .replace(",\n", ",")
    .splitlines()
)

# The columns of a primary key stay NOT NULL, and nullable ones become it, whatever a statement says.
KEYED = """
alter table t modify id bigint
alter table t modify id bigint unsigned auto_increment
alter table t modify id int default 5
alter table t change id ident int
alter table t change ident id varchar(20) character set ascii
alter table t modify id varchar(30) character set ascii first
alter table t add s serial
alter table t modify s bigint unsigned
alter table t drop primary key, add a int, add primary key (id, a)
alter table t modify a bigint after id, modify id varchar(40) character set ascii
alter table t change a b int first, change id c varchar(40) character set ascii
alter table t drop primary key, add primary key (b)
alter table t modify c varchar(9) character set ascii
alter table t drop primary key, add n int, add m int, add primary key (m)
alter table t modify b int null, modify m bigint
alter table t add unique (n), modify n int not null
alter table t drop s, add q int auto_increment unique
alter table t drop primary key, drop m, add primary key (q)
alter table t modify q bigint
""".strip().splitlines()

# Without a strict mode; MODIFY and others of columns that fit are sure.
LONG = """
alter table t add c varchar(16000) character set latin1
alter table t drop column c
?alter table t add d varchar(70000) character set latin1
?alter table t add e varbinary(70000)
?alter table t convert to character set utf8mb4
alter table t modify a varchar(1600) character set latin1
?alter table t modify a varchar(20000) character set utf8mb4
""".strip().splitlines()


class Follower:
    """A history beside a real server, in one session with it."""

    def __init__(self, database: MysqlDatabase) -> None:
        self.database = database
        self.flavour = database.server.flavour
        self._connection = database.connect()
        self.cursor = self._connection.cursor()
        defaults = "select character_set_name, default_collate_name from information_schema.character_sets"
        self.history = History(
            lambda table: table.schema == database.name,
            flavour=self.flavour,
            collations=read_collations(self.cursor),
            default_collations=dict(self._rows(defaults)),
        )

    def begin(self, name: str) -> None:
        self.history.begin([self.catalog(name)])

    def run(self, statement: str) -> str:
        """Have the server and the history do the same; the table's name afterwards."""
        mode = STRICT if "STRICT" in str(self._rows("select @@sql_mode")[0][0]) else 0
        explicit = bool(self._rows("select @@explicit_defaults_for_timestamp")[0][0])
        self.cursor.execute(statement)
        session = SessionSettings(explicit_timestamps=explicit)
        changes = classify(statement, self.database.name, mode, "utf8mb4", self.flavour, session)
        applied = self.history.apply(changes)
        return applied.changed[-1].name if applied.changed else "t"

    def catalog(self, name: str) -> TableDefinition:
        table = self.table(name)
        return read_tables(self.cursor, [table], self.flavour)[table].definition

    def table(self, name: str) -> TableId:
        return TableId(self.database.name, name)

    def close(self) -> None:
        self._connection.close()

    def _rows(self, query: str, parameters: Any = None) -> list[Any]:
        self.cursor.execute(query, parameters)
        return list(self.cursor.fetchall())


@pytest.fixture
def follower(mysql_database: MysqlDatabase) -> Iterator[Follower]:
    found = Follower(mysql_database)
    yield found
    found.close()


# A table, and a statement that may have made no key or another: only the catalog shows which (`?`).
CONDITIONAL = """
id int primary key, b int|alter table t add column if not exists b int primary key
id int primary key, b int|alter table t add column if not exists (b int unique, c int primary key)
id int primary key, b int|alter table t add primary key if not exists (b)
id int primary key, b int|alter table t add unique key if not exists k (b)
id int, b int not null, unique key k (id)|?alter table t add unique key if not exists k (b)
id int, b int not null, unique key k (id)|?alter table t add constraint k unique if not exists (b)
id int, b int not null, unique key k (id)|?alter table t drop key k, add unique key if not exists k (b)
id int, b int not null, unique key k (id)|?create unique index if not exists k on t (b)
id int, b int not null|?alter table t add primary key if not exists (b)
id int, b int not null, unique key k (b)|?create or replace index k on t (id)
id int, b int not null, unique key k (id)|create or replace unique index k on t (b)
a int, b int|?alter table t drop a, add a char(9) charset latin1, modify a char(9) charset latin2
""".strip().splitlines()


def _plain(definition: TableDefinition) -> TableDefinition:
    """Without what the history doesn't keep: defaults, and an engine that no statement names."""
    columns = tuple(replace(column, default=None) for column in definition.columns)
    return replace(definition, columns=columns, engine="")


def _compare(follower: Follower, line: str, problems: list[str]) -> str:
    statement = line.removeprefix(UNSURE)
    name = follower.run(statement)
    found, now = follower.history.definition(follower.table(name)), follower.catalog(name)
    if (found is None) != line.startswith(UNSURE):
        problems.append(f"{statement}: {'unsure' if found is None else 'not unsure'}")
    elif found is not None and _plain(found) != _plain(now):
        wrong = set(_plain(found).columns) ^ set(_plain(now).columns)
        problems.append(f"{statement}: {wrong} {found.names} {now.names} {found.key} {now.key}")
    return name


@pytest.mark.every_server
def test_the_history_follows_every_alter_as_the_catalog_shows_it(follower: Follower) -> None:
    follower.cursor.execute("create table t (id int not null primary key) default charset=utf8mb4")
    follower.begin("t")
    problems: list[str] = []
    for line in BOTH + (MARIADB if follower.flavour == "mariadb" else MYSQL):
        name = _compare(follower, line, problems)
        if follower.history.definition(follower.table(name)) is None:
            follower.begin(name)
    assert problems == []


def test_the_columns_of_a_primary_key_are_never_null(follower: Follower) -> None:
    follower.cursor.execute("create table t (id int primary key) default charset=utf8mb4")
    follower.begin("t")
    problems: list[str] = []
    for line in KEYED:
        _compare(follower, line, problems)
    assert problems == []


def test_a_column_that_is_too_long_for_its_type_may_have_another(follower: Follower) -> None:
    follower.cursor.execute("set sql_mode = ''")
    follower.cursor.execute(
        "create table t (id int primary key, a varchar(9), b varchar(30000)) character set latin1"
    )
    problems: list[str] = []
    for line in LONG:
        follower.begin("t")
        _compare(follower, line, problems)
    assert problems == []


@EVERY_MARIADB
def test_a_default_beside_a_conversion_leaves_the_next_column_open(follower: Follower) -> None:
    follower.cursor.execute("create table t (a varchar(9)) character set utf8mb4")
    follower.begin("t")
    problems: list[str] = []
    _compare(follower, "alter table t default charset latin1, convert to charset latin2", problems)
    _compare(follower, "?alter table t add b varchar(9)", problems)
    assert problems == []


@EVERY_MARIADB
def test_a_key_of_if_not_exists_may_not_have_been_made(follower: Follower) -> None:
    problems: list[str] = []
    for line in CONDITIONAL:
        columns, statement = line.split("|")
        follower.cursor.execute(f"create or replace table t ({columns}) character set utf8mb4")
        follower.begin("t")
        _compare(follower, statement, problems)
    assert problems == []


@pytest.mark.every_server
def test_the_history_knows_created_tables_as_the_catalog_shows_them(follower: Follower) -> None:
    problems: list[str] = []
    for line in CREATES + (MARIADB_CREATES if follower.flavour == "mariadb" else []):
        _compare(follower, line, problems)
    assert problems == []


@pytest.mark.every_server
def test_tables_are_understood_as_the_server_shows_their_creation(follower: Follower) -> None:
    """SHOW CREATE TABLE is what dumps and row-based CREATE … SELECT log."""
    follower.cursor.execute("create table t (id int not null primary key) default charset=utf8mb4")
    for line in BOTH + (MARIADB if follower.flavour == "mariadb" else MYSQL):
        follower.cursor.execute(line.removeprefix(UNSURE))
    follower.cursor.execute("show create table t")
    (created,) = classify(follower.cursor.fetchone()[1], follower.database.name, flavour=follower.flavour)
    assert isinstance(created, Created)
    follower.history.apply([created])
    found, now = follower.history.definition(follower.table("t")), follower.catalog("t")
    assert found is not None
    assert _plain(found) == _plain(now)
