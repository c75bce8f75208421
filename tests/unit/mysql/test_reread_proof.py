from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cdc.model import TableId
from cdc_source_mysql.binlog.lookahead import Proof, Statement, prove
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition

T = TableId("db", "t")
DEFINITION = TableDefinition(T, (ColumnDefinition("id", "int"),))


class Later:
    """The statements between the stream's position and the binlog's end."""

    def __init__(self, *statements: str) -> None:
        self._statements = statements

    def statements(self) -> Iterator[Statement]:
        for at, sql in enumerate(self._statements):
            place = "binlog.000001", 100 + at
            yield Statement(sql.encode(), "db", 0, "utf8mb4", f"binlog.000001:{at}", *place)


@pytest.mark.parametrize(
    "sql",
    [
        "alter table u add a int",
        "alter table other.t add a int",
        "alter table t add index (id)",
        "alter table t alter id set default 5",
        "alter table t engine=InnoDB, comment='x'",
        "alter table t drop partition p0",
        "truncate t",
        "insert into t values (1)",
        "create table if not exists t (a int)",
        "create table u like t",
        "drop database other",
        "frobnicate u",
        "begin",
    ],
)
def test_a_statement_that_leaves_the_shape_proves_the_reread(sql: str) -> None:
    assert prove(T, lambda _: DEFINITION, Later(sql), flavour="mysql").definition == DEFINITION


@pytest.mark.parametrize(
    "sql",
    [
        "alter table t add a int",
        "alter table `db`.`t` drop a",
        "alter table t add unique (id)",
        "drop index x on t",
        "create table t (a int)",
        "drop table u, t",
        "rename table u to t",
        "rename table t to u",
        "alter table u rename to t",
        "drop database db",
        "frobnicate t",
        "alter table t frob",
    ],
)
def test_a_later_statement_on_the_table_refuses_the_reread(sql: str) -> None:
    proof = prove(T, lambda _: DEFINITION, Later("begin", sql, "begin", sql), flavour="mysql")
    assert proof.definition is None
    assert "binlog.000001:1" in proof.obstacle
    assert proof.until == (1, 103)


def test_a_statement_that_the_stream_has_passed_is_no_obstacle() -> None:
    """The CREATE TABLE of an AS SELECT is in the transaction of its rows."""
    later = Later("create table t (a int)", "begin")
    assert prove(T, lambda _: DEFINITION, later, flavour="mysql", now=(1, 100)).definition == DEFINITION


def test_the_default_character_set_that_a_later_statement_gives_is_not_the_one_before() -> None:
    known = replace(DEFINITION, default_collation="latin1_swedish_ci")
    later = Later("alter table t default character set latin1")
    found = prove(T, lambda _: known, later, flavour="mysql").definition
    assert found is not None
    assert found.default_collation is None


def test_names_fold_where_the_server_folds_them() -> None:
    later = Later("alter table DB.T add a int")
    assert prove(T, lambda _: DEFINITION, later, flavour="mysql").definition == DEFINITION
    assert prove(T, lambda _: DEFINITION, later, flavour="mysql", fold=True).definition is None


def test_the_catalog_is_read_before_the_binlog() -> None:
    order: list[str] = []

    class Reader(Later):
        def statements(self) -> Iterator[Statement]:
            order.append("binlog")
            return super().statements()

    def read(_table: TableId) -> TableDefinition:
        order.append("catalog")
        return DEFINITION

    prove(T, read, Reader("begin"), flavour="mysql")
    assert order == ["catalog", "binlog"]


def test_a_table_that_is_gone_has_no_definition() -> None:
    assert prove(T, lambda _: None, Later(), flavour="mysql") == Proof(None)
