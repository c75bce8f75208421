"""What the stream says of tables whose shape changes, and of rewrites, which make no row event."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cdc.model import TableSchema
from cdc_source_postgres.limits import Limits
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.follower import Follower
from tests.support.postgres.server import Database


def shapes(follower: Follower, table: str = "public.t") -> list[TableSchema]:
    """The schemas of the batches up to now, without repeats."""
    follower.catch_up()
    found: list[TableSchema] = []
    for changes in follower.sets:
        for batch in changes.batches:
            if str(batch.table) == table and (not found or found[-1] != batch.schema):
                found.append(batch.schema)
    follower.sets = []
    return found


def names(schema: TableSchema) -> Sequence[str]:
    return [column.name for column in schema.columns]


def test_an_added_column_comes_with_the_value_that_older_rows_have(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)", "insert into t values (1)")
    follower = follow(database)
    database.execute(
        "insert into t values (2)",
        """alter table t add n numeric(6,2) default 1.50, add plain int,
             add note text default 'it''s "a", b'""",
        "alter table t alter n set default 9",
        "insert into t values (3)",
    )
    before, after = shapes(follower)
    assert names(before) == ["id"]
    assert {c.name: c.fill.as_py() if c.fill is not None else None for c in after.columns} == {
        "id": None,
        "n": database.value("select n from t where id = 1"),
        "note": 'it\'s "a", b',
        "plain": None,
    }
    assert after.column("n").fill.type == after.column("n").type  # type: ignore[union-attr]


def test_several_alterations_in_one_transaction_take_effect_where_they_stand(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, a int)")
    follower = follow(database)
    with database.connect(autocommit=False) as connection:
        for statement in (
            "insert into t values (1, 1)",
            "alter table t add b int",
            "insert into t values (2, 2, 2)",
            "alter table t drop a",
            "insert into t values (3, 3)",
        ):
            connection.execute(statement)
    follower.catch_up()
    assert [(row["id"], row.get("a"), row.get("b")) for row in follower.taken()] == [
        (1, 1, None),
        (2, 2, 2),
        (3, None, 3),
    ]


def test_a_renamed_column_keeps_its_number(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key, a int, b int)")
    follower = follow(database)
    database.execute("insert into t values (1, 1, 1)")
    follower.catch_up()
    database.execute("alter table t rename a to z", "insert into t values (2, 2, 2)")
    before, after = shapes(follower)
    assert [(c.name, c.id) for c in before.columns] == [("id", 1), ("a", 2), ("b", 3)]
    assert [(c.name, c.id) for c in after.columns] == [("id", 1), ("z", 2), ("b", 3)]


def test_a_rename_that_is_decoded_later_still_shows_as_one(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, a int, b text)")
    follower = follow(database)
    follower.copy()
    database.execute(
        "insert into t values (1, 1, 'x')",
        "alter table t rename a to z",
        "alter table t rename b to y",
        "insert into t values (2, 2, 'y')",
    )
    before, *_, after = shapes(follower)
    assert [(c.name, c.id) for c in before.columns] == [("id", 1), ("a", 2), ("b", 3)]
    assert [(c.name, c.id) for c in after.columns] == [("id", 1), ("z", 2), ("y", 3)]


def test_columns_whose_names_changed_places_are_told_apart_by_their_numbers(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, a int, b int)")
    follower = follow(database)
    follower.copy()
    database.execute(
        "insert into t values (1, 10, 20)",
        "alter table t rename a to x",
        "alter table t rename b to a",
        "alter table t rename x to b",
        "insert into t values (2, 10, 20)",
    )
    before, *_, after = shapes(follower)
    assert [(c.name, c.id) for c in before.columns] == [("id", 1), ("a", 2), ("b", 3)]
    assert [(c.name, c.id) for c in after.columns] == [("id", 1), ("b", 2), ("a", 3)]


def test_a_renamed_table_keeps_its_relation_and_a_new_one_of_the_old_name_does_not(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    database.execute("insert into t values (1)")
    (old,) = shapes(follower)
    database.execute("alter table t rename to u", "insert into u values (2)")
    (renamed,) = shapes(follower, "public.u")
    database.execute("create table t (id int primary key)")
    follower.source.follow(follower.source.discover())
    database.execute("insert into t values (3)")
    (new,) = shapes(follower)
    assert old.relation == renamed.relation
    assert new.relation != old.relation


def test_changes_of_a_table_and_a_type_that_are_gone_are_still_decoded(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute(
        "create type mood as enum ('ok')",
        "create type pair as (a int, b int)",
        "create table t (id int primary key, m mood, c pair)",
    )
    follower = follow(database)
    follower.restart()  # It knows nothing of the types.
    database.execute(
        "insert into t values (1, 'ok', (1, 2))", "drop table t", "drop type mood", "drop type pair"
    )
    (row,) = follower.rows()
    assert (row["id"], row["m"], row["c"]) == (1, "ok", "(1,2)")


@pytest.mark.parametrize(
    "statement",
    [
        "alter table t alter n type bigint",
        "alter table t alter n type int using n + 1",
        "alter table t add r uuid default gen_random_uuid()",
        "alter table t add s serial",
    ],
)
def test_a_rewrite_asks_for_the_table_again(
    database: Database, follow: FollowerFactory, statement: str
) -> None:
    database.execute("create table t (id int primary key, n int)", "insert into t values (1, 1)")
    follower = follow(database)
    follower.copy()
    follower.rows()
    database.execute(statement, "insert into t (id, n) values (2, 2)")
    follower.rows()
    assert [str(stale.table) for stale in follower.stale] == ["public.t"]
    assert follower.stale[0].reason.startswith(("ALTER TABLE rewrote", "the type of a column"))


@pytest.mark.parametrize(
    "statement",
    [
        "truncate t",
        "vacuum full t",
        "alter table t add x int default 3",
        "alter table t drop n",
        "alter table t alter n set default 4",
        "alter table t alter note type varchar(200)",
    ],
)
def test_what_leaves_the_rows_as_they_were_told_asks_for_nothing(
    database: Database, follow: FollowerFactory, statement: str
) -> None:
    database.execute(
        "create table t (id int primary key, n int, note varchar(100))", "insert into t values (1, 1)"
    )
    follower = follow(database)
    follower.copy()
    follower.rows()
    database.execute(statement, "insert into t (id) values (2)")
    follower.rows()
    assert follower.stale == []


def test_a_rewrite_without_any_later_change_is_noticed(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key, n int)", "insert into t values (1, 1)")
    follower = follow(database, limits=Limits(look_seconds=0.05))
    follower.copy()
    follower.rows()
    database.execute("alter table t alter n type bigint")
    while not follower.stale:
        follower.step()
    assert str(follower.stale[0].table) == "public.t"


def test_a_rewrite_while_nobody_looked_is_noticed_at_the_next_start(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, n int)", "insert into t values (1, 1)")
    follower = follow(database)
    follower.copy()
    follower.rows()
    follower.close()
    database.execute("alter table t alter n type bigint")
    follower.restart().rows()
    assert [str(stale.table) for stale in follower.stale] == ["public.t"]
    follower.restart().rows()
    assert len(follower.stale) == 1


def test_a_rewrite_that_was_told_but_not_logged_is_told_again(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, n int)", "insert into t values (1, 1)")
    follower = follow(database)
    follower.copy()
    follower.rows()
    database.execute("alter table t alter n type bigint", "insert into t values (2, 2)")
    told = next(changes for changes in follower.stream() if changes is not None and changes.resnapshot)
    assert told.resnapshot
    follower.restart().rows()
    assert [str(stale.table) for stale in follower.stale] == ["public.t"]


def test_the_stream_starts_again_in_text_for_a_type_that_has_no_binary_form_we_read(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    database.execute("insert into t values (1)")
    follower.catch_up()
    database.execute("create extension cube", "alter table t add c cube", "insert into t values (2, '(1,2)')")
    assert [(row["id"], row.get("c")) for row in follower.taken() + follower.rows()] == [
        (1, None),
        (2, "(1, 2)"),
    ]
    assert [fields["binary"] for event, fields in follower.events if event == "streaming"][-1] is False
    _, copied = follower.copy()
    assert {row["id"]: row["c"] for row in copied} == {1: None, 2: "(1, 2)"}
