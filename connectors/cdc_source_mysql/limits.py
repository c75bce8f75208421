"""How much a source takes at once and how long it waits, where no option says so.

What is no option for users still differs between a daemon and a test or benchmark that wants small chunks or
short waits: those pass a `Limits` of their own to the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cdc.kit.pacing import IDLE_SECONDS

# COM_BINLOG_DUMP carries the offset in 32 bits.
MAX_DUMP_OFFSET: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One source's; the defaults are the daemon's."""

    # How long the server waits for us while we are busy with what it sent, in whole seconds. Its default of
    # 60 s ends a reader that a full disk or a slow sink holds up.
    server_patience_seconds: int = 600

    # A set this large is worth a log frame of its own; larger ones only cost memory, so a transaction that
    # has come so far is handed on in parts.
    set_bytes: int = 2 * 1024 * 1024
    # Rows of a prepared transaction that are read again are handed on in parts of this size.
    part_bytes: int = 4 * 1024 * 1024
    idle_seconds: float = IDLE_SECONDS
    # Silence of some heartbeats is a dead connection, but never less than this: a loaded server is late.
    min_silent_seconds: float = 10.0
    # Past this offset in a file a stream continues by GTID, or in the next file.
    max_dump_offset: int = MAX_DUMP_OFFSET
    # XA transactions that were prepared before us mostly end within this time.
    xa_patience_seconds: float = 3.0

    # About half a second of reading: fine enough to share out, to show progress and to let an ALTER through,
    # coarse enough to cost nothing.
    chunk_bytes: int = 64 * 1024 * 1024
    # However wide its rows, a chunk has at least this many, and however narrow, no more than that.
    min_chunk_rows: int = 1_000
    max_chunk_rows: int = 500_000
    # A stream that is at the end of the binlog says so within seconds; one that is behind takes its time,
    # and the snapshot comes again.
    settled_seconds: float = 20.0
    # The binlog is ahead of visibility by the length of a group commit, on a replica that waits for
    # acknowledgements by seconds; more than this is a server that hangs.
    visible_seconds: float = 60.0
    # While a lock is waited for, new writers of the table wait behind it: short, whole seconds, and tried
    # again.
    lock_seconds: int = 5
    lock_attempts: int = 3


DEFAULTS: Final = Limits()
