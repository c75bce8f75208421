"""The server's own word on what was committed: a second slot, read once at the end, message by message in
plain Python.
"""

from __future__ import annotations

import struct
from collections import defaultdict

from tests.support.postgres.server import Database
from tests.support.workload.events import Event
from tests.support.workload.specs import SCHEMA

SLOT = "oracle"
PUBLICATION = "oracle"
# The head of a message is all that is looked at; a truncate names four bytes a table.
HEAD_BYTES = 400
# Commit, origin, type: nothing to count. PostgreSQL 18 sends a Stream Abort for a subtransaction that was
# rolled back after it was spilled, even where streaming is off.
_SILENT = frozenset("COYA")
_OPERATIONS = {"I": "c", "U": "u", "D": "d"}


class SlotOracle:
    """Made before the first counted change; `events` consumes the slot."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.execute(
            f"create publication {PUBLICATION} for tables in schema {SCHEMA} "
            "with (publish_via_partition_root = true)",
            f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')",
        )

    def events(self) -> dict[str, list[Event]]:
        """All changes since the oracle was made, by table, in commit order."""
        statement = f"""
            select substring(data for {HEAD_BYTES})
            from pg_logical_slot_get_binary_changes('{SLOT}', null, null,
                'proto_version', '1', 'publication_names', '{PUBLICATION}')
        """
        decoder = _Decoder()
        with self._database.connect() as connection, connection.cursor(binary=True) as cursor:
            cursor.execute(statement.encode())
            for (head,) in cursor:
                decoder.feed(bytes(head))
        return decoder.events


class _Decoder:
    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = defaultdict(list)
        self._names: dict[int, str] = {}
        self._commit_lsn = 0

    def feed(self, head: bytes) -> None:
        kind = chr(head[0])
        if kind == "B":
            (self._commit_lsn,) = struct.unpack_from(">Q", head, 1)
        elif kind == "R":
            (relid,) = struct.unpack_from(">I", head, 1)
            _, name, _ = head[5:].split(b"\0", 2)
            self._names[relid] = name.decode()
        elif kind in _OPERATIONS:
            (relid,) = struct.unpack_from(">I", head, 1)
            self._add(relid, _OPERATIONS[kind])
        elif kind == "T":
            count, _, *_ = struct.unpack_from(">IB", head, 1)
            for relid in struct.unpack_from(f">{count}I", head, 6):
                self._add(relid, "t")
        else:
            assert kind in _SILENT, f"the server sent {kind!r} ({head.hex()})"

    def _add(self, relid: int, op: str) -> None:
        self.events[self._names[relid]].append(Event(self._commit_lsn, op))
