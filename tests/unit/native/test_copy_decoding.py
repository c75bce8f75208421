from __future__ import annotations

import struct
from typing import Any

import pytest

from cdc.errors import DecodeError
from cdc_source_postgres.schema.type_catalog import OID_OF
from cdc_source_postgres.wire.codes import ENDED, FULL, WOULD_BLOCK
from tests.support.postgres import frames
from tests.support.postgres.decoders import Wire
from tests.support.postgres.frames import COPY_TRAILER, Connection, copy_header, copy_row

ONE = struct.pack(">i", 1)
ROW = copy_row([ONE, b"x" * 50])


def decoder_of(wire: Wire, *types: int) -> Any:
    return wire.CopyDecoder("s.t", frames.plans(*types), "error", lambda name, amount: None)


def two_columns(wire: Wire) -> Any:
    return decoder_of(wire, OID_OF["int4"], OID_OF["text"])


def test_rows_come_with_header_and_trailer_in_any_frames(wire: Wire) -> None:
    row = copy_row([ONE, None])
    for chunks in (
        [copy_header() + row, row, COPY_TRAILER],
        [copy_header(), row + row, COPY_TRAILER],
        [copy_header(b"ext") + row + row + COPY_TRAILER],
    ):
        decoder = two_columns(wire)
        for chunk in chunks:
            decoder.feed(chunk)
        assert decoder.finished
        assert decoder.take().to_pydict() == {"c0": [1, 1], "c1": [None, None]}
        assert decoder.take() is None


def test_empty_table_has_no_batch(wire: Wire) -> None:
    decoder = two_columns(wire)
    decoder.feed(copy_header() + COPY_TRAILER)
    assert decoder.finished
    assert decoder.take() is None


def test_table_without_columns_keeps_its_rows(wire: Wire) -> None:
    decoder = decoder_of(wire)
    decoder.feed(copy_header() + copy_row([]) * 3)
    assert decoder.take().num_rows == 3


def test_drain_stops_when_full_and_goes_on(wire: Wire) -> None:
    decoder = two_columns(wire)
    source = wire.Frames(Connection([copy_header() + ROW, ROW, ROW, COPY_TRAILER], ended=True))
    assert decoder.drain(source, 150) == FULL
    assert decoder.take().num_rows == 2
    assert not decoder.finished
    assert decoder.drain(source, 1000) == ENDED
    assert decoder.take().num_rows == 1
    assert decoder.finished
    assert decoder.drain(wire.Frames(Connection([])), 1000) == WOULD_BLOCK


def test_column_without_readable_binary_form_is_read_as_text(wire: Wire) -> None:
    decoder = decoder_of(wire, OID_OF["aclitem"], 1034)
    decoder.feed(copy_header() + copy_row([b"=r/postgres", b"{=r/postgres,=w/postgres}"]))
    assert decoder.take().to_pylist() == [{"c0": "=r/postgres", "c1": ["=r/postgres", "=w/postgres"]}]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"PGCOPY"],
        [b"pgcopy\n\xff\r\n\0" + b"\0" * 8],
        [copy_header(flags=1 << 16)],
        [copy_header()[:-1]],
        [copy_header()[:-4] + struct.pack(">i", -1)],
        [copy_header()[:-4] + struct.pack(">i", 5)],
        [copy_header() + copy_row([ONE])],
        [copy_header() + copy_row([ONE, b"x", b"y"])],
        [copy_header() + ROW[:-1]],
        [copy_header() + ROW + b"\0"],
        [copy_header() + COPY_TRAILER + ROW],
        [copy_header(), COPY_TRAILER, COPY_TRAILER],
        [copy_header() + struct.pack(">h", -2)],
        [copy_header() + struct.pack(">hi", 2, -2)],
        [copy_header() + struct.pack(">hii", 2, 4, 2**31 - 1)],
    ],
)
def test_malformed_copy_is_an_error_that_names_its_table(wire: Wire, chunks: list[bytes]) -> None:
    decoder = two_columns(wire)

    def run() -> None:
        for chunk in chunks:
            decoder.feed(chunk)

    with pytest.raises(DecodeError) as caught:
        run()
    assert caught.value.where.startswith("s.t")
