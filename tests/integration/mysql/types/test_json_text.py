"""JSON in the binlog becomes, byte for byte, the text that MySQL itself gives for the document."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from cdc.native.unrepresentable import UnrepresentablePolicy
from tests.support.mysql.binlog_file import Recorded, recorded
from tests.support.mysql.fields import (
    PARTIAL_UPDATE,
    feed_inserts,
    feed_partial_updates,
    field_modules,
    int_plan,
    json_plan,
)
from tests.support.mysql.json_documents import fixed_documents, random_documents, random_update
from tests.support.mysql.server import MysqlDatabase
from tests.support.plain_arrow import plain

# Some ten thousand values in all kinds of nesting.
RANDOM_DOCUMENTS = 800
UPDATED_DOCUMENTS = 30
RANDOM_UPDATES = 250
SEED = 20_250_101
DOCUMENTS = {"fixed": fixed_documents(), "random": random_documents(RANDOM_DOCUMENTS, SEED)}
TABLE = "create table t (id int auto_increment primary key, v json)"
# Documents that no text can make: values of types that JSON does not have.
EXPRESSIONS = (
    "cast(1.50 as decimal(65,30))",
    "cast(-0.05 as decimal(5,2))",
    "cast(0 as decimal(5,2))",
    "cast(-99999999999999999999999999999999999999999999999999999999999999999 as decimal(65,0))",
    "cast('-838:59:59' as time(6))",
    "cast('-00:00:00.01' as time(2))",
    "cast('-01:02:03.000001' as time(6))",
    "cast('12:00' as time)",
    "cast('2020-02-29 01:02:03.4' as datetime(3))",
    "cast('9999-12-31' as date)",
    "cast('0001-01-01 00:00:00' as datetime)",
    "timestamp'2020-01-01 00:00:00'",
    "cast(x'00ff22' as binary)",
    "x''",
    *(f"cast(repeat('a', {count}) as binary)" for count in (1, 56, 57, 58, 114, 115, 1000)),
    "b'101'",
    "cast(2020 as year)",
    "1e0 + 0.5",
    "1.0e0",
    "true",
    "'\\0\\Z'",
)
UPDATES = (
    "json_set(v, '$.a', 5)",
    "json_set(v, '$.a', 'a much longer text than there was before', '$.b', json_array(1, 2))",
    "json_replace(v, '$.a', json_object('new', cast(1.25 as decimal(5,2))), '$.l[1]', 'x')",
    "json_set(v, '$.l[0]', null, '$.\"k x\"', 1.5)",
    "json_set(v, '$.l[99]', 'at the end', '$.l[99]', 'and again')",
    "json_remove(v, '$.b')",
    "json_remove(v, '$.l[0]', '$.\"k x\"')",
    r"""json_set(v, '$."q\\"u\\\\o\\nte"', 1, '$."é😀"', 2, '$._x9', 3, '$."9x"', 4, '$.""', 5)""",
    r"""json_remove(v, '$."q\\"u\\\\o\\nte"', '$.""')""",
    "json_set(v, '$.a', json_object(), '$.c.d.e', 1)",
    "json_set(v, '$.l[last]', 'last', '$.l[last-1]', 'before')",
    "json_replace(v, '$.n.deep[0].x', true, '$.n.deep[1]', cast('10:11:12' as time))",
    "json_set(v, '$.s[0]', 7)",
    "json_array(v)",
    "json_set(v, '$[0].a', 1)",
    "json_set(v, '$[1]', 2)",
    "json_remove(v, '$[0]')",
)
START = (
    '{"a": 1, "b": "some text", "l": [1, "two", {"three": 3}], "n": {"deep": [{"x": false}, 1]}, "s": 1}',
    '{"a": {"b": 1}, "l": [], "zz": "%s"}' % ("z" * 70_000),
    "{}",
    '{"l": [[1, 2], [3]], "n": {"deep": []}}',
)


@pytest.fixture
def table(mysql9_database: MysqlDatabase) -> MysqlDatabase:
    mysql9_database.execute(TABLE)
    return mysql9_database


def insert(database: MysqlDatabase, documents: Sequence[str]) -> None:
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.executemany("insert into t (v) values (%s)", [(document,) for document in documents])


def texts(database: MysqlDatabase) -> list[str]:
    return [row[0] for row in database.query("select cast(v as char) from t order by id")]


@pytest.mark.parametrize("documents", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_json_is_rendered_as_the_server_does(table: MysqlDatabase, documents: list[str]) -> None:
    with recorded(table.server) as log:
        insert(table, documents)
    expected = texts(table)
    for module in field_modules():
        fields = [module.make_field(p, UnrepresentablePolicy("error")) for p in (int_plan(), json_plan())]
        feed_inserts(log.events(), fields)
        assert plain(fields[1].finish()) == expected


def test_values_of_types_that_json_lacks_are_rendered_as_the_server_does(table: MysqlDatabase) -> None:
    with recorded(table.server) as log, table.connect() as connection, connection.cursor() as cursor:
        for expression in EXPRESSIONS:
            cursor.execute(
                f"insert into t (v) values (json_array({expression})), (json_object('k', {expression}))"
            )
    expected = texts(table)
    for module in field_modules():
        fields = [module.make_field(p, UnrepresentablePolicy("error")) for p in (int_plan(), json_plan())]
        feed_inserts(log.events(), fields)
        assert plain(fields[1].finish()) == expected


class Updates:
    """Partial updates of the table, with the server's text before and after each."""

    def __init__(self, database: MysqlDatabase) -> None:
        self._database = database
        self.texts: list[tuple[str, str]] = []

    def run(self, choose: Callable[[str], tuple[str, list[str]]], rows: Iterable[int]) -> Recorded:
        with (
            recorded(self._database.server) as log,
            self._database.connect() as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("set binlog_row_value_options = partial_json")
            for row in rows:
                before = self._text(cursor, row)
                expression, parameters = choose(before)
                cursor.execute(f"update t set v = {expression} where id = {row}", parameters)
                if cursor.rowcount:
                    self.texts.append((before, self._text(cursor, row)))
        return log

    def _text(self, cursor: Any, row: int) -> str:
        cursor.execute(f"select cast(v as char) from t where id = {row}")
        return str(cursor.fetchone()[0])

    def check(self, log: Recorded) -> None:
        events = log.events()
        assert PARTIAL_UPDATE in {kind for kind, _ in events}
        for module in field_modules():
            before, after = (module.make_field(json_plan(), UnrepresentablePolicy("error")) for _ in range(2))
            feed_partial_updates(events, before, after)
            assert list(zip(plain(before.finish()), plain(after.finish()), strict=True)) == self.texts


def test_every_partial_update_gives_the_document_that_the_server_has(table: MysqlDatabase) -> None:
    insert(table, START)
    updates = Updates(table)
    chosen: Iterator[tuple[str, list[str]]] = iter([(update, []) for update in UPDATES for _ in START])
    rows = [row for _ in UPDATES for row in range(1, len(START) + 1)]
    updates.check(updates.run(lambda _: next(chosen), rows))


def test_random_partial_updates_give_the_documents_that_the_server_has(table: MysqlDatabase) -> None:
    chance = random.Random(SEED)
    insert(table, random_documents(UPDATED_DOCUMENTS, SEED))
    updates = Updates(table)
    rows = [chance.randint(1, UPDATED_DOCUMENTS) for _ in range(RANDOM_UPDATES)]
    updates.check(updates.run(lambda before: random_update(chance, json.loads(before)), rows))
