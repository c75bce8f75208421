"""The main job on MySQL and MariaDB in a few seconds, by the commands that a user types: keys of every kind,
moved, swapped, replaced, and equal to each other in the eyes of the server; runs on both decoders.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline

# Takes case, accents and spaces at the end for nothing.
LOOSE = "character set utf8mb4 collate utf8mb4_general_ci"
KEYS: dict[str, tuple[str, ...]] = {
    "orders": ("id",),
    "names": ("name",),
    "pairs": ("word", "n"),
    "piles": (),
    "child": ("id",),
}
SETUP = (
    "create table orders (id int unsigned primary key, code int, note varchar(20), total decimal(12, 2),"
    " doc json, placed timestamp(3) null, unique (code))",
    f"create table names (name varchar(20) {LOOSE} primary key, n int)",
    f"create table pairs (word varchar(20) {LOOSE}, n int, note text, primary key (word, n))",
    "create table piles (a int, note text)",
    "create table parent (id int primary key)",
    "create table child (id int primary key, p int, foreign key (p) references parent (id))",
    """insert into orders select n, n, concat('order ', n), n / 4, concat('{"n": ', n, '}'),
       '2026-01-01 12:00:00.125'
       from (select a.d * 100 + b.d * 10 + c.d n from {digits} a, {digits} b, {digits} c) numbers""".replace(
        "{digits}", "(select 0 d union select 1 union select 2 union select 3 union select 4 union select 5)"
    ),
    "insert into names values ('Anna', 1), ('bob ', 2), ('Zoé', 3), ('dora', 4), ('', 5)",
    "insert into pairs values ('a', 1, 'x'), ('a', 2, 'y'), ('A ', 3, 'z'), ('b', 1, null)",
    "insert into piles values (1, 'same'), (1, 'same'), (1, 'same'), (2, null), (2, null)",
    "insert into parent values (1), (2)",
    "insert into child values (10, 1), (11, 1), (20, 2)",
)
CHANGES = (
    # The same key to the server, another one to everybody else.
    "update names set name = 'ANNA' where name = 'anna'",
    "replace into names values ('BOB', 20)",
    "insert into names values ('zoe', 30) on duplicate key update n = 31",
    "update names set name = 'Dora  ', n = 40 where name = 'dora'",
    "delete from names where name = ' '",
    "insert into names values (' ', 50)",
    "update pairs set word = 'A' where word = 'a'",
    # Keys that pass through each other.
    "update pairs set n = n + 1 order by n desc",
    "begin",
    "update orders set id = 999999 where id = 1",
    "update orders set id = 1 where id = 2",
    "update orders set id = 2 where id = 999999",
    "update orders set code = null where id = 3",
    "update orders set code = 3 where id = 4",
    "update orders set code = 4 where id = 3",
    "commit",
    "replace into orders (id, code, note) values (7000, 5, 'replaces 5')",
    "insert into orders (id, code) values (10, 11) on duplicate key update id = id + 5000, note = 'moved'",
    "delete from orders where id = 12",
    "insert into orders (id, code) values (12, 12)",
    "update orders set total = -total, doc = json_object('t', total) where id % 3 = 0",
    # Rows that can't be told apart.
    "delete from piles where a = 1 limit 1",
    "update piles set note = 'one of two' where a = 2 limit 1",
    "insert into piles values (1, 'same'), (null, null)",
    "delete from child where id = 20",
    "alter table orders add column paid int default 7 after note",
    "insert into orders (id, code) values (9000, 9000)",
)


@pytest.mark.every_server
def test_copy_then_changes_of_mysql_arrive_in_mirror_and_lake(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute("set sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", *SETUP)
    pipeline = MysqlPipeline(server, tmp_path, url=mysql_database.url, tables=[f"{name}.*"])
    pipeline.catch_up()
    mysql_database.execute(*CHANGES)
    pipeline.catch_up()
    for table, key in KEYS.items():
        source = read_source(server, f"{name}.{table}", key)
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
        assert differences(source, held) == []
