"""Statements logged as text, on tables that are not followed, and what hangs on those."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from cdc.errors import UnknownEvent
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

STATEMENT = "set session binlog_format = statement"
TABLES = (
    "create table t (id int primary key, p int)",
    "create table u (id int primary key, n int)",
    "create table w (id int primary key, n int)",
)


@pytest.fixture
def followed(mysql_database: MysqlDatabase, follow: FollowerFactory) -> MysqlFollower:
    """Of the table t; the server lets functions be made."""
    mysql_database.server.execute("set global log_bin_trust_function_creators = on")
    mysql_database.execute(*TABLES)
    return follow(mysql_database, tables=(f"{mysql_database.name}.t",))


def goes_on(follower: MysqlFollower, database: MysqlDatabase, *statements: str) -> None:
    """The source passes the statements and follows its table behind them."""
    database.execute(STATEMENT, *statements)
    database.execute("insert into t values (99, null)", "delete from t where id = 99")
    assert [row["_cdc_op"] for row in follower.rows()][-2:] == ["c", "d"]


def copies(follower: MysqlFollower, database: MysqlDatabase, statement: str, reason: str) -> None:
    """The followed table is copied again for that reason, and the source goes on."""
    follower.stale = []
    goes_on(follower, database, statement)
    (request,) = follower.stale
    assert str(request.table) == f"{database.name}.t"
    assert re.search(reason, request.reason)
    assert "binlog." in request.reason
    assert "binlog_format = row" in request.remedy


def stops(follower: MysqlFollower, database: MysqlDatabase, statement: str, reason: str) -> UnknownEvent:
    database.execute(STATEMENT, statement)
    with pytest.raises(UnknownEvent, match=reason) as error:
        follower.rows()
    assert "binlog." in error.value.where
    assert "binlog_format = row" in error.value.remedy
    return error.value


REACHING = {
    "trigger": (
        ("create trigger tr after insert on u for each row insert into t values (new.id, 1)",),
        "insert into u values (5, 1)",
        "a trigger of .*u names it",
    ),
    "trigger of a table that a trigger writes": (
        (
            "create trigger tr after insert on u for each row insert into w values (new.id, 1)",
            "create trigger tr2 before insert on w for each row update t set p = 2 where id = new.id",
        ),
        "insert into u values (5, 1)",
        "a trigger of .*w names it",
    ),
    "view": (("create view v as select * from t",), "insert into v values (5, 1)", "the view .*v names it"),
    "function": (
        (
            "create function f() returns int deterministic modifies sql data"
            " begin insert into t values (7, 7); return 1; end",
        ),
        "insert into u select id, f() from w union select 1, f()",
        "the routine .*f names it",
    ),
    "procedure in a trigger": (
        (
            "create procedure p() insert into t values (8, 8)",
            "create trigger tr after delete on u for each row call p",
            "insert into u values (1, 1)",
        ),
        "delete from u",
        "the routine .*p names it",
    ),
    "foreign key": (
        (
            "create table parent (id int primary key)",
            "create table child (id int primary key, foreign key (id) references parent (id)"
            " on delete cascade)",
            "insert into parent values (1)",
            "alter table t add foreign key (p) references child (id) on delete set null",
        ),
        "delete from parent where id = 1",
        "a foreign key takes changes of .*child on to it",
    ),
    "view that a query reads": (
        (
            "create function f() returns int deterministic modifies sql data"
            " begin insert into t values (7, 7); return 1; end",
            "create view v as select f() as n",
        ),
        "insert into u select 1, n from v",
        "the routine .*f names it",
    ),
}


@pytest.mark.parametrize("case", list(REACHING))
def test_a_statement_that_reaches_a_followed_table_has_it_copied_again(
    mysql_database: MysqlDatabase, followed: MysqlFollower, case: str
) -> None:
    before, statement, reason = REACHING[case]
    mysql_database.execute(*before)
    followed.catch_up()
    copies(followed, mysql_database, statement, reason)


def test_what_a_function_changes_while_a_table_is_made_is_copied_again(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute(
        *TABLES,
        "create function f() returns int deterministic modifies sql data"
        " begin insert into t values (7, 7); return 1; end",
    )
    follower = follow(mariadb10_database, tables=(f"{mariadb10_database.name}.t",))
    copies(follower, mariadb10_database, "create table made as select f() as n", "the routine .*f names it")


HARMLESS: Sequence[Sequence[str]] = (
    (
        "replace into u (id, n) select 1, count(*) + coalesce(bit_xor(cast(crc32(concat_ws('#', id, p)) as"
        " unsigned)), 0) as c from t force index (`primary`) where id >= 0 /* chunk */",
        "update u set n = 4 where id = 1",
    ),
    (
        "create table audit (id int)",
        "create trigger tr after insert on u for each row insert into audit values (new.id)",
        "insert into u values (1, 1), (2, 2)",
    ),
    ("create view v as select * from u", "insert into v values (1, 1)", "delete from v where id = 1"),
    (
        "create function f() returns int deterministic return 5",
        "insert into u values (f(), 1)",
        "insert into u(id, n) values (1, 2) on duplicate key update n = values(n) + 1",
    ),
    (
        "create table child (id int primary key, foreign key (id) references u (id) on delete cascade)",
        "insert into u values (1, 1)",
        "delete low_priority quick from u where id = 1",
    ),
    (
        "insert into u values (1, 1)",
        "insert ignore into w select id, n from u where exists (select 1 from t)",
        "update u join w using (id) set u.n = w.n, w.n = 0",
        "delete u from u join t on t.id = u.n",
        "with x as (select 1 as id) delete from w where id in (select id from x)",
    ),
    ("insert into mysql.help_keyword values (99999, 'x')", "delete from mysql.help_keyword where name = 'x'"),
    ("set sql_mode = 'ansi_quotes'", 'insert into "u" ("id", "n") values (1, 1)', "update \"u\" set n = 4"),
)  # fmt: skip


@pytest.mark.every_server
@pytest.mark.parametrize("statements", HARMLESS, ids=[statements[-1][:40] for statements in HARMLESS])
def test_a_statement_that_reaches_no_followed_table_lets_the_stream_go_on(
    mysql_database: MysqlDatabase, followed: MysqlFollower, statements: Sequence[str]
) -> None:
    if mysql_database.server.flavour == "mariadb":
        statements = [statement for statement in statements if not statement.startswith("with")]
    goes_on(followed, mysql_database, *statements)


def test_a_trigger_that_is_made_later_counts_for_the_next_statement(
    mysql_database: MysqlDatabase, followed: MysqlFollower
) -> None:
    goes_on(followed, mysql_database, "insert into u values (1, 1)")
    mysql_database.execute(
        "create trigger tr after insert on u for each row insert into t values (new.id, 1)"
    )
    copies(followed, mysql_database, "insert into u values (2, 1)", "a trigger of")


def test_what_a_trigger_did_that_is_gone_by_now_is_copied_again(
    mysql_database: MysqlDatabase, followed: MysqlFollower
) -> None:
    mysql_database.execute(
        STATEMENT,
        "create trigger tr after insert on u for each row insert into t values (new.id, 1)",
        "insert into u values (1, 1)",
        "drop trigger tr",
    )
    followed.catch_up()
    (request,) = followed.stale
    assert "the catalog shows what came later" in request.reason


def test_a_query_that_calls_a_function_counts_for_what_the_function_changes(
    mysql_database: MysqlDatabase, followed: MysqlFollower
) -> None:
    mysql_database.execute(
        "create function f() returns int deterministic modifies sql data"
        " begin insert into t values (7, 7); return 1; end",
        "create function g() returns int deterministic modifies sql data"
        " begin insert into w values (7, 7); return 1; end",
    )
    goes_on(followed, mysql_database, "do g()")
    assert followed.stale == []
    copies(followed, mysql_database, "do f()", "the routine .*f names it")


def test_what_the_catalog_shows_is_looked_at_once(
    mysql_database: MysqlDatabase, followed: MysqlFollower
) -> None:
    goes_on(followed, mysql_database, "insert into u values (1, 1)")
    general = mysql_database.server
    general.execute("set global log_output = 'table'", "set global general_log = on")
    try:
        goes_on(followed, mysql_database, "insert into u values (2, 1)", "insert into u values (3, 1)")
        looked = "select count(*) from mysql.general_log where argument like '%event_object_schema%'"
        assert general.value(f"{looked} and argument not like '%general_log%'") == 0
    finally:
        general.execute("set global general_log = off", "set global log_output = 'file'")


def test_what_the_account_may_not_see_stops_the_source_with_the_grant_that_helps(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute(*TABLES, "insert into w values (1, 1)")
    user = f"cdc_{name[-8:]}"
    server.execute(
        f"create user {user}@'%' identified by 'Secret_1'",
        f"grant replication slave, replication client on *.* to {user}@'%'",
        f"grant select on {name}.t to {user}@'%'",
    )
    try:
        url = server.url(name, user, "Secret_1")
        follower = follow(mysql_database, url=url, tables=(f"{name}.t",))
        error = stops(follower, mysql_database, "insert into u values (1, 1)", "may not see it")
        assert f"grant select, trigger on {name}.u to '{user}'@'%'" in error.remedy
        server.execute(f"grant select, trigger on {name}.u to {user}@'%'")
        follower.restart()
        goes_on(follower, mysql_database, "insert into u values (2, 1)")
        mysql_database.execute("alter table t add foreign key (p) references w (id) on update cascade")
        error = stops(follower, mysql_database, "insert into u values (3, 1)", "foreign key to .*w, which")
        server.execute(f"grant select on {name}.w to {user}@'%'")
        follower.restart()
        goes_on(follower, mysql_database, "insert into u values (4, 1)")
        server.execute(f"grant select, trigger on {name}.w to {user}@'%'")
        copies(follower, mysql_database, "update w set id = 2 where id = 1", "takes changes of .*w on to it")
    finally:
        server.execute(f"drop user {user}@'%'")
