from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from cdc.errors import DecodeError
from cdc_source_postgres.schema.type_catalog import OID_OF
from cdc_source_postgres.wire.codes import ENDED, FULL, KEEPALIVE, MESSAGE, PART, WOULD_BLOCK
from tests.support.plain_arrow import plain_batch
from tests.support.postgres import frames
from tests.support.postgres.decoders import Wire
from tests.support.postgres.frames import UNCHANGED, Connection, Text

INT4, TEXT = OID_OF["int4"], OID_OF["text"]
TABLE = 5


def int4(value: int) -> bytes:
    return struct.pack(">i", value)


def decoder_of(wire: Wire, key: tuple[int, ...] = (0,), identity: str = "d") -> Any:
    decoder = wire.PgoutputDecoder("error", lambda name, amount: None)
    decoder.set_relation(TABLE, "public", "t", frames.plans(INT4, TEXT, TEXT), key, identity)
    return decoder


def rows_of(decoder: Any, *messages: bytes) -> list[dict[str, Any]]:
    for message in [frames.begin(), *messages, frames.commit()]:
        assert decoder.feed(message) == 0
    [(relid, batch)] = decoder.take()
    assert relid == TABLE
    columns = {name: values for name, (_, values) in plain_batch(batch).items()}
    return [{name: values[i] for name, values in columns.items()} for i in range(batch.num_rows)]


def test_insert_carries_its_values_and_its_envelope(wire: Wire) -> None:
    decoder = decoder_of(wire)
    message = frames.insert(TABLE, [int4(7), b"x", None])
    decoder.feed(frames.begin(commit_lsn=0x16B374D848, commit_ts=1, xid=99))
    decoder.feed(message)
    [(_, batch)] = decoder.take()
    assert batch.to_pylist() == [
        {
            "c0": 7,
            "c1": "x",
            "c2": None,
            "_cdc_op": "c",
            "_cdc_seq": 0,
            "_cdc_tx": "99",
            "_cdc_position": "16/B374D848",
            "_cdc_commit_at": datetime(2000, 1, 1, 0, 0, 0, 1, UTC),
        }
    ]


def test_delete_by_key_names_what_was_not_sent(wire: Wire) -> None:
    [row] = rows_of(decoder_of(wire), frames.delete(TABLE, [int4(1), None, None]))
    assert (row["c0"], row["c1"], row["_cdc_op"]) == (1, None, "d")
    assert row["_cdc_unchanged"] == ["c1", "c2"]
    assert "_cdc_before" not in row


def test_delete_of_a_full_identity_keeps_nulls_as_nulls(wire: Wire) -> None:
    decoder = decoder_of(wire, identity="f")
    [row] = rows_of(decoder, frames.delete(TABLE, [int4(1), b"a", None], kind=b"O"))
    assert (row["c0"], row["c1"], row["c2"]) == (1, "a", None)
    assert "_cdc_unchanged" not in row


def test_update_names_unchanged_columns_for_its_row_only(wire: Wire) -> None:
    rows = rows_of(
        decoder_of(wire),
        frames.insert(TABLE, [int4(1), b"a", b"b"]),
        frames.update(TABLE, [int4(1), UNCHANGED, b"c"]),
        frames.update(TABLE, [int4(1), b"d", b"e"]),
        frames.update(TABLE, [int4(1), b"d", UNCHANGED]),
    )
    assert [row["_cdc_unchanged"] for row in rows] == [None, ["c1"], None, ["c2"]]
    assert rows[1]["c1"] is None


def test_update_of_the_key_has_the_old_key_before(wire: Wire) -> None:
    rows = rows_of(
        decoder_of(wire),
        frames.insert(TABLE, [int4(1), None, None]),
        frames.update(TABLE, [int4(2), b"x", UNCHANGED], old=[int4(1), None, None]),
    )
    assert [row["_cdc_before"] for row in rows] == [None, (1, None, None)]
    assert rows[1]["_cdc_unchanged"] == ["c2"]


def test_old_key_that_equals_the_new_one_is_not_a_key_change(wire: Wire) -> None:
    # The server also sends the old key when the key did not change but is stored out of line.
    decoder = wire.PgoutputDecoder("error", lambda name, amount: None)
    decoder.set_relation(TABLE, "public", "t", frames.plans(TEXT, TEXT), (0,), "d")
    rows = rows_of(
        decoder,
        frames.update(TABLE, [UNCHANGED, b"v"], old=[b"long", None]),
        frames.update(TABLE, [b"long", b"v"], old=[b"long", None]),
    )
    assert [row["c0"] for row in rows] == ["long", "long"]
    assert "_cdc_before" not in rows[0]
    assert "_cdc_unchanged" not in rows[0]


def test_full_identity_fills_unchanged_columns_from_the_old_image(wire: Wire) -> None:
    decoder = decoder_of(wire, key=(), identity="f")
    [row] = rows_of(
        decoder, frames.update(TABLE, [int4(1), UNCHANGED, b"n"], old=[int4(1), b"kept", b"o"], kind=b"O")
    )
    assert (row["c1"], row["_cdc_before"]) == ("kept", (1, "kept", "o"))
    assert "_cdc_unchanged" not in row


def test_text_and_binary_values_of_one_column_mix_in_order(wire: Wire) -> None:
    rows = rows_of(
        decoder_of(wire),
        frames.insert(TABLE, [Text(b"1"), Text(b"a"), None]),
        frames.insert(TABLE, [int4(2), b"b", None]),
        frames.insert(TABLE, [None, None, None]),
        frames.insert(TABLE, [Text(b"-3"), b"c", None]),
    )
    assert [row["c0"] for row in rows] == [1, 2, None, -3]


def test_truncate_is_a_row_of_nulls_in_each_table_in_turn(wire: Wire) -> None:
    decoder = decoder_of(wire)
    decoder.set_relation(6, "public", "u", frames.plans(INT4), (0,), "d")
    decoder.set_relation(7, "public", "ignored", None, (), "d")
    decoder.feed(frames.begin())
    decoder.feed(frames.insert(6, [int4(1)]))
    decoder.truncate([TABLE, 7, 6])
    taken = [(relid, batch.to_pydict()) for relid, batch in decoder.take()]
    assert [(relid, d["_cdc_op"], d["_cdc_seq"]) for relid, d in taken] == [
        (6, ["c", "t"], [0, 2]),
        (TABLE, ["t"], [1]),
    ]
    assert taken[1][1]["c0"] == [None]


def test_take_starts_ordinals_and_dictionaries_anew_inside_a_transaction(wire: Wire) -> None:
    decoder = decoder_of(wire)
    decoder.feed(frames.begin(commit_lsn=1, xid=1))
    for _ in range(2):
        decoder.feed(frames.insert(TABLE, [int4(1), b"a", b"b"]))
        [(_, batch)] = decoder.take()
        assert batch.column("_cdc_seq").to_pylist() == [0]
        assert batch.column("_cdc_tx").to_pylist() == ["1"]
    assert decoder.take() == []
    assert (decoder.changes, decoder.byte_count) == (0, 0)


def test_new_plans_keep_the_former_rows_in_a_batch_of_their_own(wire: Wire) -> None:
    decoder = decoder_of(wire)
    decoder.feed(frames.begin())
    decoder.feed(frames.insert(TABLE, [int4(1), b"a", b"b"]))
    decoder.set_relation(TABLE, "public", "t", frames.plans(INT4), (0,), "d")
    decoder.feed(frames.insert(TABLE, [int4(2)]))
    decoder.set_relation(TABLE, "public", "t", None, (), "d")
    decoder.feed(frames.insert(TABLE, [b"ignored", b"whatever"]))
    taken = decoder.take()
    assert [batch.num_columns for _, batch in taken] == [8, 6]
    assert [batch.column("_cdc_seq").to_pylist() for _, batch in taken] == [[0], [1]]


def test_tables_come_in_the_order_of_their_first_change(wire: Wire) -> None:
    decoder = decoder_of(wire)
    decoder.set_relation(6, "public", "u", frames.plans(INT4), (0,), "d")
    decoder.feed(frames.begin())
    decoder.feed(frames.insert(6, [int4(1)]))
    decoder.feed(frames.insert(TABLE, [int4(1), None, None]))
    decoder.feed(frames.insert(6, [int4(2)]))
    assert [relid for relid, _ in decoder.take()] == [6, TABLE]


def test_table_without_columns_keeps_its_rows(wire: Wire) -> None:
    decoder = wire.PgoutputDecoder("error", lambda name, amount: None)
    decoder.set_relation(TABLE, "public", "empty", [], (), "f")
    rows = rows_of(decoder, frames.insert(TABLE, []), frames.update(TABLE, [], old=[], kind=b"O"))
    assert [row["_cdc_op"] for row in rows] == ["c", "u"]


def test_commit_is_told_by_attributes(wire: Wire) -> None:
    decoder = decoder_of(wire)
    assert (decoder.end_lsn, decoder.commit_ts_us, decoder.in_transaction) == (0, None, False)
    decoder.feed(frames.begin())
    assert decoder.in_transaction
    decoder.feed(frames.commit(end_lsn=130, commit_ts=5))
    assert not decoder.in_transaction
    assert (decoder.end_lsn, decoder.received_lsn, decoder.transactions) == (130, 130, 1)
    assert decoder.commit_ts_us == 946_684_800_000_005


@pytest.mark.parametrize("tag", [b"R", b"Y", b"T", b"M", b"O", b"S", b"?"])
def test_other_messages_are_left_to_the_caller(wire: Wire, tag: bytes) -> None:
    assert decoder_of(wire).feed(tag + b"anything") == tag[0]


def test_drain_tells_why_it_stopped(wire: Wire) -> None:
    decoder = decoder_of(wire)
    row = frames.xlog(frames.insert(TABLE, [int4(1), b"x" * 100, None]), wal_end=90)
    other = frames.xlog(b"Mlogical")
    alive = frames.keepalive(500)
    begin, commit = frames.xlog(frames.begin()), frames.xlog(frames.commit())
    source = wire.Frames(Connection([other, alive, begin, row, commit, begin, row, row, commit], ended=True))
    assert decoder.drain(source, 100, 250) == (MESSAGE, b"Mlogical")
    assert decoder.drain(source, 100, 250) == (KEEPALIVE, alive)
    assert decoder.drain(source, 100, 250) == (FULL, None)
    assert decoder.changes == 1
    assert decoder.drain(source, 100, 250) == (PART, None)
    decoder.take()
    assert decoder.drain(source, 1000, 2500) == (ENDED, None)
    assert decoder.drain(wire.Frames(Connection([])), 100, 250) == (WOULD_BLOCK, None)
    assert decoder.received_lsn == 500


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([frames.begin(), frames.begin()], "Begin inside"),
        ([frames.commit()], "outside of a transaction"),
        ([frames.insert(TABLE, [])], "outside of a transaction"),
        ([frames.begin(), frames.commit(commit_lsn=99)], "not the transaction begun"),
        ([frames.begin(), frames.insert(1234, [])], "relation 1234"),
        ([frames.begin(), frames.insert(TABLE, [b"", b""])], "2 columns where 3"),
        ([frames.begin(), frames.insert(TABLE, [int4(1), b"a", b"\xff"])], "UTF-8"),
        ([frames.begin(), frames.insert(TABLE, [b"\0", b"a", b"b"])], "4 bytes expected"),
        ([frames.begin(), frames.insert(TABLE, [int4(1) * 2, b"a", b"b"])], "4 bytes"),
        ([frames.begin(), frames.insert(TABLE, [Text(b"1.5"), b"a", b"b"])], "whole number"),
        ([frames.begin(), frames.insert(TABLE, [int4(1), b"a", b"b"]) + b"\0"], "more than expected"),
        ([frames.begin(), frames.insert(TABLE, [int4(1), b"a", b"b"])[:-1]], "1 bytes expected"),
        ([frames.begin(), b"I"], "4 bytes expected"),
        ([frames.begin(), frames.delete(TABLE, [None] * 3, kind=b"N")], "kind of tuple"),
        ([b""], "1 bytes expected"),
    ],
)
def test_malformed_message_is_an_error(wire: Wire, messages: list[bytes], problem: str) -> None:
    decoder = decoder_of(wire)

    def run() -> None:
        for message in messages:
            decoder.feed(message)
        decoder.take()

    with pytest.raises(DecodeError, match=problem):
        run()


def test_error_names_table_column_and_commit_but_no_value(wire: Wire) -> None:
    decoder = decoder_of(wire)
    decoder.feed(frames.begin(commit_lsn=0x100000020))
    with pytest.raises(DecodeError) as caught:
        decoder.feed(frames.insert(TABLE, [int4(1), b"secret\xff", b""]))
    assert caught.value.where == "public.t, column c1, commit 1/20"
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_error_in_a_text_value_is_placed_by_its_own_row(wire: Wire) -> None:
    decoder = decoder_of(wire)
    decoder.feed(frames.begin(commit_lsn=100))
    decoder.feed(frames.insert(TABLE, [Text(b"1"), b"", b""]))
    decoder.feed(frames.commit(commit_lsn=100))
    decoder.feed(frames.begin(commit_lsn=200))
    decoder.feed(frames.insert(TABLE, [Text(b"secret"), b"", b""]))
    with pytest.raises(DecodeError) as caught:
        decoder.take()
    assert caught.value.where == "public.t, column c0, commit 0/C8"
    assert "secret" not in str(caught.value)
