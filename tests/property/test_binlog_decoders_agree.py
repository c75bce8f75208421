"""The compiled and the pure-Python decoder of the binlog are two programs for one contract: whatever comes,
they agree.

Streams are well formed, then sometimes damaged, and cut anywhere; both give equal batches, events and places,
or both raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.native import implementation
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire import stream as wire_python
from tests.support.mysql import frames
from tests.support.mysql.decoders import cut, outcome
from tests.support.mysql.frames import ABSENT, i32, text

pytestmark = pytest.mark.skipif(implementation() != "c", reason="there is only one decoder here")

# Enough for every kind of damage to every kind of event; the fuzzer under fuzz/ goes on for longer.
EXAMPLES = 300
LIVE = b"\x7f\xff\xff\xff\x0f\x42\x3f"
TYPES = {
    "int": st.integers(-(2**31), 2**31 - 1).map(i32),
    "varchar(20)": st.text(max_size=5).map(text),
    "json": st.sampled_from([b"\x04\x00", b"\x05\x01\x00", b"\x0c\x01x"]).map(lambda d: i32(len(d)) + d),
    "timestamp(6)": st.sampled_from([LIVE, b"\x65\x00\x00\x00\x00\x00\x01", bytes(7)]),
    "longtext": st.text(max_size=300).map(str.encode).map(lambda d: i32(len(d)) + d),
}
DIFFS = st.sampled_from([b"", b"\x00\x01$\x03\x05\x07\x00", b"\x02\x03$.a", b"\x09"]).map(
    lambda d: i32(len(d)) + d
)
NUMBERS = st.integers(1, 5) | st.integers(0, 2**63 - 1)


class Streams:
    """Draws the events of one stream of a flavour; `columns` are those of its only table."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.flavour = draw(st.sampled_from(["mysql", "mariadb"]))
        self.types = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=9))
        self.columns = frames.plans(*self.types, flavour=self.flavour, policy="null")
        versioned = "timestamp(6)" in self.types and draw(st.booleans())
        self.plan = frames.table_plan(
            self.columns,
            draw(st.sampled_from([(), (0,), (0, len(self.types) - 1)])),
            row_end=self.types.index("timestamp(6)") if versioned else None,
        )
        self.body = frames.table_map_body(columns=len(self.types))
        self.checksum = draw(st.booleans())

    def image(self, *, whole: bool = True) -> list[Any]:
        choices: list[st.SearchStrategy[Any]] = [st.none() | TYPES[name] for name in self.types]
        if not whole:
            choices = [choice | st.just(ABSENT) for choice in choices]
        return [self.draw(choice) for choice in choices]

    def like(self, shape: list[Any]) -> list[Any]:
        """An image that has the same columns."""
        return [ABSENT if a is ABSENT else b for a, b in zip(shape, self.image(), strict=True)]

    def rows(self) -> bytes:
        kind = self.draw(st.sampled_from([30, 31, 32, 23, 24, 25, 39, 166, 167, 168]))
        pairs = kind in (31, 24, 39, 167)
        inserted = kind in (30, 23, 166)
        shapes = [self.image(whole=inserted or self.draw(st.booleans())) for _ in range(2 if pairs else 1)]
        images = [self.like(shape) for _ in range(self.draw(st.integers(1, 3))) for shape in shapes]
        head = frames.rows_head(images, pairs=pairs, version=2 if 30 <= kind <= 39 else 1)
        tail = b"".join(map(frames.image, images)) if kind != 39 else self.partial(images)
        return frames.event(
            kind, head + (frames.compressed(tail) if kind >= 166 else tail), checksum=self.checksum
        )

    def partial(self, images: list[list[Any]]) -> bytes:
        """The images of a partial update."""
        json = [i for i, name in enumerate(self.types) if name == "json"]
        parts = []
        for old, new in zip(images[::2], images[1::2], strict=True):
            parts.append(frames.image(old))
            if not self.draw(st.booleans()):
                parts.append(b"\0" + frames.image(new))
                continue
            with_diffs = [self.draw(st.booleans()) for _ in json]
            for i, flag in zip(json, with_diffs, strict=True):
                if flag and isinstance(new[i], bytes):
                    new[i] = self.draw(DIFFS)
            parts.append(b"\1" + frames.bitmap(with_diffs, padding=False) + frames.image(new))
        return b"".join(parts)

    def inside(self) -> list[bytes]:
        table_map = frames.event(codes.TABLE_MAP_EVENT, self.body, checksum=self.checksum)
        query = frames.query("SAVEPOINT `a`", checksum=self.checksum)
        kinds = self.draw(st.lists(st.sampled_from("rrrrqm"), max_size=4))
        return [table_map, *(self.rows() if k == "r" else {"q": query, "m": table_map}[k] for k in kinds)]

    def gtid(self, flags: int = 0) -> bytes:
        number, crc = self.draw(NUMBERS), self.checksum
        if self.flavour == "mariadb":
            xid = b"abc" if flags & codes.MARIADB_PREPARED_XA else b""
            return frames.mariadb_gtid(number, self.draw(st.integers(0, 1)), flags, xid=xid, checksum=crc)
        if self.draw(st.booleans()):
            return frames.tagged_gtid(
                min(number, 2**62), self.draw(st.sampled_from(["a", "b_1"])), checksum=crc
            )
        kind = self.draw(st.sampled_from([codes.GTID_EVENT, codes.ANONYMOUS_GTID_EVENT]))
        commit_us = self.draw(st.sampled_from([0, 1_700_000_000_000_000]))
        log_pos = self.draw(st.sampled_from([0, 0, 500, 9000, 2**32 - 1]))
        return frames.gtid(number, kind=kind, commit_us=commit_us, log_pos=log_pos, checksum=crc)

    def transaction(self) -> list[bytes]:
        crc = self.checksum
        kind = self.draw(
            st.sampled_from(["rows", "rows", "rows", "ddl", "payload", "xa", "rollback", "bare"])
        )
        end = frames.xid(checksum=crc)
        begin = [] if self.flavour == "mariadb" else [frames.query("BEGIN", checksum=crc)]
        if kind == "ddl":
            return [self.gtid(codes.MARIADB_STANDALONE), frames.query("create table x (a int)", checksum=crc)]
        if kind == "payload" and self.flavour == "mysql":
            return [self.gtid(), self.payload()]
        if kind == "xa":
            start = [] if self.flavour == "mariadb" else [frames.query("XA START X'61',X'',1", checksum=crc)]
            prepare = frames.event(codes.XA_PREPARE_EVENT, bytes(13), checksum=crc)
            return [self.gtid(codes.MARIADB_PREPARED_XA), *start, *self.inside(), prepare]
        if kind == "rollback":
            end = frames.query("ROLLBACK", checksum=crc)
        if kind == "bare":
            return [frames.query("BEGIN", checksum=crc), *self.inside(), end]
        return [self.gtid(), *begin, *self.inside(), end]

    def payload(self) -> bytes:
        outer, self.checksum = self.checksum, False
        inside = [frames.query("BEGIN"), *self.inside()]
        end = self.draw(st.sampled_from([frames.xid(), frames.query("ROLLBACK"), b""]))
        self.checksum = outer
        return frames.payload([*inside, end], method=self.draw(st.sampled_from([0, 255])), checksum=outer)

    def events(self) -> list[bytes]:
        crc = self.checksum
        others = [
            frames.rotate("binlog.000002", checksum=crc),
            frames.format_description(checksum=crc, log_pos=126),
            frames.event(codes.HEARTBEAT_EVENT, b"f", log_pos=100_000, flags=0x20, checksum=crc),
            frames.event(codes.HEARTBEAT_EVENT_V2, b"\1\1f\2\3\xfc\0\7\0", checksum=crc),
            frames.event(99, b"", flags=codes.IGNORABLE_FLAG, checksum=crc),
        ]
        events = list(frames.start(checksum=crc))
        for _ in range(self.draw(st.integers(1, 4))):
            events += self.transaction()
            events += self.draw(st.lists(st.sampled_from(others), max_size=1))
        return events


@st.composite
def damaged(draw: Callable[[Any], Any], events: list[bytes]) -> list[bytes]:
    """One event left out, doubled, moved or broken."""
    at = draw(st.integers(0, len(events) - 1))
    event = events[at]
    kind = draw(st.sampled_from(["out", "twice", "first", "byte", "byte", "byte", "cut", "more"]))
    spot = draw(st.integers(0, len(event) - 1))
    if kind == "byte":
        return [
            *events[:at],
            event[:spot] + bytes([draw(st.integers(0, 255))]) + event[spot + 1 :],
            *events[at + 1 :],
        ]
    if kind in ("cut", "more"):
        body = event[codes.HEADER_BYTES :]
        body = body[:spot] if kind == "cut" else body + draw(st.binary(min_size=1, max_size=4))
        return [*events[:at], frames.event(event[4], body), *events[at + 1 :]]
    rest = [*events[:at], *events[at + 1 :]]
    return {"out": rest, "twice": [*events[:at], event, *events[at:]], "first": [event, *rest]}[kind]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_binlog_decoders_agree_on_every_stream(data: st.DataObject) -> None:
    from cdc_source_mysql.wire import stream_native as wire_native

    streams = Streams(data.draw)
    events = streams.events()
    if data.draw(st.integers(0, 2)) == 0:
        events = data.draw(damaged(events))
    pieces = cut(frames.packets(events), data.draw(st.lists(st.integers(1, 200), max_size=5)))
    tables = data.draw(st.sampled_from([{streams.body[6:]: streams.plan}] * 5 + [{}]))
    options = {
        "flavour": streams.flavour,
        "policy": data.draw(st.sampled_from(["error", "null", "null", "null"])),
        "soft_bytes": data.draw(st.sampled_from([1, 100, 1 << 30])),
        "hard_bytes": data.draw(st.sampled_from([1, 100, 1 << 30])),
        "epoch": data.draw(st.integers(0, 1)),
    }
    native = outcome(wire_native, tables, pieces, **options)
    assert native == outcome(wire_python, tables, pieces, **options)
