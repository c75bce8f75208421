"""One session of the replication stream: from START_REPLICATION to ChangeSets, and what it acknowledges.

The server sends whole transactions in commit order (protocol 1; it spills large ones itself). They are
gathered until the socket is empty and a short wait is over, and cut where a transaction ends; or until
`Limits.set_bytes` or `Limits.part_bytes` are there, and then cut at that mark, the latter inside of a
transaction. A session always ends with an error; nothing that it yielded is withdrawn.

Only positions that the log holds are acknowledged, and never one beyond what this stream has received: the
server accepts any value and would skip ahead permanently. Silence for `wal_sender_timeout` ends the stream,
so a sign of life goes out in time even when nothing moves.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cdc.errors import SourceUnavailable, UnknownEvent
from cdc.kit.pacing import Pace
from cdc.model import ChangeSet, Position
from cdc.model.position import from_microseconds
from cdc_source_postgres.connection import ReplicationConnection
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.statements import identifier, literal
from cdc_source_postgres.stream.monitor import Monitor
from cdc_source_postgres.stream.tracking import Tracking
from cdc_source_postgres.wire import decoder as wire
from cdc_source_postgres.wire import messages
from cdc_source_postgres.wire.messages import encode_status

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
        """Return the LSN that the server may discard up to; 0, which moves nothing, while it is unknown."""
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
        """Report to the server now; `ask` makes it answer with a keepalive."""
        self._send(encode_status(self._received, self.durable, self.durable, time.time_ns() // 1000, ask))
        self._sent = self.durable
        self._sent_at = time.monotonic()


# How often a position with a waiter is looked up.
ASK_SECONDS = 0.2
# A server that shuts down asks about 20 times a second for progress that may never come (the caller does not
# acknowledge): this many questions within so many seconds of its clock, without data between them, end the
# session, so that it can go.
SHUTDOWN_QUESTIONS = 20
SHUTDOWN_SECONDS = 5.0
# The server sends rows one at a time, and nearly every one woke this thread, which took a sixth of a stream's
# processor time. While a transaction is incomplete or changes are gathered, this thread rests this long
# before it waits for more. Rows wait longer than this for their set anyway.
REST_SECONDS = 0.0005
# The server supports binary values from this version on.
BINARY_SINCE = 140000

# Bytes of protocol messages that come in one piece and need no table.
_ORIGIN, _TYPE, _RELATION, _TRUNCATE, _MESSAGE = b"OYRTM"
# PostgreSQL 18 sends a bare Stream Abort, between transactions, for a rolled back subtransaction whose
# changes it had spilled and then dropped. Streaming is off, so nothing of it was ever sent, and there is
# nothing to withdraw.
_STREAM_ABORT = ord("A")


@dataclass(frozen=True, slots=True)
class SessionParts:
    """Parts of a session. `wanted` gives the position that somebody waits for."""

    connection: ReplicationConnection
    decoder: wire.Pgoutput
    tracking: Tracking
    monitor: Monitor
    acks: Acknowledgements
    heartbeat_seconds: float
    where: str
    wanted: Callable[[], int]
    limits: Limits


class StreamSession:
    """One START_REPLICATION. Used by the capture thread only."""

    def __init__(self, parts: SessionParts, after: Position, *, binary: bool) -> None:
        self._connection = parts.connection
        self._decoder = parts.decoder
        self._tracking = parts.tracking
        self._monitor = parts.monitor
        self._acks = parts.acks
        self._heartbeat_seconds = parts.heartbeat_seconds
        self._where = parts.where
        self._wanted = parts.wanted
        self._limits = parts.limits
        self._position = after
        self._binary = binary
        self._idle_lsn = after.order
        self._pace = Pace(parts.limits.idle_seconds)
        # Whoever waits for a position when the stream begins, such as `run --once`, is not kept waiting.
        self._asked_at = float("-inf")
        self._heard_at = time.monotonic()
        self._questions: deque[int] = deque(maxlen=SHUTDOWN_QUESTIONS)
        # The server asked: it may be waiting for us to move before it can shut down.
        self._hurry = False
        self.in_parts = False

    @property
    def position(self) -> Position:
        """Where the last whole set that was yielded ends."""
        return self._position

    def changes(self) -> Iterator[ChangeSet | None]:
        """Everything from here on; ends only by an error."""
        frames = wire.Frames(self._connection.pgconn)
        set_bytes, part_bytes = self._limits.set_bytes, self._limits.part_bytes
        while True:
            code, payload = self._decoder.drain(frames, set_bytes, part_bytes)
            if code == wire.MESSAGE and payload is not None:
                self._message(payload)
            elif code == wire.KEEPALIVE and payload is not None:
                self._keepalive(payload)
            elif code == wire.FULL:
                yield from self._yield_set()
            elif code == wire.PART:
                yield from self._yield_part()
            elif code == wire.ENDED:
                raise self._connection.ended("reading the stream")
            else:
                yield from self._pause()

    def _pause(self) -> Iterator[ChangeSet | None]:
        """The socket is empty: hand on what is ready, keep the connection alive, then wait."""
        now = time.monotonic()
        if not self._decoder.in_transaction:
            if self._is_ripe(now) or self._monitor.has_changes or self._idle_is_due(now):
                yield from self._yield_set()
                return
            self._look_if_due()
        if self._pace.nothing_is_due(now):
            yield None
            self._pace.yielded(None)
        self._ask_if_due(now)
        self._acks.received(max(self._decoder.received_lsn, self._decoder.end_lsn))
        self._acks.send_if_due()
        if self._decoder.in_transaction or self._tracking.changes:
            time.sleep(REST_SECONDS)
        self._connection.wait(self._patience_seconds(now))

    def _look_if_due(self) -> None:
        self._monitor.look_if_due()
        self._tracking.follow_money()

    def _is_ripe(self, now: float) -> bool:
        if self._tracking.changes == 0:
            return False
        self._pace.gather(now)
        return self._pace.has_gathered(now)

    def _idle_is_due(self, now: float) -> bool:
        """Return whether only the position moved, and it is time to say so."""
        if self._tracking.changes:
            return False
        reached = max(self._idle_lsn, self._decoder.end_lsn)
        if reached <= self._position.order:
            return False
        return self._pace.idle_is_due(now) or self._position.order < self._wanted() or self._hurry

    def _patience_seconds(self, now: float) -> float:
        left = self._pace.patience_seconds(now, in_transaction=self._decoder.in_transaction)
        return min(left, ASK_SECONDS, self._acks.interval_seconds)

    def _ask_if_due(self, now: float) -> None:
        """Ask for a keepalive, which shows how far an idle server has read."""
        waited_for = self._position.order < self._wanted() and now - self._asked_at >= ASK_SECONDS
        silent_seconds = now - max(self._heard_at, self._asked_at)
        if waited_for or 0 < self._heartbeat_seconds <= silent_seconds:
            self._asked_at = now
            self._acks.send(ask=True)

    def _yield_set(self) -> Iterator[ChangeSet]:
        """A set that ends at a commit, with the monitor's news; may hold no changes."""
        ordinals = self._tracking.changes
        end = self._decoder.end_lsn if ordinals else max(self._idle_lsn, self._decoder.end_lsn)
        order = max(end, self._position.order)
        news = self._monitor.news(order)
        # After the rows: looks have found it by the end of the set.
        self._tracking.alter(news.altered)
        commit_us = self._decoder.commit_ts_us if ordinals else None
        batches, ordinals, transactions = self._tracking.take()
        changes = ChangeSet(
            batches=batches,
            position=Position(order, messages.lsn_text(order)),
            changes=ordinals,
            transactions=transactions,
            commit_at=None if commit_us is None else from_microseconds(commit_us),
            memory=news.memory,
            resnapshot=news.stale,
        )
        yield from self._hand_over(changes)
        self._monitor.delivered(news)

    def _yield_part(self) -> Iterator[ChangeSet]:
        batches, ordinals, transactions = self._tracking.take()
        self.in_parts = True
        news = self._monitor.news_within()
        part = ChangeSet(batches, None, ordinals, transactions, resnapshot=news.stale)
        yield from self._hand_over(part)
        self._monitor.delivered(news)

    def _hand_over(self, changes: ChangeSet) -> Iterator[ChangeSet]:
        self._acks.received(max(self._decoder.received_lsn, self._decoder.end_lsn, self._idle_lsn))
        yield changes
        self._pace.yielded(changes)
        if changes.position is not None:
            if changes.position.order > self._position.order:
                self._questions.clear()
            self._position = changes.position
            self._hurry = self.in_parts = False
            self._look_if_due()
        self._acks.send_if_due()

    def _keepalive(self, payload: bytes) -> None:
        keepalive = messages.parse_keepalive(payload)
        self._heard_at = time.monotonic()
        self._acks.received(keepalive.wal_end)
        if not self._decoder.in_transaction:
            self._idle_lsn = max(self._idle_lsn, keepalive.wal_end)
        if keepalive.reply_requested:
            self._hurry = True
            self._acks.send()
            self._leave_if_shut_down(keepalive.sent_at_us)

    def _leave_if_shut_down(self, sent_at_us: int) -> None:
        self._questions.append(sent_at_us)
        full = len(self._questions) == SHUTDOWN_QUESTIONS
        if full and sent_at_us - self._questions[0] < SHUTDOWN_SECONDS * 1e6:
            raise SourceUnavailable(
                "the server is shutting down and waits for acknowledgements that the daemon cannot send yet",
                where=self._where,
                remedy="The stream continues when it is back.",
            )

    def _message(self, payload: bytes) -> None:
        """A message that the decoder leaves to us."""
        self._heard_at = time.monotonic()
        self._questions.clear()
        tag = payload[0]
        if tag == _RELATION:
            self._tracking.relation(payload, binary=self._binary)
        elif tag == _TRUNCATE:
            self._tracking.truncate(payload)
        elif tag == _TYPE:
            self._tracking.type(payload)
        elif tag == _MESSAGE:
            self._tracking.message(payload)
        elif tag not in (_ORIGIN, _STREAM_ABORT):
            lsn = messages.lsn_text(self._decoder.received_lsn)
            raise UnknownEvent(
                f"the server sent an event {chr(tag)!r} at {lsn} that this version does not support",
                where=self._where,
                remedy="Update the daemon; nothing after this position was read.",
            )


def start_command(
    slot: str, publication: str, after: Position, *, binary: bool, with_messages: bool = False
) -> str:
    """START_REPLICATION for whole transactions."""
    options = f"proto_version '1', publication_names {literal(identifier_quoted(publication))}"
    if binary:
        options += ", binary 'true'"
    if with_messages:
        options += ", messages 'true'"
    return f"START_REPLICATION SLOT {identifier(slot)} LOGICAL {after.text} ({options})"


def identifier_quoted(name: str) -> str:
    """Always in double quotes: the server splits the list of publications itself and folds bare names."""
    return '"' + name.replace('"', '""') + '"'
