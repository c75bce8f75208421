"""One session of the binlog stream: from the dump command to ChangeSets.

The server sends whole transactions in commit order. They are gathered until the socket is empty and a short
wait is over, and cut where a transaction ends; or until `Limits.set_bytes` are there, and then cut at that
mark, inside of a transaction too. A session ends with an error, always; no set that it yielded is withdrawn,
and parts of a transaction only by ending inside of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from cdc.errors import DecodeError, SourceUnavailable
from cdc.kit.errors import stream_ended
from cdc.kit.pacing import Pace
from cdc.model import ChangeSet, Position, TableId
from cdc.model.position import from_microseconds
from cdc_source_mysql.binlog.catalog_lookups import CatalogLookups
from cdc_source_mysql.binlog.dump import Dump
from cdc_source_mysql.binlog.gtid import MariadbGtids
from cdc_source_mysql.binlog.positions import MEMORY_SERVER, PositionTracker, ServerMemory
from cdc_source_mysql.binlog.replay import ReplayStep, XaReplay, open_replay
from cdc_source_mysql.binlog.tracking import Gathered, Tracking
from cdc_source_mysql.binlog.transactions import (
    Ddl,
    FileBegun,
    Grammar,
    Meaning,
    Prepared,
    Rollbacks,
    RolledBack,
    RolledBackRows,
    Savepoint,
    Savepoints,
    XaBook,
    XaEnded,
    XaPrepared,
    XaStarted,
    Xid,
    unknown_commit,
)
from cdc_source_mysql.errors import translate_packet
from cdc_source_mysql.schema.definitions import TableDefinition, difference
from cdc_source_mysql.wire import decoder as wire
from cdc_source_mysql.wire.poor_images import PoorImage

# One read of the socket.
RECEIVE_BYTES = 256 * 1024
# Where bytes come without a pause, changes among them are handed on after this time: at the next commit.
OVERDUE_SECONDS = 0.05
# Silence of so many heartbeats is a dead connection; never less than `Limits.min_silent_seconds`.
SILENT_HEARTBEATS = 3
# A stream at the end says so at its next wake; one that is behind is compared at a later discovery.
REACHED_SECONDS: Final = 2.0
# The stream reads the catalog, and the statements of a moment; then its set is stored.
ANSWERED_SECONDS: Final = 10.0

# The decoder was taken past a rows event that it refused.
_PASSED = -1


@dataclass(frozen=True, slots=True)
class Captured:
    """State of the stream as its caller has it: the position after the last set, and the definitions of
    the selected tables at that very position, looked at together. The XA transactions that are `prepared` may
    be those of a later position.
    """

    position: Position
    definitions: Mapping[TableId, TableDefinition]
    prepared: frozenset[str] = frozenset()


@dataclass(slots=True)
class StreamProgress:
    """State that a source and its session share. `wanted` is the order of the position that somebody waits
    for; `captured` belongs to the last whole set that the caller has taken. `server` is the one that the
    stream reads, or is about to read; None before the first opening: any. `suspects` are tables whose catalog
    seems to differ from the history; the stream empties it when it has compared them and its set is taken.
    `changed` is notified when the stream has changed one of both. `moved` are the selected tables whose names
    are no longer selected, at the position of the newest set.
    """

    wanted: int = 0
    captured: Captured | None = None
    moved: Mapping[TableId, TableId] = field(default_factory=dict)
    server: ServerMemory | None = None
    suspects: frozenset[TableId] = frozenset()
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def wait(self, seconds: float, holds: Callable[[], bool]) -> bool:
        """Wait until it holds, at most this long; returns whether it does."""
        with self.changed:
            return self.changed.wait_for(holds, seconds)


def suspect(
    progress: StreamProgress,
    current: Callable[[], Position],
    read: Callable[[], Mapping[TableId, TableDefinition]],
    found: Mapping[TableId, TableDefinition],
) -> None:
    """Have the stream prove what the catalog (`found`, or `read` again) shows otherwise than the history, and
    wait for its answer: a copy that is planned, or a run that ends, needs it.

    Statements that no binlog has (`set sql_log_bin = 0`, Galera's RSU) make such a difference. The source
    compares once the stream has passed the position at which the binlog ended before the catalog was read.
    A difference is only a suspicion then, because statements may have come since: the stream, at its own
    position, proves or drops it (`Tracking.compare`).
    """
    if not _differing(progress, found):
        return
    end = current()
    # `found` may be older than the history by now.
    suspects = _differing(progress, read())
    if not suspects or not progress.wait(REACHED_SECONDS, lambda: _has_reached(progress, end)):
        return
    progress.suspects = suspects
    progress.wait(ANSWERED_SECONDS, lambda: not progress.suspects)


def reach(progress: StreamProgress, current: Callable[[], Position]) -> None:
    """Wait a moment until the stream has passed the present end of the binlog."""
    end = current()
    progress.wait(REACHED_SECONDS, lambda: _has_reached(progress, end))


def _differing(progress: StreamProgress, found: Mapping[TableId, TableDefinition]) -> frozenset[TableId]:
    captured = progress.captured
    known = captured.definitions if captured is not None else {}
    return frozenset(table for table in known.keys() & found.keys() if difference(known[table], found[table]))


def _has_reached(progress: StreamProgress, end: Position) -> bool:
    return progress.captured is not None and progress.captured.position.order >= end.order


@dataclass(frozen=True, slots=True)
class SessionParts:
    """Parts of a session. Before the position `server.settled`, the outcome of an XA transaction may
    concern one that the first copy holds.
    """

    dump: Dump
    decoder: wire.Binlog
    tracking: Tracking
    grammar: Grammar
    xa: XaBook
    positions: PositionTracker
    lookups: CatalogLookups
    rolled_back: RolledBackRows
    heartbeat_seconds: float
    server: ServerMemory
    progress: StreamProgress


class StreamSession:
    """One dump. Used by the capture thread only."""

    def __init__(self, parts: SessionParts, after: Position, file: str, offset: int) -> None:
        """`file` and `offset` are those of `after`."""
        self._parts = parts
        self._dump = parts.dump
        self._decoder = parts.decoder
        self._tracking = parts.tracking
        self._server = parts.server
        connector = parts.lookups.reader.connector
        self._where = connector.where
        self._limits = connector.limits
        self._set_bytes = connector.limits.set_bytes
        self._position = after
        self._start = (file, offset)
        self._xa_place: Prepared | None = None
        self._rollbacks = Rollbacks(parts.decoder, parts.rolled_back)
        self._savepoints = Savepoints(parts.decoder, self._rollbacks, parts.tracking.copy_everything)
        self._pace = Pace(self._limits.idle_seconds)
        self._heard_at = time.monotonic()
        self._silent_seconds = max(
            self._limits.min_silent_seconds, SILENT_HEARTBEATS * parts.heartbeat_seconds
        )

    @property
    def position(self) -> Position:
        """Where the last whole set that was yielded ends."""
        return self._position

    def changes(self) -> Iterator[ChangeSet | None]:
        """Everything from here on; ends only by an error."""
        while True:
            code, payload = self._next()
            if code == wire.NEED:
                yield from self._pause()
            elif code == wire.TABLE and payload is not None:
                self._tracking.table(payload)
            elif code == wire.EVENT and payload is not None:
                yield from self._event(payload)
            elif code == wire.FULL:
                yield from self._yield_set()
            elif code == wire.PART:
                yield from self._yield_part()
            elif code == _PASSED:
                yield from self._breathe()
            elif code == wire.REFUSED and payload is not None:
                raise translate_packet(payload, self._where, "reading the binary log")
            else:
                raise stream_ended("reading the binary log", self._where)

    def _next(self) -> tuple[int, bytes | None]:
        self._start_again_if_late()
        self._tracking.ask_again()
        try:
            found = self._decoder.next(self._soft_bytes(), self._set_bytes)
        except PoorImage as poor:
            self._tracking.leave_out(poor)
            return _PASSED, None
        self._start_again_if_late()
        return found

    def _start_again_if_late(self) -> None:
        if not self._decoder.in_transaction:
            self._rollbacks.require_none_late()

    def _soft_bytes(self) -> int:
        if self._rollbacks.is_late:
            return 0  # Nothing of what follows the transaction is wanted.
        return 1 if self._pace.has_gathered(time.monotonic(), OVERDUE_SECONDS) else self._set_bytes

    def _pause(self) -> Iterator[ChangeSet | None]:
        """No whole event is left: read on; where nothing comes, hand on what is ready, then wait."""
        now = time.monotonic()
        if self._tracking.changes:
            self._pace.gather(now)
        data = self._dump.recv(RECEIVE_BYTES, 0.0)
        if not data and self._parts.progress.suspects and not self._decoder.in_transaction:
            yield from self._compare(self._parts.progress.suspects)
        if not self._decoder.in_transaction and self._is_due(now, quiet=not data):
            yield from self._yield_set()
        elif self._pace.nothing_is_due(now):
            yield from self._hand_over(None)
        elif not data:
            patience = self._pace.patience_seconds(now, in_transaction=self._decoder.in_transaction)
            data = self._dump.recv(RECEIVE_BYTES, patience)
        self._hear(data)

    def _compare(self, suspects: frozenset[TableId]) -> Iterator[ChangeSet | None]:
        """Take in the definitions of these tables that changed without a statement in the binlog."""
        begun = time.monotonic()
        self._tracking.compare(suspects)
        # While the catalog is read, nothing is received.
        self._heard_at += time.monotonic() - begun
        if self._tracking.has_changes:
            yield from self._yield_set()
        self._parts.progress.suspects = frozenset()
        self._parts.progress.wake()

    def _hear(self, data: bytes) -> None:
        now = time.monotonic()
        if data:
            self._heard_at = now
            self._decoder.feed(data)
        elif now - self._heard_at > self._silent_seconds:
            raise SourceUnavailable(
                f"reading the binary log: no packet for {self._silent_seconds:g} seconds",
                where=self._where,
                remedy="The stream is restarted automatically.",
            )

    def _is_due(self, now: float, *, quiet: bool) -> bool:
        """Return whether a set is to be handed on, between two transactions."""
        if self._tracking.changes:
            return self._pace.has_gathered(now, None if quiet else OVERDUE_SECONDS)
        if self._tracking.has_changes:
            return True
        if self._reached_order() <= self._position.order:
            return False
        return self._pace.idle_is_due(now) or (quiet and self._position.order < self._parts.progress.wanted)

    def _reached_order(self) -> int:
        decoder = self._decoder
        return (
            self._parts.positions.order(decoder.file, decoder.offset)
            if decoder.file
            else self._position.order
        )

    def _reached(self) -> Position:
        """The place between two transactions where the stream is."""
        if not self._decoder.file:
            return self._position
        return self._parts.positions.position(self._decoder.file, self._decoder.offset)

    def _yield_set(self) -> Iterator[ChangeSet | None]:
        """A set that ends at a commit; may hold no changes."""
        gathered = self._tracking.take()
        self._parts.positions.executed(self._decoder.gtid_runs())
        reached = self._reached()
        position = reached if reached.order > self._position.order else self._position
        commit_us = self._decoder.commit_ts_us if gathered.ordinals else None
        # Before the caller has the position: who finds it passed finds the names too.
        self._parts.progress.moved = self._tracking.moved()
        yield from self._hand_over(
            ChangeSet(
                batches=gathered.batches,
                position=position,
                changes=gathered.ordinals,
                transactions=gathered.transactions,
                commit_at=None if commit_us is None else from_microseconds(commit_us),
                memory=gathered.memory,
                resnapshot=gathered.resnapshots,
            )
        )
        self._position = position
        self._parts.progress.captured = Captured(
            position, self._tracking.definitions(), self._parts.xa.keys()
        )
        self._parts.progress.wake()

    def _yield_part(self) -> Iterator[ChangeSet | None]:
        self._rollbacks.drop_known()
        gathered: Gathered = self._tracking.take_part()
        if gathered.batches and not self._rollbacks.is_late:
            yield from self._hand_over(
                ChangeSet(
                    batches=gathered.batches,
                    position=None,
                    changes=gathered.ordinals,
                    transactions=gathered.transactions,
                )
            )
        else:
            yield from self._breathe()

    def _breathe(self) -> Iterator[ChangeSet | None]:
        """Let the caller stop now and then while there is nothing for it."""
        if self._pace.nothing_is_due(time.monotonic()):
            yield from self._hand_over(None)

    def _hand_over(self, changes: ChangeSet | None) -> Iterator[ChangeSet | None]:
        begun = time.monotonic()
        yield changes
        self._pace.yielded(changes)
        # While the caller is busy, nothing is received.
        self._heard_at += time.monotonic() - begun

    def _event(self, payload: bytes) -> Iterator[ChangeSet | None]:
        meaning: Meaning = self._parts.grammar.read(payload, self._decoder.gtid_flags)
        if isinstance(meaning, Ddl):
            where, order = self._decoder.position_text, self._reached_order()
            self._tracking.apply(meaning.changes, meaning.origin, order, where)
        elif isinstance(meaning, XaStarted):
            self._xa_place = self._place_before()
            self._decoder.skip_transaction()
        elif isinstance(meaning, XaPrepared):
            yield from self._xa_prepared(meaning)
        elif isinstance(meaning, XaEnded):
            yield from self._xa_ended(meaning)
        elif isinstance(meaning, RolledBack):
            self._roll_back()
        elif isinstance(meaning, FileBegun):
            if self._decoder.is_torn:
                self._roll_back()
            if meaning.server_started:
                self._tracking.server_started(self._reached_order())
            self._note_file(meaning.began_at)
        elif isinstance(meaning, Savepoint) and self._savepoints.apply(meaning):
            self._tracking.copy_again_without_transactions()

    def _note_file(self, began_at: int) -> None:
        """Note the file. Of two files of one name, the second shows that the server was restored between."""
        server = self._server.in_file(self._decoder.file, began_at)
        if server != self._server:
            self._server = server
            self._tracking.remember({MEMORY_SERVER: server.to_json()})

    def _place_before(self) -> Prepared:
        """Where the current transaction can be read again from."""
        self._parts.positions.executed(self._decoder.gtid_runs())
        file, offset = self._decoder.end_file, self._decoder.end_offset
        if not file:
            file, offset = self._start
        positions = self._parts.positions
        before = str(positions.gtids) if isinstance(positions.gtids, MariadbGtids) else ""
        return Prepared(file, offset, positions.epoch, self._decoder.tx, before)

    def _xa_prepared(self, meaning: XaPrepared) -> Iterator[ChangeSet | None]:
        place = self._xa_place
        if place is None:
            raise DecodeError(
                "an XA transaction was prepared that never began", where=self._decoder.position_text
            )
        self._xa_place = None
        if meaning.one_phase:
            yield from self._replay(meaning.xid, place)
        else:
            self._tracking.remember(self._parts.xa.prepared(meaning.xid, place))

    def _xa_ended(self, meaning: XaEnded) -> Iterator[ChangeSet | None]:
        place = self._parts.xa.get(meaning.xid)
        if meaning.committed:
            if place is None:
                place = yield from self._look_for(meaning.xid)
            if place is not None:
                yield from self._replay(meaning.xid, place)
            elif self._reached_order() > self._server.settled:
                raise unknown_commit(self._decoder.position_text)
        self._tracking.remember(self._parts.xa.ended(meaning.xid))

    def _look_for(self, xid: Xid) -> Generator[ChangeSet | None, None, Prepared | None]:
        """Where a transaction was prepared before the stream began; the stream's dump waits meanwhile."""
        search = self._parts.lookups.search(xid)
        for _ in search.steps():
            yield from self._breathe()
        return search.found.get(xid.key)

    def _replay(self, xid: Xid, place: Prepared) -> Iterator[ChangeSet | None]:
        """The rows of a prepared transaction, as changes of the current transaction."""
        self._tracking.gather()
        with closing(self._open_replay(xid, place)) as replay:
            replay.attribute(self._decoder)
            for step in replay.steps(self._tracking):
                if step is ReplayStep.PART:
                    yield from self._yield_part()
                else:
                    yield from self._breathe()
        if self._tracking.byte_count >= self._set_bytes:
            yield from self._yield_set()

    def _open_replay(self, xid: Xid, place: Prepared) -> XaReplay:
        parts, epoch = self._parts, self._server.epoch
        reader, gtids = parts.lookups.reader, parts.positions.gtids
        return open_replay(reader, parts.grammar, parts.rolled_back, xid, place, epoch, gtids)

    def _roll_back(self) -> None:
        """The rows of engines without transactions stay, and can't be distinguished: those tables are copied
        again.
        """
        self._rollbacks.roll_back()
        self._tracking.copy_again_without_transactions()
