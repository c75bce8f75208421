"""How often the engine looks and how long it waits. Tests pass a `Pacing` of their own to the engine, and may
change it while the engine runs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Pacing:
    """One engine's, read at each use; the defaults are the daemon's."""

    # A new table is copied within seconds of its creation,
    # and the catalog is asked rarely enough not to be noticed.
    discover_seconds: float = 5.0
    # First wait after an error: a restarting server answers within a second or two. Longest wait: an outage
    # that ends is noticed within half a minute.
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0
    # Several workers that lost one server do not come back in one instant.
    jitter_seconds: float = 0.5
    # What needs an operator is looked at again this often: soon enough to be watched for, rarely enough to
    # lock no account and to fill no log.
    operator_wait_seconds: float = 60.0
    # An attempt that lasted so long has succeeded, with or without changes to show for it: the next wait is
    # the first of a new series.
    steady_seconds: float = 30.0
    # An attempt that has run so long has recovered, even if no rows arrived to prove it.
    recovered_seconds: float = 5.0
    # Shorter waits of a table or a copy are ordinary: neither logged nor shown.
    lasting_seconds: float = 3.0
    # A table that waits although the stream has passed where the catalog was read meets a difference that
    # stays: long enough for ALTERs that follow each other, short enough for `run --once`.
    behind_seconds: float = 60.0
