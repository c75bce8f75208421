"""A stream that is behind reads every row under the columns that its table had then."""

from __future__ import annotations

from contextlib import nullcontext

import pymysql
import pytest

from cdc.model import TableId
from cdc_source_mysql.schema.catalog import read_tables
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import EVERY_SERVER
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

ALTERS = """
alter table t add a int default 5
alter table t add v varchar(20)
alter table t add (w varchar(30) character set latin1 default 'x', b binary(4)) /* comment */
alter table t add d decimal(12,4) unsigned first, add e enum('a','b') after id
alter table t add u1 tinyint unsigned, add u2 bigint unsigned, add b1 bit(3), add y year
alter table t add dt datetime(3), add ts timestamp null, add ti time(2), add da date
alter table t add tx text, add bl blob, add js json, add g geometry
alter table t modify a bigint
alter table t modify v varchar(100) after id
alter table t change w w2 char(9) character set ascii
alter table t drop d, drop e, add d int
alter table t modify u1 int after u2, add u3 int after u1, drop column b
alter table t rename column y to yy
alter table t add inv int invisible, add gen int as (a + 1)
alter table t add s set('x','y') character set latin1
alter table t drop tx, drop js, convert to character set latin1
alter table t add after_convert varchar(7)
alter table t rename to t2
rename table t2 to t
alter table t add last_one int, comment 'x', engine = innodb
""".strip().splitlines()
MARIADB = ["alter table t add uu uuid, add i6 inet6, add co varchar(50) compressed"]


def _shown(database: MysqlDatabase) -> list[tuple[str, str]]:
    """The names and types that the catalog shows now, without the generated columns that no update has."""
    with database.connect() as connection, connection.cursor() as cursor:
        table = TableId(database.name, "t")
        definition = read_tables(cursor, [table], database.server.flavour)[table].definition
    columns = [c for c in definition.columns if database.server.name != "mariadb11" or not c.generated]
    return [(column.name, "json" if column.is_json else column.column_type) for column in columns]


def _schemas(follower: MysqlFollower) -> list[list[tuple[str, str]]]:
    """The names and types that each inserted row came with, in order."""
    found = []
    for changes in follower.sets:
        for batch in changes.batches:
            shape = [(column.name, column.source_type) for column in batch.schema.columns]
            found += [shape] * batch.row_count
    return found


@pytest.mark.halved
@EVERY_SERVER
def test_every_row_comes_with_the_columns_of_its_time(
    mysql_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    expected = []
    is_mariadb = mysql_database.server.flavour == "mariadb"
    for number, statement in enumerate(ALTERS + (MARIADB if is_mariadb else [])):
        mysql_database.execute(statement)
        if statement.endswith(" to t2"):
            continue
        mysql_database.execute(f"insert into t (id) values ({number})")
        expected.append(_shown(mysql_database))
    follower.catch_up()
    assert _schemas(follower) == expected


def test_a_definition_is_shown_again_behind_a_copy_that_showed_another(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key, b int)")
    follower = follow(mysql_database)
    for clause in ("drop b", "add b int", "drop b"):
        mysql_database.execute(f"alter table t {clause}")
        follower.catch_up()
    assert [request.reason for request in follower.stale] == ["the column b was dropped and is added again"]
    batches = [batch for changes in follower.sets for batch in changes.batches]
    assert [[column.name for column in batch.schema.columns] for batch in batches] == [["id"], ["id"]]


def test_a_reread_that_can_be_proven_goes_on(
    mysql_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    mysql_database.execute("create table t (id int not null, a int, key i (a), unique u (id))")
    follower = follow(mysql_database)
    mysql_database.execute("alter table t drop index u", "alter table t add b int default 3")
    mysql_database.execute("insert into t values (1, 2, 3)", "alter table t alter b set default 4")
    follower.catch_up()
    batches = [batch for changes in follower.sets for batch in changes.batches if batch.row_count]
    assert [batch.schema.key for batch in batches] == [()]
    assert [(row["id"], row["a"], row["b"]) for row in follower.rows()] == [(1, 2, 3)]


def test_a_table_whose_columns_can_not_be_proven_is_copied_again_and_stops_no_other(
    mysql_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    mysql_database.execute(
        "create table t (id int not null, a int, key i (a), unique u (id))",
        "create table other (id int primary key)",
    )
    follower = follow(mysql_database)
    mysql_database.execute(
        "alter table t drop index u",
        "insert into t values (1, 2)",
        "insert into other values (1)",
        "alter table t add b int",
        "insert into t values (2, 3, 4)",
    )
    rows = follower.rows()
    told = [row.get("a") for row in rows]
    if metadata == "full":
        assert told == [2, None, 3]
        assert follower.stale == []
        return
    assert told == [None, 3]
    assert {(stale.table.name, "altered" in stale.reason) for stale in follower.stale} == {("t", True)}
    skipped = [fields for event, fields in follower.events if event.startswith("rows are skipped")]
    assert [fields["table"] for fields in skipped] == [f"{mysql_database.name}.t"]


def test_numbers_of_sequences_are_no_changes(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute("create table t (id int primary key)", "create sequence s")
    follower = follow(mariadb10_database)
    for wanted in ("full", "no_log"):
        mariadb10_database.server.execute(f"set global binlog_row_metadata = {wanted}")
        mariadb10_database.execute("select nextval(s)", "create or replace sequence s", "select nextval(s)")
        mariadb10_database.execute("insert into t values (nextval(s))", "delete from t")
    mariadb10_database.server.execute("set global binlog_row_metadata = full")
    assert [row["_cdc_op"] for row in follower.rows()] == ["c", "d"] * 2
    assert follower.stale == []


BECOMES_REQUIRED = (
    "modify at timestamp not null",
    "modify at timestamp not null default '2022-01-01 00:00:00', add x int",
    "modify at timestamp default '2022-01-01 00:00:00'",
    "add primary key (id, at)",
)


@pytest.mark.parametrize("clause", BECOMES_REQUIRED)
@pytest.mark.parametrize("mode", ["strict_trans_tables", ""])
def test_null_that_becomes_the_present_time_is_copied(
    mysql_database: MysqlDatabase, follow: FollowerFactory, clause: str, mode: str
) -> None:
    """MariaDB does that in a strict mode, too."""
    mysql_database.execute(
        "create table t (id int not null, at timestamp null, note text)",
        "insert into t (id) values (1)",
    )
    follower = follow(mysql_database)
    settings = (f"set sql_mode = '{mode}'", "set explicit_defaults_for_timestamp = 0")
    is_refused = mysql_database.server.flavour == "mysql" and bool(mode)
    with pytest.raises(pymysql.MySQLError, match="NULL") if is_refused else nullcontext():
        mysql_database.execute(*settings, f"alter table t {clause}")
    follower.catch_up()
    assert (mysql_database.value("select at from t") is None) == is_refused
    assert [request.table.name for request in follower.stale] == ([] if is_refused else ["t"])


@pytest.mark.parametrize("keys", ["", ", unique (u)"])
def test_values_that_change_with_an_unsure_key_are_copied(
    mysql_database: MysqlDatabase, follow: FollowerFactory, keys: str
) -> None:
    """Only the catalog knows whether the table has a key now; that its values may differ is known."""
    mysql_database.execute(
        f"create table t (id int, u int, v varchar(9){keys})", "insert into t values (1, 1, '007')"
    )
    follower = follow(mysql_database)
    mysql_database.execute("alter table t modify u int not null, modify v int not null")
    follower.catch_up()
    assert [request.table.name for request in follower.stale] == ["t"]


CONVERSIONS = {"latin1": True, "binary": True, "utf8mb4": False, "utf8mb4 collate utf8mb4_bin": False}


@pytest.mark.parametrize("charset", CONVERSIONS)
def test_a_conversion_that_may_lose_characters_is_copied(
    mysql_database: MysqlDatabase, follow: FollowerFactory, charset: str
) -> None:
    """The type of a text may become a larger one, too, which only the catalog shows."""
    mysql_database.execute(
        "create table t (id int primary key, note text, v varchar(9)) character set utf8mb4",
        "insert into t values (1, '日本', '日')",
    )
    follower = follow(mysql_database)
    mysql_database.execute("set sql_mode = ''", f"alter table t convert to character set {charset}")
    follower.catch_up()
    assert [request.table.name for request in follower.stale] == (["t"] if CONVERSIONS[charset] else [])
