from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc.errors import StateError
from cdc.model import TableId
from cdc_source_mysql.schema import column_types as types
from cdc_source_mysql.schema.charsets import Collation
from cdc_source_mysql.schema.ddl.changes import Default
from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.ddl.tokens import SessionSettings
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition
from cdc_source_mysql.schema.history.history import MOST_OTHERS, Applied, History
from cdc_source_mysql.schema.table_map import TableMap

T = TableId("db", "t")
UTF8 = Collation(255, "utf8mb4_0900_ai_ci", "utf8mb4", 4)
LATIN = Collation(8, "latin1_swedish_ci", "latin1", 1)
COLLATIONS = {255: UTF8, 8: LATIN}
ID = ColumnDefinition("id", "int", nullable=False)
V = ColumnDefinition("v", "varchar(10)", "utf8mb4", UTF8.name)
DEFINITION = TableDefinition(T, (ID, V), ("id",), "InnoDB")


def _history(*definitions: TableDefinition, **options: Any) -> History:
    options = {"flavour": "mysql", "collations": COLLATIONS} | options
    history = History(lambda table: not table.name.startswith("_"), **options)
    history.begin(definitions)
    return history


def _run(history: History, sql: str, **options: Any) -> Applied:
    return history.apply(classify(sql, "db", 1 << 21, **options), where="binlog.000001:4")


def _event(*columns: ColumnDefinition, full: bool = True, told: bool = True, **changes: Any) -> TableMap:
    """The TABLE_MAP event of a table with these columns."""
    forms = [types.event_forms(column)[0] for column in columns]
    numbers = {collation.charset: number for number, collation in COLLATIONS.items()}
    event = TableMap(
        table_id=1,
        table=T,
        flags=0,
        types=tuple(code for code, _ in forms),
        metas=tuple(meta for _, meta in forms),
        nullable=tuple(column.nullable for column in columns),
        unsigned=tuple("unsigned" in column.column_type for column in columns) if told else None,
        collation_ids=tuple(numbers.get(column.charset or "", 0) for column in columns) if told else None,
        names=tuple(column.name for column in columns) if full else None,
        labels=tuple(() for _ in columns) if full else None,
        key=(0,) if full else None,
    )
    return replace(event, **changes)


def test_a_known_table_is_resolved_without_any_news() -> None:
    history = _history(DEFINITION)
    for full, told in ((True, True), (False, True), (False, False)):
        resolved = history.resolve(_event(ID, V, full=full, told=told))
        assert resolved.definition == DEFINITION
        assert (resolved.memory, resolved.resnapshots) == ({}, ())


def test_full_metadata_wins_over_a_shape_that_no_statement_told() -> None:
    history = _history(DEFINITION)
    wide = ColumnDefinition("w", "bigint")
    resolved = history.resolve(_event(ID, V, wide))
    assert resolved.definition is not None
    assert resolved.definition.names == ("id", "v", "w")
    assert [r.table for r in resolved.resnapshots] == [T]
    assert list(resolved.memory) == ["table:db.t"]
    assert history.resolve(_event(ID, V, wide)).resnapshots == ()


def test_without_metadata_a_contradiction_asks_for_a_reread_and_a_copy() -> None:
    history = _history(DEFINITION)
    wide = ColumnDefinition("w", "bigint")
    resolved = history.resolve(_event(ID, V, wide, full=False))
    assert resolved.definition is None
    assert "3 columns" in resolved.reason
    history.learn(replace(DEFINITION, columns=(ID, V, wide)))
    again = history.resolve(_event(ID, V, wide, full=False))
    assert again.definition is not None
    assert [r.table for r in again.resnapshots] == [T]


def test_a_table_that_nothing_told_of_is_read_and_copied() -> None:
    history = _history()
    assert history.resolve(_event(ID, V, full=False)).definition is None
    history.learn(DEFINITION)
    resolved = history.resolve(_event(ID, V, full=False))
    assert resolved.definition == DEFINITION
    assert [r.table for r in resolved.resnapshots] == [T]


def test_a_column_in_the_default_character_set_takes_it_from_the_event() -> None:
    history = _history(DEFINITION)
    _run(history, "alter table t add w varchar(5)")
    assert history.definition(T) is None
    latin = ColumnDefinition("w", "varchar(5)", "latin1", LATIN.name, default=Default("null"))
    resolved = history.resolve(_event(ID, V, latin, full=False))
    assert resolved.definition == replace(DEFINITION, columns=(ID, V, latin))
    assert resolved.resnapshots == ()


def test_a_column_in_the_default_character_set_is_read_again_where_no_event_tells_it() -> None:
    history = _history(DEFINITION)
    _run(history, "alter table t add w varchar(5)")
    latin = ColumnDefinition("w", "varchar(5)", "latin1", LATIN.name)
    assert history.resolve(_event(ID, V, latin, full=False, told=False)).definition is None


def test_a_known_table_collation_spares_the_reread() -> None:
    history = _history()
    history.begin([replace(DEFINITION, default_collation=LATIN.name)])
    _run(history, "alter table t add w varchar(5)")
    definition = history.definition(T)
    assert definition is not None
    assert definition.column("w").charset == "latin1"


def test_a_gh_ost_swap_copies_the_table_again_with_the_new_shape() -> None:
    history = _history(DEFINITION)
    _run(history, "create table `_t_gho` like `t`")
    _run(history, "alter table `_t_gho` add w bigint")
    applied = _run(history, "rename table t to `_t_del`, `_t_gho` to t")
    assert [r.table for r in applied.resnapshots] == [T]
    wide = ColumnDefinition("w", "bigint")
    for full in (True, False):
        resolved = history.resolve(_event(ID, V, wide, full=full))
        assert resolved.definition is not None
        assert resolved.definition.names == ("id", "v", "w")
        assert resolved.resnapshots == ()
    assert list(history.definitions()) == [T]


def test_a_table_beside_is_kept_across_a_restart_until_it_is_dropped() -> None:
    history = _history(DEFINITION)
    memory = _run(history, "create table `_t_new` (id int primary key, u uuid)", flavour="mariadb").memory
    again = _history(flavour="mariadb")
    again.restore({key: text for key, text in memory.items() if text})
    _run(again, "rename table `_t_new` to t")
    definition = again.definition(T)
    assert definition is not None
    assert definition.column("u").column_type == "uuid"
    assert _run(history, "drop table `_t_new`").memory == {"table:db._t_new": None}


def test_tables_elsewhere_and_of_unknown_shape_are_not_kept() -> None:
    history = _history(DEFINITION)
    assert _run(history, "create table other._t (id int)").memory == {}
    assert _run(history, "create table _t as select * from t").memory == {}
    assert _run(history, "create table if not exists _t like t").memory == {}


def test_of_many_tables_beside_the_last_are_kept() -> None:
    history = _history(DEFINITION)
    for number in range(MOST_OTHERS):
        _run(history, f"create table _t{number} like t")
    assert _run(history, "create table _last like t").memory["table:db._t0"] is None
    assert list(history.definitions()) == [T]
    assert set(history.engines()) == {T}


def test_a_rename_between_selected_names_keeps_the_shape_and_copies() -> None:
    history = _history(DEFINITION)
    applied = _run(history, "rename table t to u")
    moved = TableId("db", "u")
    assert history.definition(moved) == replace(DEFINITION, table=moved)
    assert history.definition(T) is None
    assert applied.memory["table:db.t"] is None
    assert [r.table for r in applied.resnapshots] == [moved]


def test_create_if_not_exists_of_a_known_table_does_nothing() -> None:
    history = _history(DEFINITION)
    assert _run(history, "create table if not exists t (a int)") == Applied()
    assert history.definition(T) == DEFINITION


def test_a_created_table_is_copied_and_known() -> None:
    history = _history()
    applied = _run(history, "create table t (id int primary key, v varchar(10) character set utf8mb4)")
    assert [r.table for r in applied.resnapshots] == [T]
    assert history.definition(T) is not None


def test_dropping_a_database_forgets_its_tables() -> None:
    other = replace(DEFINITION, table=TableId("other", "t"))
    history = _history(DEFINITION, other)
    applied = _run(history, "drop database db")
    assert applied.memory == {"table:db.t": None}
    assert list(history.definitions()) == [other.table]


def test_a_truncate_is_reported_for_selected_tables_only() -> None:
    history = _history(DEFINITION)
    assert _run(history, "truncate t").truncated == (T,)
    assert _run(history, "truncate _t_gho").truncated == ()


def test_statements_on_other_tables_change_nothing() -> None:
    history = _history(DEFINITION)
    for sql in ("alter table _x add a int", "drop table _x"):
        assert _run(history, sql) == Applied()
    applied = _run(history, "insert into _x select * from t")
    assert applied == Applied(statements=applied.statements)
    assert [dml.tables for dml in applied.statements] == [(TableId("db", "_x"),)]


@pytest.mark.parametrize(
    "sql", ["insert into t values (1)", "update t set v = 1", "delete from db.t limit 1"]
)
def test_a_selected_table_that_a_statement_changes_without_rows_is_copied_again(sql: str) -> None:
    history = _history(DEFINITION, replace(DEFINITION, table=TableId("db", "u")))
    (request,) = _run(history, sql).resnapshots
    assert request.table == T
    assert "binlog.000001:4" in request.reason
    assert "binlog_format = row" in request.remedy
    assert history.definition(T) == DEFINITION


def test_an_unknown_statement_copies_the_tables_that_it_names_and_says_so() -> None:
    history = _history(DEFINITION, replace(DEFINITION, table=TableId("db", "u")))
    applied = _run(history, "frobnicate the table `t`")
    assert [r.table for r in applied.resnapshots] == [T]
    assert history.definition(T) is None
    assert "db.t" in applied.notes[0]
    assert history.definition(TableId("db", "u")) is not None


def test_a_clause_that_is_not_understood_copies_the_table_again() -> None:
    history = _history(DEFINITION)
    applied = _run(history, "alter table t add a int, frob (1)")
    assert [r.table for r in applied.resnapshots] == [T]
    assert history.definition(T) is None


def test_names_are_compared_without_case_where_the_server_does() -> None:
    history = _history(DEFINITION, fold=True)
    _run(history, "alter table DB.T add a int")
    definition = history.definition(TableId("Db", "T"))
    assert definition is not None
    assert definition.names == ("id", "v", "a")
    strict = _history(DEFINITION)
    _run(strict, "alter table DB.T add a int")
    assert strict.definition(T) == DEFINITION


def test_a_name_that_was_dropped_and_comes_again_copies_the_table() -> None:
    history = _history(DEFINITION)
    assert _run(history, "alter table t drop v").resnapshots == ()
    assert [r.table for r in _run(history, "alter table t add V int").resnapshots] == [T]


def test_restored_states_are_equal_ones() -> None:
    history = _history(DEFINITION)
    memory: dict[str, str | None] = {}
    for sql in (
        "alter table t add a int default 5, drop v",
        "alter table t add w varchar(5)",
        "create table u like t",
        "create table gone (a int)",
        "drop table gone",
    ):
        memory |= _run(history, sql).memory
    again = _history()
    again.restore({key: text for key, text in memory.items() if text is not None} | {"server": "{}"})
    assert again._states == history._states


def test_memory_that_can_not_be_read_is_refused() -> None:
    with pytest.raises(StateError, match="Copy the tables"):
        _history().restore({"table:db.t": "nonsense"})


def test_hidden_types_of_mariadb_are_kept_through_events() -> None:
    uid = ColumnDefinition("u", "uuid")
    known = replace(DEFINITION, columns=(ID, V, uid))
    history = _history(known, flavour="mariadb")
    shown = ColumnDefinition("u", "binary(16)")
    assert history.resolve(_event(ID, V, shown)).definition == known


def test_a_hidden_type_of_mariadb_that_nothing_told_is_read_again() -> None:
    history = _history(DEFINITION, flavour="mariadb")
    assert history.resolve(_event(ID, V, ColumnDefinition("u", "binary(16)"))).definition is None


def test_a_hidden_type_of_mariadb_is_known_from_a_statement_that_leaves_other_things_open() -> None:
    history = _history(DEFINITION, flavour="mariadb")
    _run(history, "alter table t add u uuid, add w varchar(5)", flavour="mariadb")
    shown = ColumnDefinition("u", "binary(16)")
    latin = ColumnDefinition("w", "varchar(5)", "latin1", LATIN.name)
    resolved = history.resolve(_event(ID, V, shown, latin))
    assert resolved.definition is not None
    assert [column.column_type for column in resolved.definition.columns][2:] == ["uuid", "varchar(5)"]
    assert resolved.resnapshots == ()


def test_a_sequence_of_mariadb_is_no_table() -> None:
    names = [
        "next_not_cached_value",
        "minimum_value",
        "maximum_value",
        "start_value",
        "increment",
        "cache_size",
    ]
    columns = [ColumnDefinition(name, "bigint", nullable=False) for name in names]
    columns.append(ColumnDefinition("cycle_option", "tinyint", nullable=False))
    columns.append(ColumnDefinition("cycle_count", "bigint", nullable=False))
    history = _history(flavour="mariadb")
    for full in (True, False):
        assert not history.is_table(_event(*columns, full=full, told=full))
        assert history.is_table(_event(*columns[:-1], full=full, told=full))
    assert _history(flavour="mysql").is_table(_event(*columns))
    twin = _history(TableDefinition(T, tuple(columns)), flavour="mariadb")
    assert twin.is_table(_event(*columns, full=False, told=False))


def test_a_reread_keeps_the_default_character_set_unless_it_may_have_changed() -> None:
    for sql, charset in (("", "latin1"), (", default charset utf8mb4", None)):
        history = _history()
        history.begin([replace(DEFINITION, default_collation=LATIN.name)])
        _run(history, f"alter table t drop primary key{sql}")
        assert history.definition(T) is None
        history.learn(replace(DEFINITION, key=()))
        _run(history, "alter table t add w varchar(5)")
        definition = history.definition(T)
        assert (definition and definition.column("w").charset) == charset


def test_a_created_table_has_the_default_character_set_of_its_database_at_that_place() -> None:
    history = _history()
    kept = dict(history.begin([], {"db": LATIN.name}))
    for sql, charset in (
        ("create database if not exists db character set utf8mb4", "latin1"),
        ("alter database db character set utf8mb4", "utf8mb4"),
        ("drop database db", None),
        ("create database db character set latin1", "latin1"),
        ("alter database db character set = default", None),
    ):
        kept |= _run(history, sql).memory
        kept |= _run(history, "create table n (id int primary key, v varchar(5))").memory
        restored = _history()
        restored.restore({key: text for key, text in kept.items() if text is not None})
        for found in (history, restored):
            definition = found.definition(TableId("db", "n"))
            assert (definition and definition.column("v").charset) == charset, sql
            kept |= _run(found, "drop table n").memory


@pytest.mark.parametrize(
    ("statements", "moved"),
    [
        (["rename table t to _t"], {"t": "_t"}),
        (["rename table t to x.t"], {}),
        (["rename table t to _t", "rename table _t to _u"], {"t": "_u"}),
        (["rename table t to _t, _t to t"], {}),
        (["rename table t to u", "rename table u to _u"], {"t": "_u", "u": "_u"}),
        (["rename table t to u", "rename table u to t"], {}),
        (["rename table t to _t", "create table t (id int)"], {}),
        (["rename table t to _t", "drop table _t"], {}),
        (["rename table t to _t, u to t"], {}),
        (["alter table t rename to _t", "drop database db"], {}),
    ],
)
def test_a_table_that_was_renamed_out_of_the_selection_is_known_until_it_returns_or_is_dropped(
    statements: list[str], moved: dict[str, str]
) -> None:
    history, memory = _history(DEFINITION), dict[str, str | None]()
    for sql in statements:
        memory |= _run(history, sql).memory
    restored = _history()
    restored.restore({key: text for key, text in memory.items() if text is not None})
    for one in (history, restored):
        assert one.moved() == {TableId("db", old): TableId("db", now) for old, now in moved.items()}


@pytest.mark.parametrize(
    ("definition", "options"),
    [
        ("a varchar(9) default 'é'", {"session": SessionSettings(keeps_literals=False)}),
        ("a enum('é')", {"session": SessionSettings(keeps_literals=False)}),
        ("a varchar(9) default _utf8mb4'é'", {}),
        ("a varchar(9) default N'é'", {}),
        # A text on MariaDB: the number 5, not 53.
        ("a int default x'35'", {"flavour": "mariadb"}),
        ("a int default 1, alter a set default 2", {"flavour": "mariadb"}),
    ],
)
def test_a_default_that_the_server_may_read_otherwise_is_copied(
    definition: str, options: dict[str, Any]
) -> None:
    history = _history(DEFINITION, flavour=options.get("flavour", "mysql"))
    applied = _run(history, f"alter table t add {definition}", **options)
    assert [request.table for request in applied.resnapshots] == [T]
    assert history.fills(T) == {}


@pytest.mark.parametrize(
    ("charset", "label", "is_sure"),
    [
        ("latin1", "é", True),
        ("cp1251", "ж", True),
        ("cp1251", "Ã", False),
        ("ascii", "é", False),
        ("utf8mb3", "日", True),
        ("utf8mb3", "😀", False),
        ("utf8mb4", "😀", True),
        ("sjis", "日", False),
    ],
)
def test_labels_are_sure_where_the_character_set_has_their_characters(
    charset: str, label: str, is_sure: bool
) -> None:
    history = _history(DEFINITION)
    _run(history, f"alter table t add e enum('a','{label}') character set {charset}")
    assert (history.definition(T) is not None) == is_sure


def test_a_text_in_a_table_of_bytes_is_not_taken_for_a_text() -> None:
    history = _history(DEFINITION)
    _run(history, "alter table t default character set binary")
    assert history.definition(T) == DEFINITION
    _run(history, "alter table t add c char(8)")
    assert history.definition(T) is None
