"""A table that matches `tables` and may not be read is named with its grant; the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline
from tests.support.waiting import wait_until


@pytest.mark.halved
def test_a_table_without_select_is_named_with_its_grant_and_holds_up_no_other(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute(
        "create table open_one (id int primary key, v varchar(9))",
        "create table closed (id int primary key, v varchar(9))",
        "insert into closed values (1, 'before')",
        "drop user if exists 'few'@'%'",
        "create user 'few'@'%'",
        "grant replication slave, replication client on *.* to 'few'@'%'",
        f"grant select on {name}.open_one to 'few'@'%'",
        # Tests share the server: once any has used XA on MariaDB, a copy needs this privilege.
        f"grant lock tables on {name}.* to 'few'@'%'",
    )
    url = server.url("", "few")
    pipeline = MysqlPipeline(server, tmp_path, url=url, tables=[f"{name}.*"])
    with pipeline.start() as process:
        pipeline.wait_until_streaming(process, copied=False)
        mysql_database.execute(
            "insert into closed values (2, 'skipped')", "insert into open_one values (1, 'a')"
        )
        process.wait_for_log(f"grant select on {name}.closed to 'few'@'%';")
        wait_until(lambda: pipeline.lake_rows(f"{name}.open_one") >= 1, "the other table to flow")
        mysql_database.execute(
            f"grant select on {name}.closed to 'few'@'%'", "insert into closed values (3, 'c')"
        )
        wait_until(lambda: pipeline.lake_rows(f"{name}.closed") >= 3, "the table to be copied")
        mysql_database.execute("delete from closed where id = 1")
        assert process.terminate() == 0
    pipeline.catch_up()
    server.execute("drop user 'few'@'%'")
    for table in ("open_one", "closed"):
        source = read_source(server, f"{name}.{table}", ("id",))
        assert differences(source, read_mirror(pipeline.mirror, source)) == []


@pytest.mark.halved(other=True)
def test_copied_tables_are_followed_and_named_when_all_lose_select(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    server, name = mysql_database.server, mysql_database.name
    tables = (f"{name}.one", f"{name}.two")
    mysql_database.execute(
        *(f"create table {table} (id int primary key, v varchar(9))" for table in tables),
        "drop user if exists 'few'@'%'",
        "create user 'few'@'%'",
        "grant replication slave, replication client on *.* to 'few'@'%'",
        f"grant lock tables on {name}.* to 'few'@'%'",
        *(f"grant select on {table} to 'few'@'%'" for table in tables),
    )
    pipeline = MysqlPipeline(server, tmp_path, url=server.url("", "few"), tables=[f"{name}.*"])
    with pipeline.start() as process:
        pipeline.wait_until_streaming(process)
        mysql_database.execute(
            *(f"revoke select on {table} from 'few'@'%'" for table in tables),
            *(f"insert into {table} values (1, 'hidden')" for table in tables),
        )
        for table in tables:
            process.wait_for_log(f"grant select on {table} to 'few'@'%';")
        wait_until(lambda: all(pipeline.lake_rows(table) >= 1 for table in tables), "the tables to flow")
        assert process.terminate() == 0
        assert "nothing is captured" not in process.log_text
    server.execute("drop user 'few'@'%'")
    for table in tables:
        source = read_source(server, table, ("id",))
        assert differences(source, read_mirror(pipeline.mirror, source)) == []


@pytest.mark.halved(other=True)
def test_a_column_that_may_no_longer_be_read_is_not_taken_for_a_dropped_one(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute(
        "create table t (id int primary key, v varchar(9), w int)",
        "insert into t values (1, 'before', 1)",
        "drop user if exists 'few'@'%'",
        "create user 'few'@'%'",
        "grant replication slave, replication client on *.* to 'few'@'%'",
        f"grant lock tables on {name}.* to 'few'@'%'",
        f"grant select on {name}.t to 'few'@'%'",
    )
    pipeline = MysqlPipeline(server, tmp_path, url=server.url("", "few"), tables=[f"{name}.*"])
    pipeline.catch_up()
    mysql_database.execute(
        f"revoke select on {name}.t from 'few'@'%'",
        f"grant select (id, v) on {name}.t to 'few'@'%'",
        "insert into t values (2, 'hidden', 2)",
    )
    ended = pipeline.run_once()
    assert f"grant select on {name}.t to 'few'@'%';" in ended.stdout + ended.stderr
    assert "altered without a statement" not in ended.stdout + ended.stderr
    mysql_database.execute(f"grant select on {name}.t to 'few'@'%'")
    pipeline.catch_up()
    server.execute("drop user 'few'@'%'")
    source = read_source(server, f"{name}.t", ("id",))
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
