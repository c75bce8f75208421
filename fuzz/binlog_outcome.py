"""The output of a decoder for the events of a binlog, in a form that compares."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

from cdc_source_mysql.wire import codes
from tests.support.mysql import frames
from tests.support.mysql.decoders import cut, outcome

# One column of each way of finding a value's end, JSON with its diffs, and the end of a row's life.
TYPES = ["int", "varchar(20)", "json", "decimal(10,2)", "timestamp(6)", "longtext", "bit(9)", "enum('a','b')"]
TARGET = frames.table_plan(frames.plans(*TYPES, policy="null"))
VERSIONED = frames.table_plan(frames.plans(*TYPES, policy="null"), handle=2, table="s.v", row_end=4)
TABLES = {
    frames.table_map_body(columns=len(TYPES))[6:]: TARGET,
    frames.table_map_body(table="v", columns=len(TYPES))[6:]: VERSIONED,
}
# Bounds that make sets and parts of a few rows.
SOFT_BYTES, HARD_BYTES = 200, 400
CUTS = [1, 30, 7, 100]


def whole(event: bytes) -> bytes:
    """The event with its true size in its header: damage gets further than the first check."""
    if len(event) < codes.HEADER_BYTES:
        return event
    return event[:9] + struct.pack("<I", len(event)) + event[13:]


def binlog(wire: ModuleType) -> Callable[[list[bytes]], Any]:
    def decode(events: list[bytes]) -> Any:
        is_mariadb = any(len(event) > 4 and event[4] == codes.MARIADB_GTID_EVENT for event in events)
        flavour = "mariadb" if is_mariadb else "mysql"
        bounds = {"soft_bytes": SOFT_BYTES, "hard_bytes": HARD_BYTES}
        pieces = cut(frames.packets(map(whole, events)), CUTS)
        return outcome(wire, TABLES, pieces, flavour=flavour, policy="null", **bounds)

    return decode
