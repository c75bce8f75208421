"""The contract of a tracer of batches. Any thread calls; no call raises or waits."""

from __future__ import annotations

from typing import Protocol

from cdc.model import Commit
from cdc.spi.state import Plan


class BatchTracer(Protocol):
    """Takes each batch on its two ways: from the source's commit into the log, and from there into a sink."""

    def captured(self, source: str, commit: Commit, rows: int) -> None:
        """Note that the log has this commit, with changes of the source, durably."""
        ...

    def delivered(self, sink: str, source: str, plan: Plan, *, is_replay: bool) -> None:
        """Note that the sink has the changes of this plan, which are some."""
        ...
