"""Choose the next range for a sink: whole commits, fixed before the first attempt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from cdc.engine.wide import WideTurn
from cdc.model import ChangeBatch, Commit
from cdc.spi import Delivery, FlushPolicy, LogReader, Plan
from cdc.spi.capabilities import DEFAULT_PART_BYTES

# One batch costs a sink about as much as thousands of rows; parts of many one-row batches end here.
PART_BATCHES = 4096


class Planner:
    """Collector of the commits that wait for one sink; reads each commit once."""

    def __init__(self, log: LogReader, sink: str, policy: FlushPolicy, start: int) -> None:
        self._log = log
        self._sink = sink
        self._policy = policy
        self._scanned = start
        self._pending: Plan | None = None
        self._full = False
        self._since = 0.0
        self._oldest_commit_at: datetime | None = None

    @property
    def oldest_commit_at(self) -> datetime | None:
        """The commit time of the oldest change that waits: the sink has all that was committed before."""
        return self._oldest_commit_at if self._pending is not None else None

    @property
    def scanned(self) -> int:
        """The offset up to which commits are collected."""
        return self._scanned

    def collect(self) -> None:
        """Collect the durable commits, up to a full plan."""
        if self._full:
            return
        for commit in self._log.commits(self._scanned):
            if commit.next <= self._scanned and commit.first != commit.next:
                continue
            if commit.first == commit.next and self._pending is None:
                continue
            if self._add(commit):
                return

    def due(self, *, flush_now: bool) -> Plan | None:
        """Return the plan if it is due: full, old enough, or requested."""
        if self._pending is None:
            return None
        age = time.monotonic() - self._since
        if self._full or flush_now or age >= self._policy.interval_seconds:
            plan, self._pending, self._full = self._pending, None, False
            return plan
        return None

    def wait_seconds(self, longest: float) -> float:
        """Seconds until the next plan is due if no commit arrives."""
        if self._pending is None:
            return longest
        return max(0.0, min(longest, self._since + self._policy.interval_seconds - time.monotonic()))

    def _add(self, commit: Commit) -> bool:
        """Take in one commit; whether the plan is full now."""
        before = self._pending
        if before is None:
            self._since = time.monotonic()
            self._oldest_commit_at = None
            before = Plan(self._scanned, self._scanned, commit.position, None)
        self._oldest_commit_at = self._oldest_commit_at or commit.commit_at
        is_seen = commit.audience.includes(self._sink)
        self._pending = Plan(
            before.first,
            commit.next,
            commit.position,
            commit.commit_at or before.commit_at,
            before.row_count + commit.row_count * is_seen,
            before.byte_count + commit.byte_count * is_seen,
            before.written_at or commit.written_at,
        )
        self._scanned = commit.next
        self._full = (
            self._pending.row_count >= self._policy.rows or self._pending.byte_count >= self._policy.bytes
        )
        return self._full


def delivery_of(  # noqa: PLR0913  (a delivery's parts; keywords)
    plan: Plan,
    log: LogReader,
    source: str,
    sink: str,
    *,
    replaying: bool,
    begins: bool = False,
    part_bytes: int = DEFAULT_PART_BYTES,
    turn: WideTurn | None = None,
) -> Delivery:
    """Return the delivery that applies a plan: what the sink is to see of its range, in parts.

    `turn` is taken before wide rows.
    """
    return Delivery(
        source=source,
        first=plan.first,
        next=plan.next,
        position=plan.position,
        commit_at=plan.commit_at,
        row_count=plan.row_count,
        byte_count=plan.byte_count,
        replaying=replaying,
        parts=_parts(log, plan, sink, part_bytes, turn or WideTurn()),
        begins=begins,
    )


def _parts(
    log: LogReader, plan: Plan, sink: str, part_bytes: int, turn: WideTurn
) -> Callable[[], Iterator[Sequence[ChangeBatch]]]:
    def parts() -> Iterator[Sequence[ChangeBatch]]:
        # The part in the making; whoever takes it holds its rows alone.
        parts: list[list[ChangeBatch]] = [[]]
        gathered = 0
        for batch in log.read(plan.first, plan.next, sink, before_large=turn.take):
            parts[0].append(batch)
            gathered += batch.byte_count
            del batch  # A wide one must be gone before the next is read.
            if gathered >= part_bytes or len(parts[0]) >= PART_BATCHES:
                yield parts.pop()
                parts, gathered = [[]], 0
        if parts[0]:
            yield parts.pop()

    return parts
