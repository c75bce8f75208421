"""An event that nobody knows stops the stream before anything after it is read."""

from __future__ import annotations

import struct
from typing import Any, cast

import pytest

from cdc.errors import UnknownEvent
from cdc.model import Position
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.stream.stream import SessionParts, StreamSession
from cdc_source_postgres.wire.decoder import PgoutputDecoder


class _Frames:
    """A connection whose server sends one frame."""

    def __init__(self, frame: bytes) -> None:
        self.pgconn = self
        self._frames = [frame]

    def get_copy_data(self, _is_async: int) -> tuple[int, memoryview]:
        frame = self._frames.pop() if self._frames else b""
        return len(frame), memoryview(frame)


def test_an_unknown_event_is_named_with_its_position_and_remedy() -> None:
    lsn = 0x16_B374D848
    frame = struct.pack(">cQQq", b"w", lsn, lsn, 0) + b"Z something new"
    parts = SessionParts(
        connection=cast("Any", _Frames(frame)),
        decoder=PgoutputDecoder("error", lambda name, amount: None),
        tracking=cast("Any", None),
        monitor=cast("Any", None),
        acks=cast("Any", None),
        heartbeat_seconds=0,
        where="sources.shop",
        wanted=lambda: 0,
        limits=Limits(),
    )
    with pytest.raises(UnknownEvent) as caught:
        next(StreamSession(parts, Position(0, "0/0"), binary=True).changes())
    assert str(caught.value) == (
        "sources.shop: the server sent an event 'Z' at 16/B374D848 that this version does not support. "
        "Update the daemon; nothing after this position was read."
    )
