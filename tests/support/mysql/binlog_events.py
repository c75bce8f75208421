"""Cuts what a dump gives into events, for tests that look at the connection and not at the decoder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from cdc_source_mysql.binlog.dump import Dump
from cdc_source_mysql.errors import translate_packet
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

ROTATE, FORMAT, WRITE_ROWS, XID, HEARTBEATS = 4, 15, (30, 23), 16, (27, 41)
# Far over the time that a server on this machine takes to send what it has.
_MAX_PACKET = 2**24 - 1
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Event:
    """One event as it was sent, without the packet's header."""

    type: int
    data: bytes

    @property
    def body(self) -> bytes:
        return self.data[19:]


def events(dump: Dump) -> Iterator[Event]:
    """Every event until the server ends the dump; an error packet is raised as the connector does it."""
    for packet in _packets(dump):
        if packet[0] == 0xFF:
            raise translate_packet(packet, dump.where, "reading the binlog")
        if packet[0] == 0xFE:
            return
        yield Event(packet[5], packet[1:])


def until(dump: Dump, *types: int) -> list[Event]:
    """The events up to the first of one of these types."""
    found = []
    for event in events(dump):
        found.append(event)
        if event.type in types:
            return found
    raise AssertionError(f"the dump ended before an event of type {types}")


def _packets(dump: Dump) -> Iterator[bytes]:
    buffer, whole = bytearray(), bytearray()
    # Heartbeats are no progress: a dump that should end and lives on must fail.
    deadline = time.monotonic() + DEFAULT_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        buffer += dump.recv(_CHUNK_BYTES, 0.1)
        while len(buffer) >= 4 and len(buffer) >= 4 + (size := int.from_bytes(buffer[:3], "little")):
            whole += buffer[4 : 4 + size]
            del buffer[: 4 + size]
            if size < _MAX_PACKET:
                yield bytes(whole)
                whole.clear()
    raise AssertionError(f"the dump went on for {DEFAULT_TIMEOUT_SECONDS:g} s")
