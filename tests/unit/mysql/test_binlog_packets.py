from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest

from cdc.errors import DecodeError
from cdc_source_mysql.wire import codes
from tests.support.mysql import frames
from tests.support.mysql.decoders import Decoding, cut, modules, start
from tests.support.mysql.frames import i32, text

pytestmark = pytest.mark.parametrize("wire", modules(), ids=lambda m: m.__name__.rpartition("_")[2])

COLUMNS = frames.plans("int", "longblob")
TABLES = {frames.table_map_body()[6:]: frames.table_plan(COLUMNS)}
SMALL = [frames.table_map(), frames.write([i32(1), i32(1) + b"x"])]
LIMIT = codes.LONGEST_PACKET_BYTES


def fed(wire: ModuleType, *events: bytes, **options: Any) -> Decoding:
    return start(wire, TABLES, **options).feed(frames.packets([*frames.start(), *events]))


def blob(size: int) -> bytes:
    return size.to_bytes(4, "little") + b"z" * size


def random_rows(count: int) -> list[list[bytes]]:
    chance = random.Random(1)
    return [[i32(i), i32(100) + chance.randbytes(100)] for i in range(count)]


def test_packets_may_be_cut_anywhere(wire: ModuleType) -> None:
    data = frames.packets([*frames.start(), *frames.transaction(*SMALL)])
    running = start(wire, TABLES).feed(*(data[i : i + 1] for i in range(len(data))))
    assert len(running.rows()) == 1


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_events_over_16_mib_are_joined(wire: ModuleType, over: int) -> None:
    """The payload of a packet is the status byte and the event: at the limit an empty packet follows."""
    empty = len(frames.write([i32(1), blob(0)])) + 1
    event = frames.write([i32(1), blob(LIMIT - empty + over)])
    assert len(event) + 1 == LIMIT + over
    data = frames.packets([*frames.start(), *frames.transaction(frames.table_map(), event)])
    running = start(wire, TABLES).feed(*cut(data, [200, 5_000_000, LIMIT, 1, 2, 3]))
    [row] = running.rows()
    assert len(row["c1"]) == LIMIT - empty + over
    assert row["c1"].strip(b"z") == b""


def test_compressed_transactions_are_read_from_inside(wire: ModuleType) -> None:
    inside = [frames.query("BEGIN"), *SMALL, frames.query("SAVEPOINT `a`"), *SMALL, frames.xid()]
    gtid, payload = frames.gtid(), frames.payload(inside)
    running = fed(wire, gtid, payload)
    assert len(running.events) == 1
    assert [row["_cdc_position"] for row in running.rows()] == [f"{frames.FILE}:{4 + len(gtid)}"] * 2
    decoder = running.decoder
    assert decoder.offset == decoder.end_offset == 4 + len(gtid) + len(payload)
    assert decoder.transactions == 0
    assert decoder.gtid_runs() == [(frames.UUID_TEXT, "", 1, 1)]


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("method", [0, 255])
def test_large_compressed_transactions_are_read_as_they_come(
    wire: ModuleType, method: int, *, checksum: bool
) -> None:
    rows = random_rows(3000)
    inside = [frames.query("BEGIN"), frames.table_map()]
    inside += [frames.write(*rows[i : i + 50]) for i in range(0, len(rows), 50)]
    payload = frames.payload([*inside, frames.xid()], method=method, checksum=checksum)
    opened = [*frames.start(checksum=checksum), frames.gtid(checksum=checksum)]
    data = frames.packets([*opened, payload])
    assert len(payload) > codes.STREAMED_FROM_BYTES
    running = start(wire, TABLES, hard_bytes=65536)
    seen = []
    for at in range(0, len(data), 20_000):
        running.feed(data[at : at + 20_000])
        seen.append(running.decoder.offset)
    assert codes.PART in running.codes
    assert [row["c0"] for row in running.rows()] == list(range(3000))
    # The offset stays before the transaction until all of it is there.
    assert len(set(seen)) <= 4
    assert running.decoder.offset == 4 + len(opened[-1]) + len(payload)
    running.feed(frames.packets([frames.gtid(2, checksum=checksum)]))
    assert running.decoder.in_transaction


def test_a_compressed_transaction_of_several_packets_is_read(wire: ModuleType) -> None:
    inside = [frames.query("BEGIN"), frames.table_map(), frames.write([i32(1), blob(LIMIT)]), frames.xid()]
    payload = frames.payload(inside, method=255)
    data = frames.packets([*frames.start(), frames.gtid(), payload, *frames.transaction(*SMALL, number=2)])
    running = start(wire, TABLES).feed(*cut(data, [1000, LIMIT - 900, 1, 1, 1]))
    assert [len(row["c1"]) for row in running.rows()] == [LIMIT, 1]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (frames.payload([frames.query("BEGIN"), *SMALL]), "without its end"),
        (frames.payload([frames.query("BEGIN"), *SMALL, frames.xid()[:-1]]), "ends inside an event"),
        (frames.payload([frames.query("BEGIN"), frames.xid(), *SMALL]), "rows outside"),
        (frames.payload([frames.query("BEGIN"), frames.xid()], size=900), "cannot be decompressed"),
        (frames.payload([frames.query("BEGIN"), frames.xid()], size=2 << 20), "shorter than it promised"),
        (frames.payload([frames.query("BEGIN"), frames.xid()], method=7), "compressed by method 7"),
        (frames.payload([frames.query("BEGIN"), frames.xid()])[:-4], "an event of"),
        (frames.event(codes.TRANSACTION_PAYLOAD_EVENT, b"\x01\x01\x50\0abc"), "that says 80"),
    ],
)
def test_broken_compressed_transactions_are_refused(wire: ModuleType, event: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        fed(wire, frames.gtid(), event)


def test_checksums_are_verified_when_the_file_has_them(wire: ModuleType) -> None:
    opened = [frames.query("BEGIN", checksum=True), frames.table_map(checksum=True)]
    write = frames.write([i32(1), blob(1)], checksum=True)
    running = start(wire, TABLES).feed(
        frames.packets([*frames.start(checksum=True), *opened, write, frames.xid(checksum=True)])
    )
    assert len(running.rows()) == 1
    broken = write[:-6] + bytes([write[-6] ^ 1]) + write[-5:]
    with pytest.raises(DecodeError, match="checksum is wrong"):
        start(wire, TABLES).feed(frames.packets([*frames.start(checksum=True), *opened, broken]))


def test_checksums_may_end_with_a_file(wire: ModuleType) -> None:
    events = [
        *frames.start(checksum=True),
        frames.gtid(checksum=True),
        frames.query("create table x (a int)", checksum=True),
        frames.rotate("binlog.000002", checksum=True),
        frames.format_description(),
        *frames.transaction(*SMALL, number=2),
    ]
    running = start(wire, TABLES).feed(frames.packets(events))
    assert [row["_cdc_position"][:13] for row in running.rows()] == ["binlog.000002"]
    ddl, description = running.events
    assert ddl == frames.query("create table x (a int)", checksum=True)[:-4]
    assert description == frames.format_description()[: -codes.CHECKSUM_BYTES]


def test_offsets_go_on_past_4_gib(wire: ModuleType) -> None:
    begin = (1 << 32) - 100
    transaction = frames.transaction(*SMALL)
    end = begin + sum(map(len, transaction))
    last = frames.event(codes.XID_EVENT, bytes(8), log_pos=end % (1 << 32))
    events = [frames.rotate(position=begin), frames.format_description(), *transaction[:-1], last]
    running = start(wire, TABLES).feed(frames.packets(events))
    assert running.decoder.offset == end > 1 << 32
    [row] = running.rows()
    assert row["_cdc_position"] == f"{frames.FILE}:{begin + len(transaction[0])}"


def test_offsets_follow_what_the_server_left_out(wire: ModuleType) -> None:
    """With GTIDs it skips transactions, and MariaDB skips annotations: events are further than they count."""
    gtid = frames.gtid(log_pos=5000)
    running = fed(wire, gtid, frames.query("BEGIN"))
    assert running.decoder.position_text == f"{frames.FILE}:5000"
    # MariaDB from 11.4 on says nothing about the place of a rows event.
    running.feed(frames.packets([*SMALL, frames.xid()]))
    assert running.decoder.offset == 5000 + sum(map(len, [frames.query("BEGIN"), *SMALL, frames.xid()]))
    # A position before the one that we are at is wrong.
    running.feed(frames.packet(frames.gtid(2, log_pos=4000)))
    assert running.decoder.offset == 5000 + sum(
        map(len, [frames.query("BEGIN"), *SMALL, frames.xid(), frames.gtid(2)])
    )


def test_heartbeats_move_the_place_between_transactions_only(wire: ModuleType) -> None:
    artificial = codes.ARTIFICIAL_FLAG
    running = fed(
        wire, frames.event(codes.HEARTBEAT_EVENT, frames.FILE.encode(), log_pos=700, flags=artificial)
    )
    assert running.decoder.offset == 700
    position = b"\xfe" + (5 << 32).to_bytes(8, "little")
    body = b"\x01\x01f" + b"\x02" + bytes([len(position)]) + position + b"\0"
    running.feed(frames.packet(frames.event(codes.HEARTBEAT_EVENT_V2, body)))
    assert running.decoder.offset == 5 << 32
    running.feed(frames.packets(frames.transaction()[:2]))
    inside = running.decoder.offset
    running.feed(frames.packet(frames.event(codes.HEARTBEAT_EVENT, b"f", log_pos=9000, flags=artificial)))
    assert running.decoder.offset == inside


def test_a_list_of_gtids_in_place_of_skipped_events_moves_the_place(wire: ModuleType) -> None:
    body = b"\0\0\0\0"
    listed = frames.event(codes.MARIADB_GTID_LIST_EVENT, body, log_pos=999, flags=codes.ARTIFICIAL_FLAG)
    running = start(wire, TABLES, flavour="mariadb").feed(frames.packets([*frames.start(), listed]))
    assert running.decoder.offset == 999


def test_the_start_of_encryption_takes_place_at_the_beginning_of_a_file_only(wire: ModuleType) -> None:
    """A dump from the middle repeats it, for its key, without a place."""
    repeated = frames.event(codes.START_ENCRYPTION_EVENT, bytes(21))
    middle = [frames.rotate(position=5000), frames.format_description(), repeated]
    running = start(wire, TABLES, flavour="mariadb").feed(frames.packets(middle))
    assert running.decoder.offset == 5000
    stored = frames.event(codes.START_ENCRYPTION_EVENT, bytes(21), log_pos=296)
    beginning = [frames.rotate(), frames.format_description(log_pos=256), stored]
    running = start(wire, TABLES, flavour="mariadb").feed(frames.packets(beginning))
    assert running.decoder.offset == 296


def test_the_next_file_begins_where_the_rotation_says(wire: ModuleType) -> None:
    running = fed(wire, *frames.transaction(*SMALL), frames.rotate("binlog.000002", artificial=False))
    assert (running.decoder.file, running.decoder.offset) == ("binlog.000002", 4)
    running.feed(frames.packets([frames.rotate("binlog.000002"), frames.format_description(log_pos=126)]))
    assert running.decoder.offset == 126
    assert running.decoder.end_file == frames.FILE


def test_the_end_and_the_refusal_of_a_dump_are_told(wire: ModuleType) -> None:
    assert fed(wire).feed(frames.packet(b"\0\0\2\0", status=b"\xfe")).codes[-1] == codes.ENDED
    refusal = b"\xd4\x04#HY000purged"
    running = fed(wire).feed(frames.packet(refusal, status=b"\xff"))
    assert (running.codes[-1], running.events) == (codes.REFUSED, [b"\xff" + refusal])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (frames.packet(b"x" * 30, status=b"\7"), "begins with 7"),
        (b"\0\0\0\0", "bytes expected"),
        (frames.packet(b"short"), "bytes expected"),
        (frames.packet(frames.xid() + b"\0"), "that says it has"),
        (frames.packet(frames.event(codes.FORMAT_DESCRIPTION_EVENT, b"\1")), "too short"),
        (frames.packet(frames.event(codes.ROTATE_EVENT, b"\1" * 8 + b"\xff")), "not text"),
    ],
)
def test_broken_packets_are_refused(wire: ModuleType, data: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said) as refused:
        fed(wire).feed(data)
    assert refused.value.where == f"{frames.FILE}:4"


def test_values_are_those_of_the_event_when_the_buffer_moves(wire: ModuleType) -> None:
    running = start(
        wire, {frames.table_map_body()[6:]: frames.table_plan(frames.plans("int", "varchar(20)"))}
    )
    running.feed(frames.packets(frames.start()))
    chance = random.Random(2)
    for number in range(1, 200):
        insert = frames.write(*([i32(number), text(f"v{number}")] for _ in range(number)))
        data = frames.packets(frames.transaction(frames.table_map(), insert, number=number))
        running.feed(*cut(data, [chance.randrange(len(data)), 50]))
    rows = running.rows()
    assert len(rows) == sum(range(200))
    assert all(row["c1"] == f"v{row['c0']}" for row in rows)
