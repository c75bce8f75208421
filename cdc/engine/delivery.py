"""Log → one sink: one thread a (source, sink) pair plans, applies,
and remembers nothing that the sink does not.

A plan is saved before its first attempt and used again by a retry and by the next process, so that what a
sink is asked to apply for an offset never changes. The cursor is the sink's own; the log and the saved plan
are checked against it at every start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from cdc import failpoints
from cdc.engine.aside import AsideWatch
from cdc.engine.beginning import Beginning
from cdc.engine.planning import Plan, Planner, delivery_of
from cdc.engine.specs import SinkSpec
from cdc.engine.status import SinkStatus
from cdc.errors import SinkRefused
from cdc.model import Position, TableId
from cdc.spi import Cursor, LogReader, Sink, SupportsRewind
from cdc.spi.sink import SupportsIdle

# How often an idle sink is told the newest position, so that `_cdc.cursors` shows a fresh "consistent as of"
# on a quiet source.
IDLE_POSITION_SECONDS = 60.0
# Longest sleep between looks at the stop flag and at replay requests.
LONGEST_WAIT_SECONDS = 0.5
# Replay requests are people's doing; a second's delay is not felt, a look-up at every commit would be.
REPLAY_POLL_SECONDS = 1.0
# On a stop, what waits is flushed for so long; a larger backlog stays in the log for the next start (a stop
# must end within 30 s).
STOP_FLUSH_SECONDS = 10.0
# Upkeep (checkpoint, publish) is offered to a sink that has caught up at most this often.
IDLE_INTERVAL_SECONDS = 1.0


class PlanStore(Protocol):
    """Where plans and replay requests are kept, for one (source, sink) pair."""

    def load(self) -> Plan | None: ...

    def save(self, plan: Plan) -> None: ...

    def clear(self) -> None: ...

    def replay_request(self) -> tuple[Any, int] | None:
        """A request's handle and the offset to go back to."""
        ...

    def request_copy(self, table: TableId) -> None:
        """Leave the request that a table is copied for this sink, unless one waits already."""
        ...

    def replay_finished(self, handle: Any, error: str | None) -> None:
        """Tell who asked: taken over (None), or refused for that reason."""
        ...


class Delivery:
    """Runs one pair. `run` may be called again after an error, with a fresh sink object from `make_sink`."""

    def __init__(
        self,
        source: str,
        log: LogReader,
        make_sink: Callable[[], Sink],
        plans: PlanStore,
        beginning: Beginning,
        spec: SinkSpec,
        status: SinkStatus,
    ) -> None:
        self._source = source
        self._log = log
        self._make_sink = make_sink
        self._plans = plans
        self._beginning = beginning
        self._policy = spec.flush
        self._part_bytes = spec.part_bytes
        self._status = status
        self._aside = AsideWatch(source, log, status, plans.request_copy)
        self._position_at = 0.0
        self._idle_at = 0.0
        self._replay_at = 0.0
        self.flush_now = threading.Event()
        # Set once the sink's cursor is known, and with it what the log must keep.
        self.opened = threading.Event()
        self.position: Position | None = None
        """The source position that the sink holds; what `acknowledge: sinks` waits for."""

    def run(self, stop: threading.Event) -> None:
        """Deliver until stopped, then flush what waits; raises what the sink or the log raises."""
        self._status.state = "opening"
        sink = self._make_sink()
        try:
            sink.prepare(self._source)
            while not stop.is_set():
                self._follow(sink, stop)
        finally:
            sink.close()
        self._status.state = "stopped"

    def _follow(self, sink: Sink, stop: threading.Event) -> None:
        """Deliver from the sink's cursor on, until stopped or told to replay."""
        cursor = self._start(sink, stop)
        if not self.opened.is_set():
            return
        high = cursor.high if cursor else 0
        self._status.replaying_to = high if cursor and cursor.next < high else None
        start = cursor.next if cursor else self._log.start
        planner = Planner(self._log, self._status.name, self._policy, start)
        stop_at: float | None = None
        while True:
            planner.collect()
            if stop.is_set():
                stop_at = stop_at or time.monotonic() + STOP_FLUSH_SECONDS
            plan = planner.due(flush_now=stop_at is not None or self.flush_now.is_set())
            if stop_at is not None and (plan is None or time.monotonic() > stop_at):
                return
            if self._replay(sink):
                return
            self._aside.look(sink)
            if plan is not None:
                self._apply(sink, plan, replaying=plan.first < high)
            else:
                self._rest(sink, planner)

    def _start(self, sink: Sink, stop: threading.Event) -> Cursor | None:
        cursor = sink.committed(self._source)
        if self._beginning.is_needed(cursor):
            cursor = self._begin(sink, cursor, stop)
            if cursor is None:
                return None
        self._verify(cursor)
        plan = self._plans.load()
        if plan is not None and plan.first == (cursor.next if cursor else self._log.start):
            self._apply(sink, plan, replaying=bool(cursor and plan.first < cursor.high))
            cursor = sink.committed(self._source)
        elif plan is not None:
            self._plans.clear()
        self._note(cursor)
        self.opened.set()
        return cursor

    def _begin(self, sink: Sink, cursor: Cursor | None, stop: threading.Event) -> Cursor | None:
        """Have the sink begin where the log can serve it; None when stopped before that is known."""
        offset = self._beginning.find(cursor, stop)
        if offset is None:
            return None
        self._plans.clear()
        plan = Plan(offset, offset, self._beginning.position_at(offset), None)
        self._apply(sink, plan, replaying=False, begins=True)
        return sink.committed(self._source)

    def _verify(self, cursor: Cursor | None) -> None:
        """The sink and the log must belong together."""
        if cursor is not None and not self._belongs(cursor):
            end = self._log.end
            raise SinkRefused(
                f"the sink's cursor (offset {cursor.next}, position {cursor.position}) is no commit of this "
                f"log, which ends at offset {end.next if end else 0}",
                where=f"sinks.{self._status.name}",
                remedy=(
                    "Mount the newest state_dir (this one was emptied, replaced, or restored from a backup), "
                    "or give the sink a new, empty location."
                ),
            )

    def _belongs(self, cursor: Cursor) -> bool:
        """Whether the cursor stands behind a commit of this log whose position it has reached."""
        end = self._log.end
        if end is None or cursor.next > end.next:
            return False
        if cursor.next <= self._log.start:
            return cursor.next == self._log.start
        commit = next(self._log.commits(cursor.next - 1))
        return commit.next == cursor.next and commit.position <= cursor.position <= end.position

    def _apply(self, sink: Sink, plan: Plan, *, replaying: bool, begins: bool = False) -> None:
        self._status.state = "replaying" if replaying else "applying"
        if plan.first != plan.next:
            self._plans.save(plan)
        failpoints.hit("delivery.planned")
        delivery = delivery_of(
            plan,
            self._log,
            self._source,
            self._status.name,
            replaying=replaying,
            begins=begins,
            part_bytes=self._part_bytes,
        )
        sink.apply(delivery)
        failpoints.hit("delivery.applied")
        if plan.first != plan.next:
            self._plans.clear()
            # Before the status says that the sink has it all: `run --once` waits for copies.
            self._aside.look(sink, at_once=True)
        self._status.rate.add(plan.row_count)
        self._status.last_error = None
        self._position_at = time.monotonic()
        self._moved(plan.next, plan)

    def _moved(self, next_offset: int, plan: Plan) -> None:
        self._status.next, self._status.position = next_offset, plan.position
        self._status.commit_at = plan.commit_at or self._status.commit_at
        self.position = plan.position

    def _note(self, cursor: Cursor | None) -> None:
        if cursor is not None:
            self._status.next, self._status.position = cursor.next, cursor.position
            self._status.commit_at = cursor.commit_at
            self.position = cursor.position

    def _replay(self, sink: Sink) -> bool:
        """Go back if someone asked for it; whether the cursor moved."""
        if time.monotonic() - self._replay_at < REPLAY_POLL_SECONDS:
            return False
        self._replay_at = time.monotonic()
        request = self._plans.replay_request()
        if request is None:
            return False
        handle, offset = request
        refusal = self._refusal(sink, offset)
        if refusal is None:
            assert isinstance(sink, SupportsRewind)
            self._plans.clear()
            # Said before it is done, so that retention doesn't pass it.
            self._status.next = offset
            sink.rewind(self._source, offset)
        self._plans.replay_finished(handle, refusal)
        return refusal is None

    def _refusal(self, sink: Sink, offset: int) -> str | None:
        """Why the sink can't go back to that offset."""
        if not isinstance(sink, SupportsRewind):
            return "this sink can't go back"
        if offset < self._log.start:
            return f"the log begins at offset {self._log.start}"
        if offset > self._status.next:
            return f"the sink is at offset {self._status.next}, which lies before"
        return None

    def _rest(self, sink: Sink, planner: Planner) -> None:
        """Nothing is due: upkeep, a fresh position, then wait for the log."""
        now = time.monotonic()
        end = self._log.end
        caught_up = end is not None and planner.scanned >= end.next
        if caught_up:
            self._status.state = "idle"
            if isinstance(sink, SupportsIdle) and now - self._idle_at >= IDLE_INTERVAL_SECONDS:
                sink.idle()
                self._idle_at = time.monotonic()
            if end is not None and self._stale(end.position, planner, now):
                self._apply(sink, Plan(end.next, end.next, end.position, end.commit_at), replaying=False)
        wait = planner.wait_seconds(LONGEST_WAIT_SECONDS)
        self._log.wait(planner.scanned, max(wait, 0.001))

    def _stale(self, newest: Position, planner: Planner, now: float) -> bool:
        nothing_waits = self._status.next == planner.scanned and self.position is not None
        old = now - self._position_at >= IDLE_POSITION_SECONDS or self.flush_now.is_set()
        return nothing_waits and old and self.position != newest and self._status.next > 0
