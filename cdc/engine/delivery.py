"""Log → one sink: one thread a (source, sink) pair plans, applies,
and remembers nothing that the sink does not.

A plan is saved before its first attempt and used again by a retry and by the next process, so that the range
to apply at an offset never changes. The cursor is the sink's own; the log and the saved plan
are checked against it at every start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cdc import failpoints
from cdc.engine.beginning import Beginning
from cdc.engine.planning import Planner, delivery_of
from cdc.engine.specs import SinkSpec
from cdc.engine.status import LastError, SinkStatus
from cdc.engine.wide import WideTurn
from cdc.errors import SinkRefused
from cdc.merge import continuity
from cdc.model import Position, TableId
from cdc.spi import (
    Cursor,
    DeliveryState,
    LogReader,
    Plan,
    PublishedCursor,
    SetAside,
    SetsAside,
    Sink,
    SinkContext,
    SupportsRewind,
)
from cdc.spi.sink import SupportsIdle

# How often an idle sink receives the newest position, so that `_cdc.cursors` shows a fresh "consistent as of"
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
# A table is set aside within a delivery; a second's delay is not felt.
LOOK_SECONDS = 1.0
# An operator who removed the cause waits no longer than this.
RECONSIDER_SECONDS = 60.0


class DeliveryLoop:
    """Runs one pair. `run` may be called again after an error, with a fresh sink object from `make_sink`."""

    def __init__(
        self,
        log: LogReader,
        state: DeliveryState,
        make_sink: Callable[[], Sink],
        beginning: Beginning,
        spec: SinkSpec,
        context: SinkContext,
        status: SinkStatus,
    ) -> None:
        self._source = status.source
        self._name = status.name
        self._log = log
        self._state = state
        self._make_sink = make_sink
        self._beginning = beginning
        self._policy = spec.flush
        self._part_bytes = spec.part_bytes
        self._context = context
        self._status = status
        self._aside = AsideWatch(self._source, log, status, self._request_copy)
        self._position_at = 0.0
        self._idle_at = 0.0
        self._replay_at = 0.0
        self._flush_now = threading.Event()
        self._is_flushing = False
        # Set once the sink's cursor is published, and with it what the log must keep.
        self.opened = threading.Event()

    def flush(self) -> None:
        """From now on deliver at once what waits, whatever the policy says; from any thread."""
        self._flush_now.set()
        self._log.wake()

    def run(self, stop: threading.Event) -> None:
        """Deliver until stopped, then flush waiting changes; raises the errors of the sink and the log."""
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
        """Deliver from the sink's cursor on, until stopped or asked to replay."""
        cursor = self._start(sink, stop)
        if not self.opened.is_set():
            return
        high = cursor.high if cursor else 0
        replays = cursor is not None and cursor.next < high
        self._status.replaying_from = cursor.next if cursor and replays else None
        self._status.replaying_to = high if replays else None
        start = cursor.next if cursor else self._log.start
        planner = Planner(self._log, self._status.name, self._policy, start)
        stop_at: float | None = None
        self._status.waiting_since = None
        while True:
            planner.collect()
            self._status.waiting_since = planner.oldest_commit_at or self._status.waiting_since
            if stop.is_set():
                stop_at = stop_at or time.monotonic() + STOP_FLUSH_SECONDS
            self._is_flushing = self._flush_now.is_set()
            plan = planner.due(flush_now=stop_at is not None or self._is_flushing)
            if stop_at is not None and (plan is None or time.monotonic() > stop_at):
                return
            if self._replay(sink):
                return
            self._aside.look(sink)
            if plan is not None:
                self._apply(sink, plan, replaying=plan.first < high)
            else:
                self._rest(sink, planner, stop)

    def _start(self, sink: Sink, stop: threading.Event) -> Cursor | None:
        cursor = sink.committed(self._source)
        if self._beginning.is_needed(cursor):
            cursor = self._begin(sink, cursor, stop)
            if cursor is None:
                return None
        self._verify(cursor)
        plan = self._state.plan(self._name, self._source)
        if plan is not None and plan.first == (cursor.next if cursor else self._log.start):
            self._apply(sink, plan, replaying=bool(cursor and plan.first < cursor.high))
            cursor = sink.committed(self._source)
        elif plan is not None:
            self._state.clear_plan(self._name, self._source)
        self._note(cursor)
        self.opened.set()
        return cursor

    def _begin(self, sink: Sink, cursor: Cursor | None, stop: threading.Event) -> Cursor | None:
        """Have the sink begin where the log can serve it; None when stopped before that is known."""
        offset = self._beginning.find(cursor, stop)
        if offset is None:
            return None
        self._state.clear_plan(self._name, self._source)
        plan = Plan(offset, offset, self._beginning.position_at(offset), None)
        self._apply(sink, plan, replaying=False, begins=True)
        return sink.committed(self._source)

    def _verify(self, cursor: Cursor | None) -> None:
        """The sink and the log must belong together."""
        if cursor is not None and not continuity.belongs(cursor, self._log):
            end = self._log.end
            raise SinkRefused(
                f"the sink's cursor (offset {cursor.next}, position {cursor.position}) is not a commit "
                "of this "
                f"log, which ends at offset {end.next if end else 0}",
                where=f"sinks.{self._status.name}",
                remedy=(
                    "Mount the newest state_dir (this one was emptied, replaced, or restored from a backup), "
                    "or give the sink a new, empty location."
                ),
            )

    def _apply(self, sink: Sink, plan: Plan, *, replaying: bool, begins: bool = False) -> None:
        self._status.state = "replaying" if replaying else "applying"
        if plan.first != plan.next:
            self._state.save_plan(self._name, self._source, plan)
        failpoints.hit("delivery.planned")
        with WideTurn() as turn:
            delivery = delivery_of(
                plan,
                self._log,
                self._source,
                self._name,
                replaying=replaying,
                begins=begins,
                part_bytes=self._part_bytes,
                turn=turn,
            )
            sink.apply(delivery)
        failpoints.hit("delivery.applied")
        self._publish(plan.next, plan.position)
        if plan.first != plan.next:
            # Before the status says that the sink has it all: `run --once` waits for copies.
            self._aside.look(sink, at_once=True)
        self._status.applied(plan)
        self._status.last_error = None
        self._position_at = time.monotonic()
        self._status.moved(plan.next, plan.position, plan.commit_at)

    def _publish(self, next_offset: int, position: Position) -> None:
        """Say how far the sink is, to capture and its retention; the plan for it is done."""
        cursor = PublishedCursor(self._name, next_offset, position)
        self._state.publish_cursor(self._source, cursor, self._context.epoch)

    def _note(self, cursor: Cursor | None) -> None:
        if cursor is not None:
            self._publish(cursor.next, cursor.position)
            self._status.moved(cursor.next, cursor.position, cursor.commit_at)

    def _replay(self, sink: Sink) -> bool:
        """Rewind the sink if a request is pending; return whether the cursor moved."""
        if time.monotonic() - self._replay_at < REPLAY_POLL_SECONDS:
            return False
        self._replay_at = time.monotonic()
        request = next(iter(self._state.pending_replays(self._name, self._source)), None)
        if request is None:
            return False
        refusal = self._refusal(sink, request.offset)
        if refusal is None:
            assert isinstance(sink, SupportsRewind)
            # Published before it is done, so that retention doesn't pass it.
            self._publish(request.offset, self._beginning.position_at(request.offset))
            self._status.next = request.offset
            sink.rewind(self._source, request.offset)
        self._context.log(
            "replaying" if refusal is None else "replay refused",
            level="info" if refusal is None else "warning",
            source=self._source,
            request=request.id,
            reason=refusal,
        )
        self._state.finish_replay(request.id, refusal)
        return refusal is None

    def _request_copy(self, table: TableId) -> None:
        """Leave the request that a table is copied for this sink, unless one waits already."""
        for request in self._state.unfinished_copies(self._source):
            if request.sink == self._name and (request.tables is None or table in request.tables):
                return
        self._state.request_copy(self._source, [table], self._name)

    def _refusal(self, sink: Sink, offset: int) -> str | None:
        """Return why the sink cannot be rewound to that offset, None if it can."""
        if not isinstance(sink, SupportsRewind):
            return continuity.NO_REPLAY
        if offset < self._log.start:
            return f"the log begins at offset {self._log.start}"
        return continuity.why_ahead(self._status.next, offset) or None

    def _rest(self, sink: Sink, planner: Planner, stop: threading.Event) -> None:
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
        self._log.wait(
            planner.scanned,
            max(wait, 0.001),
            lambda: stop.is_set() or (self._flush_now.is_set() and not self._is_flushing),
        )

    def _stale(self, newest: Position, planner: Planner, now: float) -> bool:
        nothing_waits = self._status.next == planner.scanned and self._status.position is not None
        old = now - self._position_at >= IDLE_POSITION_SECONDS or self._is_flushing
        return nothing_waits and old and self._status.position != newest and self._status.next > 0


class AsideWatch:
    """Watch the tables that a sink has set aside: show them in the status, check once a minute whether the
    sink can store them, and request a copy (`request_copy`) of each table that it can store again.
    """

    def __init__(
        self, source: str, log: LogReader, status: SinkStatus, request_copy: Callable[[TableId], None]
    ) -> None:
        self._source = source
        self._log = log
        self._status = status
        self._request_copy = request_copy
        self._requested: set[TableId] = set()
        self._checked_at = self._reconsidered_at = float("-inf")

    def look(self, sink: Sink, *, at_once: bool = False) -> None:
        """Ask the sink, unless it was asked a moment ago; `at_once` after a delivery."""
        now = time.monotonic()
        if not isinstance(sink, SetsAside) or (now - self._checked_at < LOOK_SECONDS and not at_once):
            return
        self._checked_at = now
        found = sink.set_aside(self._source)
        if found and now - self._reconsidered_at >= RECONSIDER_SECONDS:
            self._reconsidered_at = now
            for one in found:
                self._reconsider(sink, one)
            found = sink.set_aside(self._source)
        self._status.set_aside = {str(one.table): _as_error(one) for one in found if one.skips}
        wanted = {one.table for one in found if one.deliverable}
        for table in sorted(wanted - self._requested):
            self._request_copy(table)
        # One that comes back and is set aside again later is requested again.
        self._requested = wanted

    def _reconsider(self, sink: SetsAside, one: SetAside) -> None:
        schema = self._log.schema(one.table)
        if schema is not None and not one.deliverable:
            sink.reconsider(self._source, schema)


def _as_error(one: SetAside) -> LastError:
    since = f" (the sink has its changes below offset {one.since:,})" if one.since else ""
    return LastError.noted(one.kind, one.message + since, one.remedy)
