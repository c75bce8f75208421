"""How much a source takes at once and how long it waits, where no option says so.

What is no option for users still differs between a daemon and a test or benchmark that wants small chunks or
short waits: those pass a `Limits` of their own to the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdc.kit.pacing import IDLE_SECONDS

# A set this large is worth a log frame of its own; larger ones only cost memory.
SET_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One source's; the defaults are the daemon's."""

    # An operator should know of a lock that is kept longer than this; what waits is tried
    # again. Whole seconds.
    lock_timeout_seconds: int = 10
    # Creating a slot waits for every transaction that was open when it began; each attempt ends with the lock
    # timeout. Three of them outlast a slow report, after that the one who blocks is named.
    create_attempts: int = 3
    # The walsender of a process that was killed notices within seconds; one that another daemon uses stays.
    release_seconds: float = 10.0
    # Bounds how long a dropped publication goes unnoticed, and keeps apart what happened apart: the fewer
    # statements lie between two looks, the more of them can be proven harmless.
    look_seconds: float = 10.0

    # A set of whole transactions is yielded at this size.
    set_bytes: int = SET_BYTES
    # A transaction is yielded in parts of this size: the bound of what a stream holds in memory.
    part_bytes: int = SET_BYTES
    idle_seconds: float = IDLE_SECONDS

    # A fraction of a second of COPY BINARY: what is lost when a snapshot gives way.
    chunk_bytes: int = 8 * 1024 * 1024
    # However much a table has outside its own pages (TOAST), a chunk has at least this many.
    min_chunk_pages: int = 128
    # How long a view of a table that a later one can complete takes on new chunks: it keeps VACUUM from
    # removing rows that die meanwhile, in the whole database. Creating the next one costs a fraction of a
    # second.
    snapshot_seconds: float = 60.0
    # What one snapshot holds of small tables: some seconds of reading, so that slots do not set the pace, and
    # few enough locks for the server's default lock table.
    group_bytes: int = 256 * 1024 * 1024
    group_tables: int = 500

    # The check warns of a prepared transaction this old: a transaction manager commits what it has prepared
    # within moments; after a minute it has lost it.
    prepared_seconds: float = 60.0


DEFAULTS = Limits()
