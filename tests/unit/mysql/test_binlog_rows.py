from __future__ import annotations

from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from cdc.errors import DecodeError
from cdc_source_mysql.schema.type_plan import TablePlan
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.poor_images import PoorImage
from tests.support.mysql import frames
from tests.support.mysql.decoders import Decoding, modules, start
from tests.support.mysql.frames import ABSENT, i32, text

pytestmark = pytest.mark.parametrize("wire", modules(), ids=lambda m: m.__name__.rpartition("_")[2])

COLUMNS = frames.plans("int", "varchar(20)", "int")
MAP = frames.table_map_body(columns=3)
ROW = [i32(1), text("a"), i32(10)]


def decoding(wire: ModuleType, plan: TablePlan | None = None, **options: Any) -> Decoding:
    return start(wire, {MAP[6:]: plan or frames.table_plan(COLUMNS)}, **options)


def rows_of(
    wire: ModuleType, *events: bytes, plan: TablePlan | None = None, **options: Any
) -> list[dict[str, Any]]:
    """The rows of one transaction, without what every row has alike."""
    running = decoding(wire, plan, **options)
    opened = [*frames.start(), frames.gtid(), frames.query("BEGIN"), frames.table_map(columns=3)]
    running.feed(frames.packets([*opened, *events, frames.xid()]))
    common = {"_cdc_seq", "_cdc_tx", "_cdc_position", "_cdc_commit_at"}
    return [
        {name.removeprefix("_cdc_"): value for name, value in row.items() if name not in common}
        for row in running.rows()
    ]


def test_inserted_row_carries_its_values_and_its_envelope(wire: ModuleType) -> None:
    running = decoding(wire)
    events = frames.transaction(
        frames.table_map(columns=3), frames.write(ROW, [i32(2), None, None]), number=7
    )
    running.feed(frames.packets([*frames.start(), *events]))
    first, second = running.rows()
    assert first == {
        "c0": 1,
        "c1": "a",
        "c2": 10,
        "_cdc_op": "c",
        "_cdc_seq": 0,
        "_cdc_tx": f"{frames.UUID_TEXT}:7",
        # The end of the GTID event.
        "_cdc_position": f"{frames.FILE}:{4 + len(frames.gtid())}",
        "_cdc_commit_at": datetime.fromtimestamp(1_700_000_000, UTC),
    }
    assert (second["c1"], second["c2"], second["_cdc_seq"]) == (None, None, 1)


def test_updated_row_keeps_its_old_image(wire: ModuleType) -> None:
    [row] = rows_of(wire, frames.update(ROW, [i32(1), text("b"), None]))
    assert row == {"c0": 1, "c1": "b", "c2": None, "op": "u", "before": {"c0": 1, "c1": "a", "c2": 10}}


def test_deleted_row_is_its_old_image(wire: ModuleType) -> None:
    [row] = rows_of(wire, frames.delete(ROW))
    assert row == {"c0": 1, "c1": "a", "c2": 10, "op": "d"}


def test_minimal_update_names_what_it_does_not_say(wire: ModuleType) -> None:
    old, new = [i32(1), ABSENT, ABSENT], [ABSENT, text("b"), ABSENT]
    [row] = rows_of(wire, frames.update(old, new))
    assert row == {"c0": 1, "c1": "b", "c2": None, "op": "u", "unchanged": ["c2"]}


def test_minimal_update_of_the_key_keeps_the_old_key(wire: ModuleType) -> None:
    old, new = [i32(1), ABSENT, ABSENT], [i32(2), ABSENT, ABSENT]
    [row] = rows_of(wire, frames.update(old, new))
    assert (row["c0"], row["before"]) == (2, {"c0": 1, "c1": None, "c2": None})
    assert row["unchanged"] == ["c1", "c2"]


def test_whole_old_image_fills_what_the_new_one_lacks(wire: ModuleType) -> None:
    [row] = rows_of(wire, frames.update(ROW, [ABSENT, text("b"), ABSENT]))
    assert row == {"c0": 1, "c1": "b", "c2": 10, "op": "u", "before": {"c0": 1, "c1": "a", "c2": 10}}


def test_minimal_delete_names_what_it_does_not_say(wire: ModuleType) -> None:
    [row] = rows_of(wire, frames.delete([i32(1), ABSENT, ABSENT]))
    assert row == {"c0": 1, "c1": None, "c2": None, "op": "d", "unchanged": ["c1", "c2"]}


@pytest.mark.parametrize(
    ("event", "key", "said"),
    [
        (frames.delete([i32(1), ABSENT, ABSENT]), (), "neither all columns nor the table's key"),
        (frames.delete([ABSENT, text("a"), ABSENT]), (0,), "neither all columns nor the table's key"),
        (frames.update([ABSENT, ABSENT, i32(1)], ROW), (0, 2), "neither all columns nor the table's key"),
        (frames.write([i32(1), ABSENT, ABSENT]), (0,), "inserted row without c1, c2"),
    ],
)
def test_images_too_poor_to_follow_are_refused_with_a_remedy(
    wire: ModuleType, event: bytes, key: tuple[int, ...], said: str
) -> None:
    running = decoding(wire, frames.table_plan(COLUMNS, key))
    events = frames.transaction(frames.table_map(columns=3), event, frames.write(ROW))
    with pytest.raises(PoorImage, match=said) as refused:
        running.feed(frames.packets([*frames.start(), *events]))
    assert "binlog_row_image = full" in refused.value.remedy
    assert refused.value.where.startswith("s.t, commit binlog.000001:")
    assert refused.value.handle == frames.table_plan(COLUMNS, key).handle
    running.decoder.skip_rows()
    running.feed(b"")
    assert [(row["_cdc_op"], row["c0"]) for row in running.rows()] == [("c", 1)]


def test_rows_of_version_1_are_read(wire: ModuleType) -> None:
    body = frames.rows_body([ROW], version=1)
    assert len(rows_of(wire, frames.event(codes.WRITE_ROWS_EVENT_V1, body))) == 1


@pytest.mark.parametrize("kind", [codes.WRITE_ROWS_COMPRESSED_EVENT_V1, codes.WRITE_ROWS_COMPRESSED_EVENT])
def test_rows_that_mariadb_compressed_are_read(wire: ModuleType, kind: int) -> None:
    version = 1 if kind == codes.WRITE_ROWS_COMPRESSED_EVENT_V1 else 2
    head = frames.rows_head([ROW], pairs=False, version=version)
    body = head + frames.compressed(frames.image(ROW) + frames.image([i32(2), None, None]))
    assert [row["c0"] for row in rows_of(wire, frames.event(kind, body))] == [1, 2]


def test_rows_that_mariadb_sends_in_pieces_are_joined(wire: ModuleType) -> None:
    whole = frames.write(ROW)
    cuts = [whole[:10], whole[10:25], whole[25:]]
    pieces = [
        frames.event(
            codes.PARTIAL_ROW_DATA_EVENT,
            len(cuts).to_bytes(4, "little") + (i + 1).to_bytes(4, "little") + b"\0" + piece,
        )
        for i, piece in enumerate(cuts)
    ]
    assert [row["c0"] for row in rows_of(wire, *pieces)] == [1]
    with pytest.raises(DecodeError, match="piece 1 is due"):
        rows_of(wire, *pieces[1:])


def test_history_of_a_versioned_table_is_left_out(wire: ModuleType) -> None:
    columns = frames.plans("int", "timestamp(6)", flavour="mariadb")
    table_map = frames.table_map_body(columns=2)
    live, ended = b"\x7f\xff\xff\xff\x0f\x42\x3f", b"\x65\x00\x00\x00\x00\x00\x01"
    running = start(wire, {table_map[6:]: frames.table_plan(columns, row_end=1)})
    events = frames.transaction(
        frames.table_map(columns=2),
        frames.write([i32(1), live]),
        frames.update([i32(1), live], [i32(2), live]),
        frames.write([i32(1), ended]),
        frames.update([i32(2), live], [i32(2), ended]),
        frames.delete([i32(2), ended]),
        frames.update([i32(2), ended], [i32(3), ended]),
    )
    running.feed(frames.packets([*frames.start(), *events]))
    assert [(row["_cdc_op"], row["c0"]) for row in running.rows()] == [("c", 1), ("u", 2), ("d", 2)]


def test_partial_json_update_applies_every_diff(wire: ModuleType) -> None:
    columns = frames.plans("int", "json")
    table_map = frames.table_map_body(columns=2)
    before = bytes.fromhex("000200160012000100130001000c14000501006162016100"[:46])
    document = (len(before)).to_bytes(4, "little") + before
    diffs = bytes.fromhex("0003242e620305030000")[:9] + bytes.fromhex("0003242e61030c0179")
    value = len(diffs).to_bytes(4, "little") + diffs
    old = [i32(1), document]
    body = frames.rows_head([old, old], pairs=True) + frames.image(old)
    body += b"\x01\x01" + frames.image([i32(1), value])
    running = start(wire, {table_map[6:]: frames.table_plan(columns)})
    events = frames.transaction(
        frames.table_map(columns=2), frames.event(codes.PARTIAL_UPDATE_ROWS_EVENT, body)
    )
    running.feed(frames.packets([*frames.start(), *events]))
    [row] = running.rows()
    assert row["c1"] == '{"a": "y", "b": 3}'
    assert row["_cdc_before"]["c0"] == 1


def test_diffs_without_their_document_are_refused(wire: ModuleType) -> None:
    columns = frames.plans("int", "json")
    table_map = frames.table_map_body(columns=2)
    old = [i32(1), ABSENT]
    new = [ABSENT, b"\x00\x00\x00\x00"]
    body = frames.rows_head([old, new], pairs=True) + frames.image(old) + b"\x01\x01" + frames.image(new)
    running = start(wire, {table_map[6:]: frames.table_plan(columns)})
    events = frames.transaction(
        frames.table_map(columns=2), frames.event(codes.PARTIAL_UPDATE_ROWS_EVENT, body)
    )
    with pytest.raises(PoorImage, match="without the document") as refused:
        running.feed(frames.packets([*frames.start(), *events]))
    assert refused.value.where.startswith("s.t, commit binlog.000001:")
    running.decoder.skip_rows()
    assert running.feed(b"").rows() == []


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (frames.write(ROW[:2]), "rows of 2 columns where 3 are declared"),
        (frames.write([i32(1), b"\x09abc", i32(1)]), "9 bytes expected"),
        (frames.write(ROW, table_id=71), "table number 71, which no table map describes"),
        (frames.event(codes.WRITE_ROWS_EVENT, frames.rows_body([ROW]) + b"\0"), "bytes expected"),
    ],
)
def test_broken_rows_are_refused_with_their_place_and_without_values(
    wire: ModuleType, event: bytes, said: str
) -> None:
    with pytest.raises(DecodeError, match=said) as refused:
        rows_of(wire, event)
    assert "binlog.000001:" in refused.value.where
    assert "abc" not in str(refused.value)


def test_rows_of_a_table_left_out_are_skipped(wire: ModuleType) -> None:
    running = start(wire, {})
    events = frames.transaction(frames.table_map(columns=3), frames.write(ROW), frames.write(ROW))
    running.feed(frames.packets([*frames.start(), *events]))
    assert running.asked == [MAP]
    assert (running.rows(), running.decoder.transactions) == ([], 0)


def test_a_table_map_seen_again_is_known_under_any_number(wire: ModuleType) -> None:
    running = decoding(wire)
    stream = frames.start()
    for number, table_id in enumerate([70, 70, 99, 70], 1):
        stream += frames.transaction(
            frames.table_map(table_id, columns=3), frames.write(ROW, table_id=table_id), number=number
        )
    running.feed(frames.packets(stream))
    assert len(running.asked) == 1
    running.decoder.forget()
    again = frames.transaction(frames.table_map(columns=3), frames.write(ROW), number=9)
    running.feed(frames.packets(again))
    assert len(running.asked) == 2
    assert len(running.rows()) == 5


def test_one_number_may_stand_for_another_table_later(wire: ModuleType) -> None:
    other = frames.table_map_body(table="u", columns=1)
    tables = {
        MAP[6:]: frames.table_plan(COLUMNS),
        other[6:]: frames.table_plan(frames.plans("int"), handle=2, table="s.u"),
    }
    running = start(wire, tables)
    stream = frames.transaction(frames.table_map(columns=3), frames.write(ROW))
    stream += frames.transaction(frames.table_map(table="u", columns=1), frames.write([i32(5)]), number=2)
    running.feed(frames.packets([*frames.start(), *stream]))
    assert [(handle, batch.num_rows) for handle, batch in running.decoder.take()] == [(1, 1), (2, 1)]


def test_rows_under_former_plans_come_on_their_own_and_before(wire: ModuleType) -> None:
    running = decoding(wire)
    running.feed(
        frames.packets([*frames.start(), *frames.transaction(frames.table_map(columns=3), frames.write(ROW))])
    )
    wider = frames.table_map_body(columns=4)
    running.tables = {
        **running.tables,
        wider[6:]: frames.table_plan(frames.plans("int", "varchar(20)", "int", "int")),
    }
    for columns, row in ((4, [*ROW, i32(4)]), (3, ROW), (4, [*ROW, i32(4)])):
        stream = frames.transaction(frames.table_map(columns=columns), frames.write(row))
        running.feed(frames.packets(stream))
    widths = [batch.schema.get_field_index("_cdc_op") for _, batch in running.decoder.take()]
    assert widths == [3, 4, 3, 4]


def test_plans_of_one_table_never_interleave(wire: ModuleType) -> None:
    running = decoding(wire)
    running.feed(frames.packets(frames.start()))
    other = frames.table_plan(frames.plans("int"), handle=2)
    for number in range(1, 4):
        stream = frames.transaction(frames.table_map(columns=3), frames.write(ROW, ROW), number=number)
        running.feed(frames.packets(stream))
        running.decoder.truncate(other)
    ordinals = [(handle, batch.column("_cdc_seq").to_pylist()) for handle, batch in running.decoder.take()]
    assert ordinals == [(1, [0, 1]), (2, [2]), (1, [3, 4]), (2, [5]), (1, [6, 7]), (2, [8])]


def test_maps_of_more_tables_than_are_kept_are_asked_for_again(wire: ModuleType) -> None:
    running = decoding(wire)
    maps = [frames.table_map(table=f"x{number}") for number in range(codes.MOST_TABLE_MAPS)]
    first = frames.transaction(frames.table_map(columns=3), frames.write(ROW), *maps)
    running.feed(frames.packets([*frames.start(), *first]))
    for number in (2, 3):
        again = frames.transaction(frames.table_map(columns=3), frames.write(ROW), number=number)
        running.feed(frames.packets([frames.rotate("binlog.000002"), *again]))
    assert running.asked == [MAP, MAP]
    [(_, batch)] = running.decoder.take()
    assert batch.num_rows == 3
