"""The server's own word on what was committed: its binlog files, read once at the end, event by event in
plain Python that only walks over values.

A transaction's position is the end of the GTID event that opens it, as a number: file << 40 | offset. What an
XA transaction changed counts at its XA COMMIT.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.mysql.server import MysqlServer
from tests.support.workload.events import Event
from tests.support.workload.mysql.walk import RowWalker, TableShape
from tests.support.workload.specs import SCHEMA

HEADER_BYTES = 19
CHECKSUM_BYTES = 4
_MAGIC_BYTES = 4
_QUERY, _XID, _TABLE_MAP, _XA_PREPARE = 2, 16, 19, 38
_GTIDS = frozenset({33, 34, 42, 162})
_ROWS = {23: "c", 24: "u", 25: "d", 30: "c", 31: "u", 32: "d"}
_SECOND_VERSION = 30
# Rotate, format, user variables, previous GTIDs, statements behind rows, MariaDB's annotations, checkpoints,
# GTID lists: nothing to count. Anything else stops the test.
_SILENT = frozenset({4, 15, 3, 29, 35, 160, 161, 163})
_TRUNCATE = re.compile(rf'truncate(?: table)? {SCHEMA}\."?(\w+)"?', re.IGNORECASE)


class BinlogOracle:
    """Made before the first counted change."""

    def __init__(self, server: MysqlServer) -> None:
        self._server = server
        self._file, self._offset = server.position()

    def events(self) -> dict[str, list[Event]]:
        """All changes since the oracle was made, by table, in commit order."""
        reader = _Reader()
        last = self._server.position()[0]
        stem, _, number = self._file.rpartition(".")
        for at in range(int(number), int(last.rpartition(".")[2]) + 1):
            content = (self._server.data / f"{stem}.{at:06d}").read_bytes()
            start = self._offset if at == int(number) else _MAGIC_BYTES
            for kind, end, body in _events(content, start):
                reader.feed(kind, at << 40 | end, body)
        return reader.events


def _events(content: bytes, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Type, end offset and body of each event."""
    offset = start
    while offset + HEADER_BYTES <= len(content):
        _, kind, _, size, _, _ = struct.unpack_from("<IBIIIH", content, offset)
        end = offset + size
        yield kind, end, content[offset + HEADER_BYTES : end - CHECKSUM_BYTES]
        offset = end


@dataclass
class _Reader:
    """What follows the transactions: `pending` are the open one's changes, `prepared` those of XA."""

    events: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    position: int = 0
    pending: list[tuple[str, str]] = field(default_factory=list)
    branch: str = ""
    prepared: dict[str, tuple[int, list[tuple[str, str]]]] = field(default_factory=dict)
    tables: dict[int, TableShape] = field(default_factory=dict)

    def feed(self, kind: int, end: int, body: bytes) -> None:
        if kind in _GTIDS:
            self.position = end
        elif kind == _QUERY:
            self._query(body)
        elif kind == _XID:
            self._commit(self.position, self.pending)
        elif kind == _XA_PREPARE:
            self._prepare(one_phase=bool(body[0]))
        elif kind == _TABLE_MAP:
            shape = TableShape.parse(body)
            self.tables[shape.table_id] = shape
        elif kind in _ROWS:
            self._rows(kind, body)
        else:
            assert kind in _SILENT, f"the binlog has an event of type {kind}"

    def _query(self, body: bytes) -> None:
        database_bytes, variables = body[8], int.from_bytes(body[11:13], "little")
        sql = body[13 + variables + database_bytes + 1 :].decode("utf-8", "replace").strip()
        command = sql.upper()
        if command == "COMMIT":
            self._commit(self.position, self.pending)
        elif command == "ROLLBACK":
            self.pending = []
        elif command.startswith("XA END "):  # MariaDB's XA START is no statement of its own.
            self.branch = command[len("XA END ") :]
        elif command.startswith("XA COMMIT "):
            # A branch that changed nothing may be ended without having been prepared.
            self._commit(*self.prepared.pop(command[len("XA COMMIT ") :], (self.position, [])))
        elif command.startswith("XA ROLLBACK "):
            self.prepared.pop(command[len("XA ROLLBACK ") :], None)
        elif match := _TRUNCATE.match(sql):
            self._commit(self.position, [(match[1], "t")])

    def _prepare(self, *, one_phase: bool) -> None:
        if one_phase:
            self._commit(self.position, self.pending)
        else:
            self.prepared[self.branch], self.pending = (self.position, self.pending), []

    def _commit(self, prepared: int, changes: list[tuple[str, str]]) -> None:
        for table, op in changes:
            self.events[table].append(Event(self.position, op, prepared))
        self.pending = []

    def _rows(self, kind: int, body: bytes) -> None:
        shape = self.tables[int.from_bytes(body[:6], "little")]
        start = 8
        if kind >= _SECOND_VERSION:
            start += int.from_bytes(body[8:10], "little")
        op = _ROWS[kind]
        count = RowWalker(shape, body, start, images=2 if op == "u" else 1).count()
        if shape.schema == SCHEMA and not shape.name.startswith("_"):
            self.pending += [(shape.name, op)] * count
