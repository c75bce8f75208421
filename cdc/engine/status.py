"""State of the running engine: rates, lags, phases, errors; one report for `cdc status`.

Writers are the workers' threads, each on its own object; readers take a snapshot. Plain attribute writes are
atomic enough: a report may mix values a moment apart, never a torn one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cdc.engine.waits import Waits
from cdc.errors import CdcError
from cdc.model import ChangeSet, Commit, Position, TableId, TableSchema
from cdc.spi import Plan, metrics
from cdc.spi.metrics import Meter
from cdc.spi.source import Absence
from cdc.spi.status import CopyReport, ErrorReport, SinkReport, SourceReport, UnfollowedReport
from cdc.spi.tracing import BatchTracer

# Long enough to smooth single flushes, short enough to follow a change of load.
RATE_WINDOW_SECONDS = 5.0
# A stream that is far behind passes none of the looks at its source: the oldest of so many is kept.
MAX_LOOKS = 64
# Counters are added to by several threads, rarely; one lock for all of them loses none.
_COUNTING = threading.Lock()
# As rarely does a worker fail or recover.
_CHANGING = threading.Lock()


class Rate:
    """Events a second over the last RATE_WINDOW_SECONDS."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()
        self.total = 0

    def add(self, amount: int) -> None:
        now = time.monotonic()
        with self._lock:
            self.total += amount
            self._points.append((now, amount))
            self._drop(now)

    def per_second(self) -> float:
        now = time.monotonic()
        with self._lock:
            self._drop(now)
            return sum(amount for _, amount in self._points) / RATE_WINDOW_SECONDS

    def _drop(self, now: float) -> None:
        while self._points and self._points[0][0] < now - RATE_WINDOW_SECONDS:
            self._points.popleft()


@dataclass(slots=True)
class LastError:
    """The last error of a worker, as operators read it.

    `retry_seconds` is None if nothing retries. `since` and `attempts` count from the first error in a row.
    """

    kind: str
    message: str
    remedy: str
    at: datetime
    retry_seconds: float | None
    needs_operator: bool = False
    attempts: int = 1
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of(
        cls, error: BaseException, retry_seconds: float | None, *, needs_operator: bool = False
    ) -> LastError:
        if isinstance(error, CdcError):
            where = f"{error.where}: " if error.where else ""
            kind, message, remedy = type(error).__name__, where + error.message, error.remedy
        else:
            # The text of a foreign error may hold row values: only its class is shown.
            kind, message = "InternalError", f"unexpected {type(error).__name__}"
            remedy = "This is a defect: please report it with the log lines around it."
        return cls(kind, message, remedy, datetime.now(UTC), retry_seconds, needs_operator)

    @classmethod
    def noted(cls, kind: str, message: str, remedy: str) -> LastError:
        """Return an error that a sink has recorded, and that has no retry of its own."""
        return cls(kind, message, remedy, datetime.now(UTC), None)

    def report(self, table: str | None = None) -> ErrorReport:
        return ErrorReport(
            table=table,
            kind=self.kind,
            message=self.message,
            remedy=self.remedy,
            at=self.at.isoformat(),
            since=self.since.isoformat(),
            attempts=self.attempts,
            retry_seconds=self.retry_seconds,
            needs_operator=self.needs_operator,
        )


@dataclass(slots=True)
class SnapshotProgress:
    """The copy under way: tables and chunks done of all, rows copied in this process, rows estimated.

    `estimated_rows` is 0 where the server does not know them. `has_all_chunks` is False while tables wait for
    a later snapshot, which will add chunks.
    """

    tables: int = 0
    tables_done: int = 0
    chunks: int = 0
    chunks_done: int = 0
    rows: int = 0
    estimated_rows: int = 0
    has_all_chunks: bool = False
    begun: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def report(self) -> CopyReport:
        rate = self.rows / max(self.seconds, 1.0)
        return CopyReport(
            tables=self.tables,
            tables_done=self.tables_done,
            chunks=self.chunks,
            chunks_done=self.chunks_done,
            rows=self.rows,
            estimated_rows=self.estimated_rows,
            percent=self._percent(),
            rows_per_second=round(rate, 1),
            remaining_seconds=self._remaining_seconds(rate),
        )

    def _remaining_seconds(self, rate: float) -> int | None:
        """By rows, or by chunks, which have similar sizes; None as long as neither is known."""
        if self.estimated_rows and rate:
            return round(max(0, self.estimated_rows - self.rows) / rate)
        if not self.estimated_rows and self.has_all_chunks and self.chunks_done:
            return round(self.seconds * (self.chunks - self.chunks_done) / self.chunks_done)
        return None

    def _percent(self) -> int:
        """Return the share of the estimated rows, else of chunks or tables; 100 only when all is done."""
        if self.tables_done >= self.tables:
            return 100
        if self.estimated_rows:
            return min(99, 100 * self.rows // self.estimated_rows)
        if self.has_all_chunks and self.chunks:
            return min(99, 100 * self.chunks_done // self.chunks)
        return min(99, 100 * self.tables_done // self.tables)


class WorkerCondition:
    """State and last error of a worker, which change together: a report never has one of them without the
    other.
    """

    state: str
    last_error: LastError | None

    def became(self, state: str, error: LastError | None) -> None:
        """Enter a state because of an error, or leave the error behind."""
        with _CHANGING:
            self.state, self.last_error = state, error

    def condition(self) -> tuple[str, LastError | None]:
        """Return the state, and the error that belongs to it."""
        with _CHANGING:
            return self.state, self.last_error


@dataclass(slots=True)
class CopyStatus(WorkerCondition):
    """State and last error of the snapshot coordinator, beside those of capture."""

    rate: Rate
    meter: Meter
    state: str = "starting"
    last_error: LastError | None = None


def _seconds_since(at: datetime) -> float:
    """By two clocks: never below 0."""
    return max(0.0, (datetime.now(UTC) - at).total_seconds())


def order_distance(position: Position, target: Position) -> int:
    """Bytes from one position to another where orders count bytes; never negative."""
    return max(0, target.order - position.order)


@dataclass(slots=True)
class SourceStatus(WorkerCondition):
    """One source's capture: `state` is connecting, streaming, retrying, failed or stopped."""

    name: str
    state: str = "starting"
    position: Position | None = None
    commit_at: datetime | None = None
    source_position: Position | None = None
    # Every change that was committed before this is in the log.
    complete_at: datetime | None = None
    distance: Callable[[Position, Position], int | None] = order_distance
    bytes: int = 0
    rate: Rate = field(default_factory=Rate)
    transactions: int = 0
    snapshot: SnapshotProgress | None = None
    waiting_tables: int = 0
    refused: Mapping[str, LastError] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    last_error: LastError | None = None
    unfollowed: Sequence[UnfollowedReport] = ()
    waits: Waits = field(default_factory=Waits)
    retained_bytes: int | None = None
    meter: Meter = field(init=False)
    copying: CopyStatus = field(init=False)
    outdated: Callable[[], Sequence[str]] = list
    log_is_open: bool = True
    tracer: BatchTracer | None = None
    # Positions that the source had, each with a time before it was asked, which the stream has not passed.
    _looks: deque[tuple[Position, datetime]] = field(default_factory=deque)
    _shapes: dict[TableId, TableSchema] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meter = Meter({"source": self.name, "part": "source", "name": self.name})
        self.copying = CopyStatus(self.rate, self.meter)

    def connecting(self) -> None:
        self.state = "connecting"

    def streaming(self) -> None:
        self.became("streaming", None)

    def looked(self, position: Position, at: datetime) -> None:
        """Note the newest position of the source, which was asked for it at that time."""
        self.source_position = position
        if len(self._looks) < MAX_LOOKS:
            self._looks.append((position, at))

    def positioned(self, commit: Commit | None) -> None:
        if commit is not None:
            self.position = commit.position
            self.commit_at = commit.commit_at or self.commit_at

    def took(self, changes: ChangeSet, stored: Callable[[TableId], TableSchema | None]) -> None:
        """Count the batches of a set, or of a part of one; `stored` returns the schema that the log has."""
        for batch in changes.batches:
            self.meter.add(metrics.TABLE_ROWS, batch.row_count, str(batch.table))
            known = self._shapes.get(batch.table) or stored(batch.table)
            if known is not batch.schema:
                self._shapes[batch.table] = batch.schema
                if known is not None and not known.same_shape(batch.schema):
                    self.meter.add(metrics.SCHEMA_CHANGES, 1)

    def captured(self, commit: Commit, rows: int) -> None:
        self.positioned(commit)
        if commit.transactions:
            self.meter.observe(metrics.LOG_COMMIT_ROWS, rows)
            if commit.commit_at is not None:
                self.meter.observe(metrics.COMMIT_TO_LOG, _seconds_since(commit.commit_at))
            if self.tracer is not None:
                self.tracer.captured(self.name, commit, rows)
        self.transactions += commit.transactions
        self.bytes += commit.byte_count
        self.rate.add(rows)

    def count(self, name: str, amount: int) -> None:
        with _COUNTING:
            self.counters[name] = self.counters.get(name, 0) + amount

    def refuse(self, table: str, error: BaseException, retry_seconds: float | None) -> None:
        """Note that the source refused this table; one that is refused again keeps its first time."""
        refusal = LastError.of(error, retry_seconds, needs_operator=True)
        known = self.refused.get(table)
        if known is not None:
            refusal.since, refusal.attempts = known.since, known.attempts + 1
        self.refused = {**self.refused, table: refusal}

    def refuse_only(self, tables: Collection[str]) -> None:
        """Forget the refusals of all tables but these."""
        self.refused = {table: error for table, error in self.refused.items() if table in tables}

    def unfollow(self, tables: Mapping[TableId, Absence]) -> None:
        """Note the tables whose rows are delivered with those of others, and no others."""
        self.unfollowed = [
            UnfollowedReport(str(table), str(one.within), one.reason, one.remedy)
            for table, one in sorted(tables.items())
        ]

    def _pass_looks(self) -> None:
        while self._looks and self.position is not None and self._looks[0][0].order <= self.position.order:
            self.complete_at = self._looks.popleft()[1]

    def report(self, end: int = 0) -> SourceReport:
        """Return the report of a source whose log ends at the offset `end`."""
        self._pass_looks()
        behind = None
        if self.source_position is not None and self.position is not None:
            behind = self.distance(self.position, self.source_position)
        state, error = self.condition()
        error = error or self.copying.last_error
        return SourceReport(
            state=state,
            position=str(self.position) if self.position else None,
            source_position=str(self.source_position) if self.source_position else None,
            behind_bytes=behind,
            offset=end,
            commit_at=self.commit_at.isoformat() if self.commit_at else None,
            rows_per_second=round(self.rate.per_second(), 1),
            rows=self.rate.total,
            bytes=self.bytes,
            complete_at=self.complete_at.isoformat() if self.complete_at else None,
            retained_bytes=self.retained_bytes,
            transactions=self.transactions,
            snapshot=self.snapshot.report() if self.snapshot else None,
            waiting_tables=self.waiting_tables,
            refused=[one.report(table) for table, one in sorted(self.refused.items())],
            unfollowed=list(self.unfollowed),
            counters=dict(self.counters),
            waits=self.waits.reports(),
            outdated=list(self.outdated()),
            log_is_open=self.log_is_open,
            error=error.report() if error else None,
        )


@dataclass(slots=True)
class SinkStatus(WorkerCondition):
    """One (source, sink) pair's delivery.

    `state` is opening, idle, applying, retrying, replaying, failed or stopped.
    """

    name: str
    source: str
    state: str = "starting"
    next: int = 0
    position: Position | None = None
    commit_at: datetime | None = None
    # Every change that was committed before this is in the sink.
    complete_at: datetime | None = None
    # The commit time of the oldest change that waits, or that the newest delivery began with.
    waiting_since: datetime | None = None
    flush_interval_seconds: float = 0.0
    bytes: int = 0
    rate: Rate = field(default_factory=Rate)
    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    last_error: LastError | None = None
    set_aside: Mapping[str, LastError] = field(default_factory=dict)
    # The offsets at which a replay began and is over; None when none is under way.
    replaying_from: int | None = None
    replaying_to: int | None = None
    tracer: BatchTracer | None = None
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        labels = {"sink": self.name, "source": self.source, "part": "sink", "name": self.name}
        self.meter = Meter(labels)

    def count(self, name: str, amount: int) -> None:
        with _COUNTING:
            self.counters[name] = self.counters.get(name, 0) + amount

    def gauge(self, name: str, value: float) -> None:
        with _COUNTING:
            self.gauges[name] = value

    def applied(self, plan: Plan) -> None:
        """Count a delivery that the sink has."""
        self.rate.add(plan.row_count)
        self.bytes += plan.byte_count
        if plan.written_at is None:
            return
        self.meter.observe(metrics.DELIVERY_ROWS, plan.row_count)
        self.meter.observe(metrics.LOG_TO_SINK, _seconds_since(plan.written_at))
        if plan.commit_at is not None:
            self.meter.observe(metrics.COMMIT_TO_SINK, _seconds_since(plan.commit_at))
        if self.tracer is not None:
            self.tracer.delivered(self.name, self.source, plan, is_replay=self.replaying_to is not None)

    def moved(self, next_offset: int, position: Position, commit_at: datetime | None) -> None:
        self.next, self.position = next_offset, position
        self.commit_at = commit_at or self.commit_at

    def _complete(self, behind: int, source_at: datetime | None) -> float | None:
        """Return the freshness. A sink that has the whole log is as complete as the log, every other one
        until its newest change, or the oldest that waits.
        """
        at = max(filter(None, (self.commit_at, self.waiting_since)), default=None)
        if not behind and source_at is not None:
            at = source_at
        is_newer = at is not None and (self.complete_at is None or at > self.complete_at)
        if is_newer or self.replaying_to is not None:
            self.complete_at = at
        if self.complete_at is None:
            return None
        return round(max(0.0, (datetime.now(UTC) - self.complete_at).total_seconds()), 1)

    def report(
        self,
        end: int,
        end_commit_at: datetime | None,
        complete_at: datetime | None = None,
        behind_bytes: int | None = None,
    ) -> SinkReport:
        """Return the report, given the end of the log, the time of its newest commit and until when it is
        complete.
        """
        behind = max(0, end - self.next)
        freshness = self._complete(behind, complete_at)
        state, error = self.condition()
        seconds = None
        if behind and self.commit_at and end_commit_at:
            seconds = max(0.0, (end_commit_at - self.commit_at).total_seconds())
        return SinkReport(
            source=self.source,
            state=state,
            next=self.next,
            position=str(self.position) if self.position else None,
            commit_at=self.commit_at.isoformat() if self.commit_at else None,
            behind_changes=behind,
            behind_bytes=behind_bytes,
            behind_seconds=0.0 if not behind else seconds,
            complete_at=self.complete_at.isoformat() if self.complete_at else None,
            freshness_seconds=freshness,
            flush_interval_seconds=self.flush_interval_seconds,
            replay_from=self.replaying_from,
            replay_to=self.replaying_to,
            rows_per_second=round(self.rate.per_second(), 1),
            rows=self.rate.total,
            bytes=self.bytes,
            set_aside=[one.report(table) for table, one in sorted(self.set_aside.items())],
            counters=dict(self.counters),
            gauges=dict(self.gauges),
            error=error.report() if error else None,
        )
