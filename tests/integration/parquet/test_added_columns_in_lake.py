"""Columns that were added with a default which is gone since: mirror and lake give older rows their value, as
the source does. Nobody who reads the lake asks the source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product, zip_longest
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source as read_mysql
from tests.support.equality.postgres import read_source
from tests.support.equality.tables import SourceTable, differences, read_mirror
from tests.support.migrations.verdict import assert_postgres_equal
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.binaries import majors_under_test
from tests.support.postgres.server import Database

# Tables and what happens to each, a line a step, `;` between statements that the daemon sees at once.
FORGOTTEN = "alter table {t} add c int not null default 7; alter table {t} alter c drop default"
COMMON = f"""
dropped
    {FORGOTTEN}
    insert into {{t}} values (11, 'new', 1)
changed
    alter table {{t}} add c int default 7
    alter table {{t}} alter c set default 8
    insert into {{t}} (id, v) values (11, 'new')
several
    {FORGOTTEN}
    insert into {{t}} values (11, 'new', 1)
    alter table {{t}} add d varchar(9) default 'it''s'
    alter table {{t}} alter d drop default
    insert into {{t}} values (12, 'new', 2, 'x')
    alter table {{t}} add e int
    insert into {{t}} values (13, 'new', 3, null, 4)
added_again
    {FORGOTTEN}
    insert into {{t}} values (11, 'new', 1)
    alter table {{t}} drop column c
    insert into {{t}} values (12, 'new')
    alter table {{t}} add c int not null default 9; alter table {{t}} alter c drop default
    insert into {{t}} values (13, 'new', 1)
renamed
    {FORGOTTEN}
    insert into {{t}} values (11, 'new', 1)
    alter table {{t}} rename column c to z
    insert into {{t}} values (12, 'new', 2)
renamed_before_a_row
    {FORGOTTEN}
    alter table {{t}} rename column c to z
    insert into {{t}} values (12, 'new', 2)
older_rows_changed
    {FORGOTTEN}
    update {{t}} set v = 'changed' where id = 1
    delete from {{t}} where id = 2
    update {{t}} set id = 22 where id = 3
    insert into {{t}} values (2, 'new', 1)
without_key
    {FORGOTTEN}
    update {{t}} set v = 'changed' where id = 1
    delete from {{t}} where id = 2
    insert into {{t}} values (2, 'new', 1)
other_changes_before_a_row
    {FORGOTTEN}
    alter table {{t}} add x int
    alter table {{t}} drop column x
    insert into {{t}} values (11, 'new', 1)
"""
PARTITIONED = "partitioned"
POSTGRES = f"""
longer
    alter table {{t}} add c varchar(2) default 'ab'; alter table {{t}} alter c drop default
    alter table {{t}} alter c type varchar(20)
    insert into {{t}} values (11, 'new', 'abcdef')
wider
    {FORGOTTEN}
    alter table {{t}} alter c type bigint
    insert into {{t}} values (11, 'new', 1)
wider_behind_a_row
    {FORGOTTEN}
    insert into {{t}} values (11, 'new', 1)
    alter table {{t}} alter c type bigint
    insert into {{t}} values (12, 'new', 1)
vacuumed
    {FORGOTTEN}
    vacuum full {{t}}
    insert into {{t}} values (11, 'new', 1)
vacuumed_behind_a_row
    {FORGOTTEN}
    insert into {{t}} values (11, 'new', 1)
    vacuum full {{t}}
    alter table {{t}} add d int
    insert into {{t}} values (12, 'new', 1, 2)
{PARTITIONED}
    {FORGOTTEN}
    insert into {{t}} values (11, 'new', 1)
    update {{t}} set v = 'changed' where id = 1
computed
    alter table {{t}} add c int not null default (random() * 100)::int; alter table {{t}} alter c drop default
    insert into {{t}} values (11, 'new', 1)
"""
POSTGRES_TYPES = r"""
    boolean default true
    smallint default -7
    bigint default 9223372036854775807
    real default 0.1
    double precision default 'nan'
    numeric(12, 2) default -1.50
    numeric(60, 3) default 12345678901234567890.125
    numeric default 1.500
    text default 'it''s "ü" {x}'
    varchar(9) default ''
    char(4) default 'ab'
    bytea default '\x00ff27'
    date default '2024-02-29'
    date default '12024-02-29'
    timestamp default '1700-01-01 01:02:03.456789'
    timestamptz default '2024-02-29 10:11:12+02'
    timestamptz default '294246-01-01 00:00:00+00'
    time default '23:59:59.999999'
    interval default '1 day 2 hours'
    uuid default '01234567-89ab-cdef-0123-456789abcdef'
    json default '{"a": [1, null], "b":  "\u00fc"}'
    jsonb default '{"a": 1}'
    int[] default '{1,null,3}'
    text[] default '{a,"b,c",null,"null"}'
    numeric(5,2)[] default '{1.50}'
    bytea[] default '{"\\x00ff"}'
    timestamptz[] default '{2024-02-29 10:11:12+02}'
    uuid[] default '{01234567-89ab-cdef-0123-456789abcdef}'
    boolean[] default '{t,f}'
    inet default '10.0.0.1'
    oid default 4294967295
    money default 12.34
"""
MYSQL = f"""
longer
    alter table {{t}} add c varchar(2) default 'ab'; alter table {{t}} alter c drop default
    alter table {{t}} modify c varchar(20)
    insert into {{t}} values (11, 'new', 'abcdef')
wider
    {FORGOTTEN}
    alter table {{t}} modify c bigint
    insert into {{t}} values (11, 'new', 1)
implicit
    alter table {{t}} add c int not null
    insert into {{t}} values (11, 'new', 1)
first
    alter table {{t}} add c int not null default 7 first; alter table {{t}} alter c drop default
    insert into {{t}} values (1, 11, 'new')
rebuilt
    {FORGOTTEN}
    alter table {{t}} engine = innodb
    insert into {{t}} values (11, 'new', 1)
computed
    alter table {{t}} add c varchar(40) default (concat('k', id)); alter table {{t}} alter c drop default
    insert into {{t}} values (11, 'new', 'x')
"""
MYSQL_TYPES = """
    tinyint(1) default true
    bigint unsigned default 18446744073709551615
    bit default b'1'
    bit(12) default b'101'
    decimal(10,2) default 1.5
    decimal(60,3) default 12345678901234567890.125
    double default 3
    year default 2024
    date default '2024-02-29'
    datetime(3) default '2024-02-29 10:11:12.345'
    time default '-12:34:56'
    varchar(20) character set utf8mb4 default 'ä€😀'
    varchar(9) default ''
    char(5) default 'ab  '
    enum('a','b') not null
    set('x','y') default 'x,y'
    binary(4) default 'ab'
    varbinary(4) default x'00ff'
"""
# The one without a key.
KEYLESS = "without_key"


def stories(text: str, types: str) -> dict[str, list[str]]:
    """Each table's steps. One table gets a column of every type, and forgets all defaults behind a row."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.strip().splitlines():
        if line.startswith(" "):
            found[name].append(line.strip())
        else:
            name = line
            found[name] = []
    named = [(f"c{i}", kind.strip()) for i, kind in enumerate(types.strip().splitlines())]
    added = ", ".join(f"add {column} {kind}" for column, kind in named)
    gone = ", ".join(f"alter {column} drop default" for column, _ in named)
    found["types"] = [
        "alter table {t} " + added.replace("{", "{{").replace("}", "}}"),
        "insert into {t} (id, v) values (11, 'new')",
        "alter table {t} " + gone,
        "update {t} set v = 'changed' where id = 11",
    ]
    return found


def created(tables: Iterable[str], schema: str) -> list[str]:
    """The tables with some rows."""
    statements = []
    for name in tables:
        key = "not null" if name == KEYLESS else "primary key"
        parted = " partition by range (id)" if name == PARTITIONED else ""
        statements.append(f"create table {schema}.{name} (id int {key}, v varchar(20)){parted}")
        if parted:
            for first, end in ((0, 4), (4, 100)):
                bounds = f"partition of {schema}.{name} for values from ({first}) to ({end})"
                statements.append(f"create table {schema}.{name}_{first} {bounds}")
        rows = ", ".join(f"({i}, 'v{i}')" for i in range(1, 6))
        statements.append(f"insert into {schema}.{name} values {rows}")
    return statements


def rounds(found: Mapping[str, Sequence[str]], schema: str) -> list[list[str]]:
    """The first step of every table, then the second of every table, …"""
    made: list[list[str]] = []
    for step in zip_longest(*found.values(), fillvalue=""):
        steps = zip(found, step, strict=True)
        made.append(
            [one.format(t=f"{schema}.{name}") for name, told in steps for one in told.split("; ") if one]
        )
    return made


Execute = Callable[..., None]


def live_through(
    pipeline: Pipeline, execute: Execute, before: Sequence[str], steps: Sequence[Sequence[str]], way: str
) -> None:
    """Copy the tables, then run the steps: beside the daemon, between its runs, or while it is stopped."""
    execute(*before)
    if way == "running":
        with pipeline.start() as process:
            pipeline.wait_until_streaming(process)
            for step in steps:
                execute(*step)
            assert process.terminate() == 0
    else:
        pipeline.catch_up()
        for step in steps:
            execute(*step)
            if way == "between":
                pipeline.catch_up()
    pipeline.catch_up()


def require_no_copy(lake: Path, table: str) -> None:
    """The comparison of the table is about its fill: it was read once, before it had the column."""
    files = [pq.ParquetFile(path).read() for path in sorted((lake / table).rglob("*.parquet"))]
    assert {"c" in file.column_names for file in files} == {False, True}
    assert not any("t" in file.column("_cdc_op").to_pylist() for file in files)


# They only get rows, and are never copied again: their changelog is the table.
GROWING = ("dropped", "changed", "several")


def wrong_changelogs(path: Path, sources: Iterable[SourceTable]) -> list[str]:
    """What a changelog in DuckDB, which readers can't hold against files, lacks of tables that only grow."""
    found = []
    with duckdb.connect(str(path), read_only=True) as connection:
        for source in sources:
            rows = connection.sql(f"select * from {source.name}").to_arrow_table()
            values = [column.from_arrow(rows.column(column.name)) for column in source.columns]
            found += differences(source, Counter(zip(*values, strict=True)))
    return [f"changelog: {line}" for line in found]


# Each `ddl` and each version; `make test-all` has all combinations, and runs between the steps.
USUAL = {(18, "watch", "running"), (15, "trigger", "stopped")}
COMBINATIONS = [
    pytest.param(*one, id="-".join(map(str, one)), marks=() if one in USUAL else pytest.mark.slow)
    for one in product(majors_under_test(), ("watch", "trigger"), ("running", "between", "stopped"))
]


@pytest.mark.parametrize(("postgres", "ddl", "way"), COMBINATIONS, indirect=["postgres"])
@pytest.mark.timeout(900)
def test_older_rows_keep_the_default_that_a_postgres_table_forgot(
    database: Database, tmp_path: Path, ddl: str, way: str
) -> None:
    found = stories(COMMON + POSTGRES.lstrip(), POSTGRES_TYPES)
    before = ["create schema app", *created(found, "app"), f"alter table app.{KEYLESS} replica identity full"]
    pipeline = Pipeline(database, tmp_path, source_options={"ddl": ddl})
    changelog = pipeline.add_duckdb("changelog", mode="append")
    live_through(pipeline, database.execute, before, rounds(found, "app"), way)
    assert_postgres_equal(database, ["app"], pipeline.lake, pipeline.mirror, lambda name: False)
    require_no_copy(pipeline.lake, "app.dropped")
    assert wrong_changelogs(changelog, [read_source(database, f"app.{t}", ["id"]) for t in GROWING]) == []


@pytest.mark.halved
@pytest.mark.parametrize("way", ["running", "stopped", pytest.param("between", marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_older_rows_keep_the_default_that_a_mysql_table_forgot(
    mysql_database: MysqlDatabase, tmp_path: Path, way: str
) -> None:
    server, schema = mysql_database.server, mysql_database.name
    server.execute(f"set global binlog_row_metadata = {'minimal' if server.flavour == 'mysql' else 'no_log'}")
    found = stories(COMMON + MYSQL.lstrip(), MYSQL_TYPES)
    pipeline = MysqlPipeline(server, tmp_path, url=mysql_database.url, tables=[f"{schema}.*"])
    changelog = pipeline.add_duckdb("changelog", mode="append")
    live_through(pipeline, mysql_database.execute, created(found, schema), rounds(found, schema), way)
    server.execute("set global binlog_row_metadata = full")
    wrong = []
    for name in found:
        source = read_mysql(server, f"{schema}.{name}", () if name == KEYLESS else ("id",))
        wrong += [f"mirror: {line}" for line in differences(source, read_mirror(pipeline.mirror, source))]
        held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
        wrong += [f"lake: {line}" for line in differences(source, held)]
        wrong += wrong_changelogs(changelog, [source] if name in GROWING else [])
    assert not wrong, "\n".join(wrong)
    require_no_copy(pipeline.lake, f"{schema}.dropped")
