"""What we tell the server about how far we are, and when.

Only positions that the log holds are acknowledged, and never one beyond what this stream has received: the
server accepts any value and would skip ahead for good. Silence for `wal_sender_timeout` ends the stream, so a
sign of life goes out in time even when nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cdc_source_postgres.messages import encode_status

# A sign of life at least this often; a third of wal_sender_timeout where that is shorter.
STATUS_SECONDS = 10.0
# Progress goes out sooner, but not with every commit: the server forgets WAL in megabytes, not in single
# transactions.
PROGRESS_SECONDS = 0.1


class Acknowledgements:
    """The status messages of one stream. Used by the capture thread only."""

    def __init__(self, send: Callable[[bytes], None], start: int, sender_timeout_seconds: float) -> None:
        """`start` is where the stream began; a timeout of 0 means that the server has none."""
        self._send = send
        self._received = start
        self._durable = 0
        self._sent = 0
        self._sent_at = time.monotonic()
        third = sender_timeout_seconds / 3
        self.interval_seconds = min(STATUS_SECONDS, third) if third > 0 else STATUS_SECONDS

    @property
    def durable(self) -> int:
        """What the server may forget; 0 while nothing is known, which moves nothing."""
        return min(self._durable, self._received)

    def received(self, lsn: int) -> None:
        """Everything before this has arrived."""
        self._received = max(self._received, lsn)

    def acknowledge(self, lsn: int) -> None:
        """Everything before this is safe with us."""
        self._durable = max(self._durable, lsn)
        self.send_if_due()

    def send_if_due(self) -> None:
        silent_seconds = time.monotonic() - self._sent_at
        progress = self.durable > self._sent and silent_seconds >= PROGRESS_SECONDS
        if progress or silent_seconds >= self.interval_seconds:
            self.send()

    def send(self, *, ask: bool = False) -> None:
        """Tell the server now; `ask` makes it answer with a keepalive."""
        self._send(encode_status(self._received, self.durable, self.durable, time.time_ns() // 1000, ask))
        self._sent = self.durable
        self._sent_at = time.monotonic()
