from __future__ import annotations

from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from cdc.errors import DecodeError, UnknownEvent
from cdc_source_mysql.wire import codes
from tests.support.mysql import frames
from tests.support.mysql.decoders import Decoding, modules, start
from tests.support.mysql.frames import UUID_TEXT, i32, text

pytestmark = pytest.mark.parametrize("wire", modules(), ids=lambda m: m.__name__.rpartition("_")[2])

COLUMNS = frames.plans("int", "varchar(20)")
TARGET = frames.table_plan(COLUMNS)
TABLES = {frames.table_map_body()[6:]: TARGET}
INSERT = [frames.table_map(), frames.write([i32(1), text("a")])]
STANDALONE = codes.MARIADB_STANDALONE
OTHER_UUID = bytes(range(16, 32))


def fed(wire: ModuleType, *events: bytes, flavour: str = "mysql", **options: Any) -> Decoding:
    return start(wire, TABLES, flavour=flavour, **options).feed(frames.packets([*frames.start(), *events]))


def test_each_transaction_carries_its_gtid_and_the_end_of_its_gtid_event(wire: ModuleType) -> None:
    first, second = frames.transaction(*INSERT), frames.transaction(*INSERT, number=2)
    running = fed(wire, *first, *second)
    offsets = [4 + len(first[0]), 4 + sum(map(len, first)) + len(second[0])]
    assert [(row["_cdc_tx"], row["_cdc_position"]) for row in running.rows()] == [
        (f"{UUID_TEXT}:{number}", f"{frames.FILE}:{offset}") for number, offset in enumerate(offsets, 1)
    ]
    decoder = running.decoder
    assert (decoder.end_file, decoder.end_offset) == (frames.FILE, 4 + sum(map(len, [*first, *second])))
    assert (decoder.file, decoder.offset) == (decoder.end_file, decoder.end_offset)


def test_gtids_are_told_in_runs_when_their_transactions_have_ended(wire: ModuleType) -> None:
    running = fed(
        wire,
        *frames.transaction(number=5),
        *frames.transaction(*INSERT, number=6),
        *[frames.gtid(1, uuid=OTHER_UUID), frames.query("BEGIN"), frames.xid()],
        *frames.transaction(number=8),
        *[frames.tagged_gtid(1, "mine"), frames.query("create table x (a int)")],
        *[frames.tagged_gtid(2, "mine"), frames.query("BEGIN"), frames.query("COMMIT")],
        *frames.transaction(number=9)[:2],
    )
    assert running.decoder.gtid_runs() == [
        (UUID_TEXT, "", 5, 6),
        ("10111213-1415-1617-1819-1a1b1c1d1e1f", "", 1, 1),
        (UUID_TEXT, "", 8, 8),
        (UUID_TEXT, "mine", 1, 2),
    ]
    running.feed(frames.packet(frames.xid()))
    assert running.decoder.gtid_runs() == [(UUID_TEXT, "", 9, 9)]


def test_mariadb_gtids_are_told_by_the_last_of_each_run(wire: ModuleType) -> None:
    running = fed(
        wire,
        *[frames.mariadb_gtid(4), *INSERT, frames.xid()],
        *[frames.mariadb_gtid(5), frames.xid()],
        *[frames.mariadb_gtid(9, 1, STANDALONE), frames.query("truncate s.x")],
        *[frames.mariadb_gtid(6, server_id=3), frames.xid()],
        flavour="mariadb",
    )
    assert running.decoder.gtid_runs() == [(0, 1, 5), (1, 1, 9), (0, 3, 6)]
    assert [row["_cdc_tx"] for row in running.rows()] == ["0-1-4"]


def test_a_tagged_gtid_names_its_transaction(wire: ModuleType) -> None:
    gtid = frames.tagged_gtid(300, "app_1", commit_us=1_700_000_000_123_456)
    [row] = fed(wire, gtid, frames.query("BEGIN"), *INSERT, frames.xid()).rows()
    assert row["_cdc_tx"] == f"{UUID_TEXT}:app_1:300"
    assert row["_cdc_commit_at"] == datetime.fromtimestamp(1_700_000_000, UTC).replace(microsecond=123_456)


def test_a_recorded_tagged_gtid_is_read(wire: ModuleType) -> None:
    body = bytes.fromhex("027800000002720903b9")
    with pytest.raises(DecodeError, match="bytes expected"):
        fed(wire, frames.event(codes.GTID_TAGGED_EVENT, body))


@pytest.mark.parametrize(("original", "expected"), [(0, 1_700_000_009), (1_600_000_000, 1_600_000_000)])
def test_commit_time_is_that_of_the_original_server(wire: ModuleType, original: int, expected: int) -> None:
    gtid = frames.gtid(1, commit_us=1_700_000_009_000_000, original_us=original * 1_000_000)
    running = fed(wire, gtid, frames.query("BEGIN"), *INSERT, frames.xid())
    assert running.decoder.commit_ts_us == expected * 1_000_000
    assert running.rows()[0]["_cdc_commit_at"] == datetime.fromtimestamp(expected, UTC)


def test_without_gtids_a_transaction_is_named_by_its_place(wire: ModuleType) -> None:
    anonymous = frames.gtid(0, kind=codes.ANONYMOUS_GTID_EVENT)
    named = [anonymous, frames.query("BEGIN"), *INSERT, frames.xid()]
    begin = frames.query("BEGIN")
    bare = [begin, *INSERT, frames.xid()]
    running = fed(wire, *named, *bare)
    first, second = running.rows()
    assert first["_cdc_tx"] == first["_cdc_position"] == f"{frames.FILE}:{4 + len(anonymous)}"
    assert second["_cdc_tx"] == f"{frames.FILE}:{4 + sum(map(len, named)) + len(begin)}"
    assert running.decoder.gtid_runs() == []


def test_positions_after_a_failover_name_their_epoch(wire: ModuleType) -> None:
    [row] = fed(wire, *frames.transaction(*INSERT), epoch=2).rows()
    assert row["_cdc_position"].startswith(f"2/{frames.FILE}:")


def test_a_statement_ends_its_transaction_and_goes_to_the_caller(wire: ModuleType) -> None:
    statement = frames.query("create table x (a int)", variables=b"\x00\x00\x00\x00\x00")
    running = fed(wire, frames.gtid(3), statement)
    assert running.events == [statement]
    assert not running.decoder.in_transaction
    assert running.decoder.gtid_runs() == [(UUID_TEXT, "", 3, 3)]
    running.decoder.truncate(TARGET)
    [row] = running.rows()
    assert (row["_cdc_op"], row["_cdc_tx"], row["c0"]) == ("t", f"{UUID_TEXT}:3", None)


def test_statements_inside_a_transaction_leave_it_open(wire: ModuleType) -> None:
    running = fed(wire, *frames.transaction(*INSERT)[:-1], frames.query("SAVEPOINT `x`"))
    assert (len(running.events), running.decoder.in_transaction) == (1, True)
    assert running.decoder.transactions == 0


def test_compressed_statements_of_mariadb_come_as_they_were(wire: ModuleType) -> None:
    gtid = frames.mariadb_gtid(1, 0, STANDALONE)
    running = fed(wire, gtid, frames.query_compressed("drop table x"), flavour="mariadb")
    assert running.events == [frames.query("drop table x")]


def test_xa_rows_can_be_skipped_until_they_are_prepared(wire: ModuleType) -> None:
    running = fed(wire, frames.gtid(), frames.query("XA START X'61',X'',1"))
    running.decoder.skip_transaction()
    prepared = frames.event(codes.XA_PREPARE_EVENT, b"\0" + bytes(12))
    running.feed(frames.packets([*INSERT, frames.query("XA END X'61',X'',1"), prepared]))
    assert (running.events[-1], running.decoder.in_transaction) == (prepared, False)
    running.feed(frames.packets([*frames.transaction(*INSERT, number=2)]))
    assert [row["_cdc_tx"] for row in running.rows()] == [f"{UUID_TEXT}:2"]


def test_mariadb_tells_of_a_prepared_transaction_by_its_gtid(wire: ModuleType) -> None:
    gtid = frames.mariadb_gtid(1, 0, codes.MARIADB_PREPARED_XA, xid=b"abc")
    running = fed(wire, gtid, flavour="mariadb")
    assert (running.events, running.decoder.in_transaction) == ([gtid], True)
    assert running.decoder.gtid_flags & codes.MARIADB_PREPARED_XA


def test_rows_can_be_attributed_to_another_transaction(wire: ModuleType) -> None:
    running = start(wire, TABLES)
    running.decoder.attribute("other:9", "binlog.000007:77", 5)
    running.feed(frames.packets([*frames.start(), *frames.transaction(*INSERT)]))
    [row] = running.rows()
    assert (row["_cdc_tx"], row["_cdc_position"]) == ("other:9", "binlog.000007:77")
    assert row["_cdc_commit_at"] == datetime(1970, 1, 1, 0, 0, 0, 5, UTC)


def test_rollback_goes_to_the_caller_when_there_were_rows(wire: ModuleType) -> None:
    rollback = frames.query("ROLLBACK")
    running = fed(
        wire, frames.gtid(), frames.query("BEGIN"), rollback, *frames.transaction(*INSERT, number=2)
    )
    running.feed(frames.packets([*frames.transaction(*INSERT, number=3)[:-1], rollback]))
    assert (running.events, running.decoder.transaction_changes) == ([rollback], 1)
    running.decoder.drop_transaction()
    assert [row["_cdc_tx"] for row in running.rows()] == [f"{UUID_TEXT}:2"]


def test_dropping_rows_tells_whether_some_of_them_were_taken(wire: ModuleType) -> None:
    running = fed(wire, *frames.transaction(*INSERT)[:-1])
    assert not running.decoder.drop_transaction(1)
    assert not running.decoder.drop_transaction()
    running.decoder.take()
    assert not running.decoder.drop_transaction(1)
    assert running.decoder.drop_transaction()
    assert running.decoder.drop_transaction(0, 1)


def test_rows_of_a_range_are_dropped_as_far_as_they_are_in_hand(wire: ModuleType) -> None:
    rows = [frame for _ in range(5) for frame in INSERT]
    running = fed(wire, *frames.transaction(*rows)[:-1])
    assert not running.decoder.drop_transaction(1, 3)
    assert [row["_cdc_seq"] for row in running.rows()] == [0, 3, 4]
    running.feed(frames.packets(rows))
    assert running.decoder.drop_transaction(2, 7)
    assert [row["_cdc_seq"] for row in running.rows()] == [2, 3, 4]
    assert running.decoder.transaction_changes == 10


def test_a_file_that_ends_inside_a_transaction_takes_its_rows_back(wire: ModuleType) -> None:
    running = fed(wire, *frames.transaction(*INSERT), *frames.transaction(*INSERT, number=2)[:-1])
    description = frames.format_description()
    running.feed(frames.packets([frames.rotate("binlog.000002"), description]))
    assert not running.decoder.in_transaction
    assert running.events == [frames.rotate("binlog.000002"), description[: -codes.CHECKSUM_BYTES]]
    assert not running.decoder.is_torn
    running.decoder.drop_transaction()
    running.feed(frames.packets(frames.transaction(*INSERT, number=2)))
    assert [row["_cdc_position"][:13] for row in running.rows()] == ["binlog.000001", "binlog.000002"]
    assert running.decoder.gtid_runs() == [(UUID_TEXT, "", 1, 2)]


def test_a_file_behind_another_is_told_once(wire: ModuleType) -> None:
    """Servers name the next file where one ends, and again where they begin to send it."""
    description = frames.format_description()
    running = fed(wire, *[frames.rotate("binlog.000002")] * 2, description, description)
    assert running.events == [description[: -codes.CHECKSUM_BYTES]]


def test_a_file_that_begins_where_the_server_started_is_told(wire: ModuleType) -> None:
    running = fed(wire, *frames.transaction(*INSERT), frames.format_description())
    assert running.events == []
    started = frames.format_description(created=1_795_475_259)
    running.feed(frames.packets([started, *frames.transaction(*INSERT, number=2)]))
    assert (running.events, running.decoder.is_torn) == ([started[: -codes.CHECKSUM_BYTES]], False)
    torn = frames.transaction(*INSERT, number=3)[:-1]
    running.feed(frames.packets([*torn, frames.format_description()]))
    assert (len(running.events), running.decoder.is_torn) == (2, True)


def test_sets_are_full_at_an_end_and_parts_are_inside(wire: ModuleType) -> None:
    small = fed(wire, *frames.transaction(*INSERT), soft_bytes=1)
    assert small.codes[-2:] == [codes.FULL, codes.NEED]
    large = fed(wire, *frames.transaction(*INSERT, *INSERT), hard_bytes=1)
    assert large.codes.count(codes.PART) == 2


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([frames.gtid(), frames.gtid(2)], "begins inside another"),
        ([frames.gtid(), frames.query("BEGIN"), frames.query("BEGIN")], "begins inside another"),
        ([frames.xid()], "that has not begun"),
        (INSERT, "rows outside of a transaction"),
        ([frames.gtid(), *INSERT], "rows outside of a transaction"),
        ([frames.gtid(-1)], "out of range"),
    ],
)
def test_what_breaks_the_grammar_is_refused(wire: ModuleType, events: list[bytes], said: str) -> None:
    with pytest.raises(DecodeError, match=said) as refused:
        fed(wire, *events)
    assert refused.value.where.startswith(f"{frames.FILE}:")


def test_an_unknown_event_stops_unless_it_may_be_ignored(wire: ModuleType) -> None:
    assert fed(wire, frames.event(99, b"x", flags=codes.IGNORABLE_FLAG)).codes == [codes.NEED]
    with pytest.raises(UnknownEvent, match="type 99") as refused:
        fed(wire, frames.event(99, b"x"))
    assert refused.value.where == f"{frames.FILE}:4"
    with pytest.raises(UnknownEvent, match="type 162"):
        fed(wire, frames.mariadb_gtid(1))


def test_an_incident_goes_to_the_caller(wire: ModuleType) -> None:
    incident = frames.event(codes.INCIDENT_EVENT, b"\1\0\0")
    assert fed(wire, incident).events == [incident]


def test_what_changes_nothing_is_passed_over(wire: ModuleType) -> None:
    kinds = [
        codes.STOP_EVENT,
        codes.PREVIOUS_GTIDS_EVENT,
        codes.ROWS_QUERY_EVENT,
        codes.BINLOG_CHECKPOINT_EVENT,
    ]
    assert fed(wire, *(frames.event(kind, b"abc") for kind in kinds)).codes == [codes.NEED]
