"""What a commit saves of the sink's own tables, and what of it counts for the next process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from cdc import failpoints
from cdc.errors import SinkRefused, SinkUnavailable
from cdc.sql.saved_state import unpacked
from cdc.testing.events import altered, table
from cdc.testing.servers.clickhouse import ClickHouseServer
from tests.support.clickhouse import literal
from tests.support.clickhouse_sinks import FedClickHouse
from tests.support.ended import Ended
from tests.support.fed_sink import SOURCE

OpenClickHouse = Callable[..., FedClickHouse]
COLUMNS = {"id": pa.int32(), "v": pa.string()}
T = table("app.t", COLUMNS, relation=1)
U = table("app.u", COLUMNS, relation=2)
ODD = table("app.odd", {"id": pa.int32(), "n": pa.month_day_nano_interval()}, relation=3)
# As versions are saved: epoch 1, then a counter.
OLD_VERSION = (1 << 64) + 7


def newest(server: ClickHouseServer) -> str:
    """The newest version that is saved."""
    return str(server.query("select toString(max(version)) as v from _cdc.state")[0]["v"])


def saved_since(server: ClickHouseServer, version: str) -> set[str]:
    found = server.query(f"select name from _cdc.state final where version > toUInt128('{version}')")
    return {row["name"] for row in found}


def goes_on(server: ClickHouseServer, sink: FedClickHouse, epoch: int) -> FedClickHouse:
    """The next process, in place of that of `sink`."""
    sink.sink.close()
    again = FedClickHouse(server, epoch=epoch)
    again.next = again.sink.committed(SOURCE).next
    return again


def test_commit_saves_the_entries_of_what_it_changed(
    open_clickhouse: OpenClickHouse, clickhouse: ClickHouseServer
) -> None:
    sink = open_clickhouse()
    many = [table(f"app.t{i}", COLUMNS, relation=10 + i) for i in range(20)]
    sink.alter(*many)
    before = newest(clickhouse)
    sink.change(many[3], ("c", {"id": 1, "v": "a"}))
    assert saved_since(clickhouse, before) == {"cursors"}
    before = newest(clickhouse)
    wider = table("app.t3", COLUMNS | {"n": pa.int32()}, relation=13, version=2)
    sink.change(wider, ("c", {"id": 2, "v": "b", "n": 5}))
    assert saved_since(clickhouse, before) == {'tables ["app","t3"]', "cursors", "definitions"}
    before = newest(clickhouse)
    sink.change(ODD, ("c", {"id": 1, "n": None}))
    assert saved_since(clickhouse, before) == {'set_aside ["app","odd"]', "cursors"}
    sink = goes_on(clickhouse, sink, 2)
    sink.change(wider, ("u", {"id": 1, "v": "A", "n": 1}))
    assert sink.rows("app.t3", "id, v, n") == [(1, "A", 1), (2, "b", 5)]
    assert len(sink.set_aside) == 1
    sink.sink.close()


def test_state_that_an_older_version_saved_whole_is_taken_over(
    open_clickhouse: OpenClickHouse, clickhouse: ClickHouseServer
) -> None:
    sink = open_clickhouse()
    sink.change(T, ("c", {"id": 1, "v": "a"}))
    sink.change(U, ("c", {"id": 1, "v": "a"}))
    sink.change(ODD, ("c", {"id": 1, "n": None}))
    save_whole(clickhouse)
    sink = goes_on(clickhouse, sink, 2)
    sink.change(T, ("u", {"id": 1, "v": "A"}))
    before = newest(clickhouse)
    sink.change(replace(T, table=replace(T.table, name="renamed"), version=2), ("c", {"id": 2, "v": "b"}))
    assert "tables" not in saved_since(clickhouse, before)
    for epoch in (3, 4):
        sink = goes_on(clickhouse, sink, epoch)
        sink.change(U, ("u", {"id": 1, "v": str(epoch)}))
        assert len(sink.set_aside) == 1
    assert sink.rows("app.renamed", "id, v") == [(1, "A"), (2, "b")]
    assert sink.rows("app.u", "id, v") == [(1, "4")]
    assert sorted(str(stored.table) for stored in sink.sink._tables.stored()) == ["app.renamed", "app.u"]
    sink.sink.close()


def test_entries_that_a_fenced_process_saves_do_not_count_even_where_the_newer_one_has_none(
    open_clickhouse: OpenClickHouse, clickhouse: ClickHouseServer
) -> None:
    older = open_clickhouse(epoch=1)
    older.change(T, ("c", {"id": 1, "v": "a"}))
    connection = older.sink._connection
    connection.begin()
    newer = open_clickhouse(epoch=2)
    newer.next = older.next
    connection.own.query("insert into steps values (?, 1, 1, 1)", [SOURCE])
    connection.define("drop table app.t sync")
    with failpoints.watched(ends_when_saved), pytest.raises(Ended):
        connection.commit()
    assert clickhouse.query("select count() as n from _cdc.state where name = 'steps'") == [{"n": 1}]
    newer = goes_on(clickhouse, newer, 3)
    assert newer.sink._connection.own.query("select count(*) from steps") == [(0,)]
    newer.change(T, ("c", {"id": 2, "v": "b"}))
    assert newer.rows("app.t", "id") == [(1,), (2,)]
    newer.sink.close()


def test_save_that_was_lost_and_arrives_late_does_not_count(
    open_clickhouse: OpenClickHouse, clickhouse: ClickHouseServer
) -> None:
    sink = open_clickhouse()
    sink.change(T, ("c", {"id": 1, "v": "a"}))
    late = lose_next(sink.sink._connection.client, "command", "insert into `_cdc`.`state`")
    with pytest.raises(SinkUnavailable):
        sink.apply(altered(U, sink.next))
    sink.change(T, ("c", {"id": 2, "v": "b"}))
    (statement,) = late
    clickhouse.query(statement)
    assert clickhouse.query("select count() as n from _cdc.state where position(name, '\"u\"') > 0") == [
        {"n": 1}
    ]
    sink.change(T, ("c", {"id": 3, "v": "c"}))
    sink = goes_on(clickhouse, sink, 2)
    assert [str(place) for place in sink.places() if place.name == "u"] == []
    assert sink.sink._connection.own.query('select table_name from "tables"') == [("t",)]
    sink.change(U, ("c", {"id": 1, "v": "a"}))
    assert sink.rows("app.u", "id, v") == [(1, "a")]
    assert sink.rows("app.t", "id") == [(1,), (2,), (3,)]
    sink.sink.close()


def test_two_processes_of_one_epoch_notice_each_other(open_clickhouse: OpenClickHouse) -> None:
    one, other = open_clickhouse(epoch=1), open_clickhouse(epoch=1)
    one.change(T, ("c", {"id": 1, "v": "a"}))
    other.next = one.next
    other.change(T, ("c", {"id": 2, "v": "b"}))
    with pytest.raises(SinkRefused, match="the sink is at 2"):
        one.change(T, ("c", {"id": 3, "v": "c"}), ("c", {"id": 4, "v": "d"}))


def test_state_that_could_not_be_loaded_is_not_taken_for_an_empty_one(
    open_clickhouse: OpenClickHouse,
) -> None:
    sink = open_clickhouse()
    sink.change(T, ("c", {"id": 1, "v": "a"}))
    connection = sink.sink._connection
    connection.roll_back()
    lost = lose_next(connection.client, "query", "select source, name, value")
    with pytest.raises(SinkUnavailable):
        sink.change(T, ("c", {"id": 2, "v": "b"}))
    assert len(lost) == 1
    assert sink.sink.committed(SOURCE).next == 1
    sink.change(T, ("c", {"id": 2, "v": "b"}))
    assert sink.rows("app.t", "id") == [(1,), (2,)]


def ends_when_saved(point: str) -> None:
    if point == "target.saved":
        raise Ended


def save_whole(server: ClickHouseServer) -> None:
    """Leave the state as an older version would have: all rows of a source's own table in one text."""
    rows = server.query("select source, name, value from _cdc.state final")
    whole: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        if row["name"] not in ("floor", "definitions"):
            at = row["source"], row["name"].partition(" ")[0]
            whole.setdefault(at, []).extend(json.loads(unpacked(row["value"])))
    assert len(whole[SOURCE, "tables"]) == 2
    server.query("truncate table _cdc.state")
    texts = {at: json.dumps(entries) for at, entries in whole.items()} | {(SOURCE, "definitions"): "{}"}
    values = ", ".join(
        f"({literal(source)}, {literal(name)}, {literal(text)}, {OLD_VERSION}, now64(6, 'UTC'))"
        for (source, name), text in texts.items()
    )
    server.query(f"insert into _cdc.state values {values}")


def lose_next(client: Any, method: str, beginning: str) -> list[str]:
    """Keep the next statement that begins so from the server; return what will contain it."""
    run = getattr(client, method)
    lost: list[str] = []

    def losing(statement: str, *args: Any, **options: Any) -> Any:
        if not lost and statement.startswith(beginning):
            lost.append(statement)
            raise OperationalError("the connection was lost")
        return run(statement, *args, **options)

    setattr(client, method, losing)
    return lost
