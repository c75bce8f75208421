"""What an operator meets: the preflight, outages, fences, names, and the number of parts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pyarrow as pa
import pytest

from cdc.errors import SinkFenced, SinkRefused, SinkUnavailable
from cdc.spi import Severity
from cdc.sql.evolve import create
from cdc.sql.stored import StoredColumn, StoredTable
from cdc.testing.events import sink_context, table
from cdc.testing.servers.clickhouse import PASSWORD, ClickHouseServer
from cdc_sink_clickhouse import ClickHouseSink
from cdc_sink_clickhouse.database import connect, translated
from cdc_sink_clickhouse.dialect import ClickHouseDialect
from cdc_sink_clickhouse.options import ClickHouseSinkOptions
from tests.support.clickhouse_sinks import FedClickHouse
from tests.support.fed_sink import SOURCE
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

T = table("app.t", {"id": pa.int32(), "v": pa.string()})
OpenClickHouse = Callable[..., FedClickHouse]


def sink_at(url: str, **options: str) -> ClickHouseSink:
    return ClickHouseSink(ClickHouseSinkOptions(url=url, **options), sink_context("warehouse"))


def test_server_that_is_ready_has_only_good_findings_and_nothing_new(clickhouse: ClickHouseServer) -> None:
    found = sink_at(clickhouse.url()).check()
    assert [finding.severity for finding in found] == [Severity.OK] * len(found)
    codes = {finding.code for finding in found}
    assert codes == {"clickhouse-connection", "clickhouse-version", "clickhouse-grant"}
    assert clickhouse.query("select count() as n from system.databases where name = '_cdc'") == [{"n": 0}]


def test_check_names_a_wrong_password_a_missing_server_and_an_unknown_cluster(
    clickhouse: ClickHouseServer,
) -> None:
    wrong = clickhouse.url().replace(PASSWORD, "wrong-secret")
    (login,) = sink_at(wrong).check()
    assert (login.severity, login.fix) == (Severity.ERROR, "Correct user and password in url.")
    assert "wrong-secret" not in login.message
    (absent,) = sink_at(clickhouse.url(port=1)).check()
    assert "does not answer" in absent.message
    found = sink_at(clickhouse.url(), engine="replicated", cluster="nowhere").check()
    assert [one.message for one in found if one.severity is Severity.ERROR] == [
        "the server knows no cluster nowhere"
    ]


def test_denied_statement_is_told_with_the_privilege_that_it_needs(clickhouse: ClickHouseServer) -> None:
    options = ClickHouseSinkOptions(url=clickhouse.url())
    with (
        pytest.raises(SinkRefused) as refused,
        closing(connect(options)) as connection,
        translated("applying changes of shop", "warehouse"),
    ):
        connection.run("create user other identified with no_password")
    assert refused.value.message == (
        "applying changes of shop: ACCESS_DENIED (code 497): the user lacks CREATE USER on other"
    )
    assert "cdc check" in refused.value.remedy


def test_server_that_was_killed_has_all_of_what_it_had_taken(
    open_clickhouse: OpenClickHouse, clickhouse: ClickHouseServer
) -> None:
    sink = open_clickhouse()
    sink.change(T, ("c", {"id": 1, "v": "a"}), ("c", {"id": 2, "v": "b"}))
    clickhouse.kill9()
    with pytest.raises(SinkUnavailable, match="does not answer"):
        sink.change(T, ("u", {"id": 1, "v": "A"}))
    clickhouse.start()
    sink.change(T, ("u", {"id": 1, "v": "A"}), ("d", {"id": 2}))
    assert sink.rows("app.t", "id, v") == [(1, "A")]


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_connection_that_is_cut_between_any_two_statements_loses_and_doubles_nothing(
    open_clickhouse: OpenClickHouse, clickhouse: ClickHouseServer, mode: str
) -> None:
    with Proxy(clickhouse.port) as proxy:
        sink = open_clickhouse(mode=mode, port=proxy.port)
        for i in range(4):
            sink.change(T, ("c", {"id": i, "v": "a"}))
            proxy.cut()
            try:
                sink.change(T, ("c", {"id": 100 + i, "v": "b"}))
            except SinkUnavailable:
                sink.change(T, ("c", {"id": 100 + i, "v": "b"}))
    final = "" if mode == "append" else " final"
    found = clickhouse.query(f"select id from app.t{final} order by id")
    assert [row["id"] for row in found] == [0, 1, 2, 3, 100, 101, 102, 103]


def test_older_daemon_is_refused_and_what_it_saves_does_not_count(
    open_clickhouse: OpenClickHouse, clickhouse: ClickHouseServer
) -> None:
    older = open_clickhouse(epoch=1)
    older.change(T, ("c", {"id": 1, "v": "a"}))
    connection = older.sink._connection
    connection.begin()
    newer = open_clickhouse(epoch=2)
    newer.next = older.next
    newer.change(T, ("c", {"id": 2, "v": "b"}))
    # The older one was in the middle of a delivery, and ends it.
    connection.own.query('update "cursors" set "offset" = 99, high = 99')
    connection.commit()
    assert newer.sink.committed(SOURCE).next == 2
    with pytest.raises(SinkFenced):
        older.change(T, ("c", {"id": 3, "v": "c"}))
    newer.change(T, ("c", {"id": 3, "v": "c"}))
    assert newer.rows("app.t", "id") == [(1,), (2,), (3,)]


def test_table_of_somebody_else_is_left_alone_and_a_dropped_one_is_created_again(
    open_clickhouse: OpenClickHouse, clickhouse: ClickHouseServer
) -> None:
    clickhouse.query("create database app")
    clickhouse.query("create table app.foreign (x Int32) engine = Memory")
    sink = open_clickhouse()
    sink.change(replace(T, table=replace(T.table, name="foreign")), ("c", {"id": 1, "v": "a"}))
    assert "that this sink did not create" in sink.set_aside[0]
    sink.change(T, ("c", {"id": 1, "v": "a"}))
    clickhouse.query("drop table app.t sync")
    sink.change(T, ("c", {"id": 2, "v": "b"}))
    assert sink.rows("app.t", "id") == [(2,)]


def test_names_of_any_spelling_are_kept(open_clickhouse: OpenClickHouse) -> None:
    sink = open_clickhouse()
    odd = 'sel`ect \\ "x" é\'%s'
    schema = table("app.odd", {"id": pa.int32(), odd: pa.string(), "Id": pa.string()}, relation=5)
    schema = replace(schema, table=replace(schema.table, schema="Grün.x", name=odd))
    long_name = replace(schema, table=replace(schema.table, name="n" * 100), relation=6)
    for one in (schema, long_name):
        sink.change(one, ("c", {"id": 1, odd: "a", "Id": "b"}), ("c", {"id": 2, odd: "c", "Id": "d"}))
        sink.change(one, ("u", {"id": 1, odd: None, "Id": "B"}, None, [odd]), ("d", {"id": 2}))
    assert sink.set_aside == []
    found = sink.server.query("select name from system.tables where database = 'Grün.x' and engine != 'View'")
    names = sorted(row["name"] for row in found)
    assert names[1] == odd
    assert len(names[0].encode()) <= 64
    for name in names:
        quoted = "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "__current`"
        (row,) = sink.server.query(f"select * from `Grün.x`.{quoted}")
        assert (row["id"], row[odd], row["Id"]) == (1, "a", "B")


@pytest.mark.parametrize("mode", ["mirror", "history"])
def test_columns_may_have_the_names_that_statements_use(open_clickhouse: OpenClickHouse, mode: str) -> None:
    sink = open_clickhouse(mode=mode)
    names = ("c0", "c1", "s", "at", "h", "n", "r", "t", "g", "k", "v", "gone", "m1", "b0")
    columns = dict.fromkeys(names, pa.int32())
    one, other = dict.fromkeys(names, 1), dict.fromkeys(names, 2)
    bag = table("app.bag", columns, key=(), identity="full")
    sink.change(bag, ("c", one), ("c", one), ("c", other))
    sink.change(bag, ("d", one), ("u", other | {"n": 3}, other))
    keyed = table("app.keyed", columns, key=("v", "h"))
    sink.change(keyed, ("c", one), ("c", other))
    sink.change(keyed, ("u", one | {"v": 7, "n": None}, {"v": 1, "h": 1}, ["n"]), ("d", {"v": 2, "h": 2}))
    assert sink.set_aside == []
    assert sink.rows("app.bag", "v, n", "_cdc_version = 0") == [(1, 1), (2, 3)]
    alive = "_cdc_version = 0" if mode == "history" else "1"
    assert sink.rows("app.keyed", "v, h, n", alive) == [(7, 1, 1)]


def test_parts_of_a_table_stay_few_under_a_flush_after_another(open_clickhouse: OpenClickHouse) -> None:
    sink = open_clickhouse()
    for i in range(60):
        sink.change(T, ("c", {"id": i, "v": "a"}), ("u", {"id": max(i - 1, 0), "v": "b"}))
    parts = "select count() as n from system.parts where active and database = 'app' and table = 't'"
    wait_until(lambda: sink.server.query(parts)[0]["n"] < 20, "the parts to be merged")
    state = "select count() as n from system.parts where active and database = '_cdc'"
    wait_until(lambda: sink.server.query(state)[0]["n"] < 20, "the parts of the state to be merged")
    assert sink.rows("app.t", "count()") == [(60,)]


def test_value_that_does_not_convert_sets_the_table_aside_before_a_statement_runs(
    open_clickhouse: OpenClickHouse,
) -> None:
    sink = open_clickhouse()
    one = table("app.t", {"id": pa.int32(), "v": pa.string()}, relation=3)
    sink.change(one, ("c", {"id": 1, "v": "no number"}))
    changed = replace(one, columns=(one.columns[0], replace(one.columns[1], type=pa.int64())), version=2)
    sink.change(changed, ("c", {"id": 2, "v": 2}))
    assert "cannot be converted" in sink.set_aside[0]
    assert sink.rows("app.t", "id, v") == [(1, "no number")]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://h/x", "scheme"),
        ("clickhouse://:8123", "no host"),
        ("clickhouse://h:port", "port"),
        ("clickhouse://h/analytics", "names a database"),
        ("clickhouse://h?compress=1", "unknown parameter 'compress'"),
    ],
)
def test_url_that_is_not_understood_is_refused_without_its_text(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ClickHouseSinkOptions(url=url.replace("://", "://user:secret@"))
    assert "secret" not in str(caught.value)


def test_statements_for_a_cluster_of_replicas_are_as_the_server_reads_them(
    clickhouse: ClickHouseServer,
) -> None:
    """No server here has a Keeper: the text is checked, and that the server's parser takes it."""
    options = ClickHouseSinkOptions(url="clickhouse://h", engine="replicated", cluster="main")
    dialect = ClickHouseDialect(options)
    columns = (StoredColumn("id", "Int32", "id", 1, 1), StoredColumn("v", "Nullable(String)", "v", 1, 2))
    at = replace(T.table, schema="app", name="t")
    stored = StoredTable("shop", at, 1, 1, columns, ("id",), "key", 0, 0, "mirror", "hard", at)
    target = dialect.qualified(at)
    assert create(stored, target, dialect) == (
        "create table if not exists `app`.`t` on cluster `main` (`id` Int32, `v` Nullable(String), "
        "`_cdc_seq` Int64, `_cdc_commit_at` Nullable(DateTime64(6, 'UTC')), `_cdc_deleted` Bool) "
        "engine = ReplicatedReplacingMergeTree(_cdc_seq, _cdc_deleted) order by (`id`) "
        "settings allow_nullable_key = 1"
    )
    changelog = create(replace(stored, mode="append"), target, dialect)
    assert changelog.endswith("engine = ReplicatedMergeTree order by _cdc_seq")
    statements = [
        *dialect.create_schema("app"),
        *dialect.views(stored),
        *dialect.drop_views(at),
        *dialect.add_column(target, "n", "Nullable(Int32)", "5"),
        *dialect.change_type(target, "v", "Nullable(Int32)"),
        dialect.drop_column(target, "v"),
        dialect.rename_column(target, "v", "w"),
        dialect.rename_table(at, "u"),
        dialect.drop_table(target),
    ]
    assert [statement for statement in statements if " on cluster `main`" not in statement] == []
    for statement in (*statements, create(stored, target, dialect), changelog):
        assert clickhouse.query(f"explain ast {statement}")
    with pytest.raises(ValueError, match="engine: replicated"):
        ClickHouseSinkOptions(url="clickhouse://h", cluster="main")


@pytest.mark.slow
def test_statements_of_a_wide_table_are_longer_than_a_url_may_be(open_clickhouse: OpenClickHouse) -> None:
    names = [f"a_column_whose_name_is_nearly_as_long_as_names_may_be_{i:04}" for i in range(500)]
    wide = table("app.wide", {"id": pa.int32(), **dict.fromkeys(names, pa.string())})
    sink = open_clickhouse()
    sink.change(wide, ("c", {"id": 1, **dict.fromkeys(names, "a")}))
    sink.change(wide, ("u", {"id": 1, **dict.fromkeys(names, "b")}))
    assert sink.rows("app.wide", f"id, {names[0]}, {names[-1]}") == [(1, "b", "b")]
    assert sink.set_aside == []
