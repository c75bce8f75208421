"""A table whose columns cannot be delivered is skipped, named, copied once mended, and holds up no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline


@pytest.fixture
def pipeline(mysql_database: MysqlDatabase, tmp_path: Path) -> MysqlPipeline:
    mysql_database.execute(
        "create table bad (id int primary key, note varchar(20))",
        "create table good (id int primary key, note varchar(20))",
        "insert into bad values (1, 'old')",
        "insert into good values (1, 'old')",
    )
    tables = [f"{mysql_database.name}.*"]
    return MysqlPipeline(mysql_database.server, tmp_path, url=mysql_database.url, tables=tables)


def run(pipeline: MysqlPipeline, code: int) -> None:
    result = pipeline.run_once()
    assert result.returncode == code, f"{result.stdout}\n{result.stderr}"[-6000:]


def require_refused(pipeline: MysqlPipeline, table: str) -> None:
    (error,) = pipeline.status()["sources"]["shop"]["refused"]
    assert error["table"] == table
    assert f"{table}, column _cdc_flag: the name begins with _cdc_" in error["message"]
    assert "rename column `_cdc_flag` to ...;" in error["remedy"]


def require_equal(database: MysqlDatabase, pipeline: MysqlPipeline) -> None:
    for name in ("bad", "good"):
        source = read_source(database.server, f"{database.name}.{name}", ["id"])
        assert not differences(source, read_mirror(pipeline.mirror, source))


@pytest.mark.parametrize("is_copied", [False, True], ids=["first copy", "stream"])
def test_all_other_tables_flow(
    mysql_database: MysqlDatabase, pipeline: MysqlPipeline, is_copied: bool
) -> None:
    if is_copied:
        run(pipeline, 0)
    mysql_database.execute(
        "alter table bad add column _cdc_flag int",
        "update bad set _cdc_flag = 1",
        "insert into good values (2, 'new')",
    )
    run(pipeline, 1)
    assert pipeline.mirror_rows(f"{mysql_database.name}.good") == 2
    require_refused(pipeline, f"{mysql_database.name}.bad")
    mysql_database.execute("insert into bad values (2, 'more', 2)", "insert into good values (3, 'new')")
    run(pipeline, 1)
    assert pipeline.mirror_rows(f"{mysql_database.name}.good") == 3
    mysql_database.execute(
        "alter table bad rename column _cdc_flag to flag", "insert into bad values (3, 'z', 3)"
    )
    run(pipeline, 0)
    require_equal(mysql_database, pipeline)
