"""The durable log of one source on the local disk: a folder of segments, one writer process, any number of
reading threads.

What is published (`_state`) is durable, immutable, and replaced as a whole after each sync; readers take it
without a lock. Appending threads take turns: whoever has appended a part keeps the turn until it ends or
abandons its transaction.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from cdc.errors import CdcError, LogFull, StateError
from cdc.files import FolderLock, make_folder
from cdc.log.arrow import EncodedBatch, encode_batch
from cdc.log.frame import FORMAT_VERSION, Preamble
from cdc.log.index import save_index, with_commit
from cdc.log.reader import Shortcuts, find_commit, read_batches, read_commits
from cdc.log.records import HeaderRecord, Previous
from cdc.log.recovery import recover
from cdc.log.retention import Trimmed, cut_back, removable, remove_folder, remove_segments
from cdc.log.scan import StoredSchema, apply_facts
from cdc.log.segment import Segment, segment_name
from cdc.log.transaction import Pending, write_commit, write_part
from cdc.log.writer import SegmentWriter, create_segment, full, is_no_room, refused
from cdc.model import ChangeBatch, ChangeSet, Commit, Position, TableId, TableSchema

# Retention removes whole segments, and opening reads the newest one whole (about 0.1 s for this size):
# small enough for both, large enough that a 20 GiB log has 320 files. A transaction never spans two, so a
# huge one makes a huge segment.
DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _State:
    """Everything durable, as of the newest commit."""

    sealed: tuple[Segment, ...]
    active: Segment
    end: Commit | None
    facts: Mapping[str, str]
    schemas: Mapping[TableId, StoredSchema]

    @property
    def segments(self) -> tuple[Segment, ...]:
        return (*self.sealed, self.active)


class SegmentedLog:
    """Implements `cdc.spi.ChangeLog`. Owns its folder (locked) until `close`.

    `clock` gives the wall clock; `on_full` is told when an append finds no room, just before LogFull is
    raised. After LogFull the same append may be made again on this object: parts appended before stay.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_full: Callable[[LogFull], None] | None = None,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._on_full = on_full
        self._turn = threading.Condition()  # Guards all below; held during one call, never between two.
        self._owner: int | None = None
        self._pending: Pending | None = None
        self._broken: CdcError | None = None
        self._grown = threading.Condition()
        self._is_closed = False
        self._shortcuts = Shortcuts()
        self._state: _State
        self._writer: SegmentWriter
        self._recovered_bytes = 0
        try:
            make_folder(folder)
            self._lock = FolderLock(folder, "this log")
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def identity(self) -> str:
        """The uuid that was made with the log; a copy of the folder has the same."""
        return str(UUID(bytes=self._writer.preamble.log_id))

    @property
    def recovered_bytes(self) -> int:
        """How many bytes of a torn tail were cut when the log was opened."""
        return self._recovered_bytes

    @property
    def end(self) -> Commit | None:
        return self._state.end

    @property
    def start(self) -> int:
        return self._state.segments[0].first

    @property
    def facts(self) -> Mapping[str, str]:
        return dict(self._state.facts)

    @property
    def byte_count(self) -> int:
        """Bytes of all segments, as of the newest commit."""
        return sum(segment.byte_count for segment in self._state.segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, oldest first, the last one still growing."""
        return self._state.segments

    def schema(self, table: TableId) -> TableSchema | None:
        stored = self._state.schemas.get(table)
        return stored.schema if stored else None

    @property
    def schemas(self) -> Mapping[TableId, TableSchema]:
        """The newest schema of every table that the log ever had."""
        return {table: stored.schema for table, stored in self._state.schemas.items()}

    def append(
        self,
        changes: ChangeSet,
        position: Position | None = None,
        facts: Mapping[str, str | None] | None = None,
    ) -> Commit | None:
        # Encoding and compressing need no turn, so several threads do it side by side.
        batches = [encode_batch(batch, changes.changes) for batch in changes.batches]
        reached = position or changes.position
        with self._turn:
            self._take_turn()
            try:
                return self._append(changes, batches, reached, facts or {})
            except OSError as error:
                raise self._after_failure(error) from error
            except BaseException:
                self._cut()
                raise
            finally:
                self._pass_turn_if_idle()

    def abandon(self) -> None:
        with self._turn:
            if self._owner != threading.get_ident():
                return
            self._pending = None
            try:
                if self._broken is None:
                    self._cut()
            except OSError as error:
                raise self._break(refused(self._writer.path, error)) from error
            finally:
                self._pass_turn_if_idle()

    def commits(self, start: int) -> Iterator[Commit]:
        """As the contract says. Commits without changes that lie at `start`, before the one that holds it,
        are passed over: nothing but a position is in them.
        """
        return read_commits(self._state.segments, start, self._shortcuts)

    def read(self, first: int, next: int, sink: str | None = None) -> Iterator[ChangeBatch]:  # noqa: A002
        return read_batches(self._state.segments, first, next, self._shortcuts, sink)

    def find(self, *, position: Position | None = None, at: datetime | None = None) -> Commit | None:
        return find_commit(self._state.segments, position, at)

    def wait(self, offset: int, timeout_seconds: float) -> bool:
        with self._grown:
            self._grown.wait_for(lambda: self._is_closed or self._state.active.next > offset, timeout_seconds)
            return self._state.active.next > offset

    def trim(
        self,
        keep_from_offset: int,
        *,
        max_age: timedelta | None = None,
        max_bytes: int | None = None,
        force: bool = False,
    ) -> Trimmed:
        """Remove whole sealed segments, oldest first, while they lie below `keep_from_offset` (unless
        `force`) and are older than `max_age` or the log is larger than `max_bytes`. Without either limit
        nothing goes. `start` moves.
        """
        with self._turn:
            if self._is_closed and self._broken is not None:
                raise self._broken  # A log whose disk refuses writes may still get rid of what is old.
            state = self._state
            oldest_kept = None if max_age is None else self._clock() - max_age
            bound = None if force else keep_from_offset
            gone = removable(state.segments, bound, oldest_kept, max_bytes)
            self._state = replace(state, sealed=state.sealed[len(gone) :])
            try:
                remove_segments(gone)
            except OSError as error:
                raise _unusable(self._folder, error) from error
        return Trimmed(len(gone), sum(segment.byte_count for segment in gone), self.start)

    def truncate(self, next_offset: int) -> None:
        """Cut back to the newest commit that ends at or before `next_offset`, which must be a border
        between commits.

        Facts and schemas go back with it. Not while a transaction is open. LogTrimmed when the log does not
        reach that far.
        """
        with self._turn:
            self._check_usable()
            if self._pending is not None:
                message = "a log with an open transaction can't be cut back"
                raise ValueError(message)
            if next_offset == self._state.active.next:
                return
            self._writer.close()
            try:
                cut_back(self._state.segments, next_offset)
            except OSError as error:
                raise _unusable(self._folder, error) from error
            finally:
                self._shortcuts = Shortcuts()
                self._open()

    def destroy(self) -> None:
        """Close the log and delete its folder."""
        self.close()
        remove_folder(self._folder)

    def close(self) -> None:
        """Release the files and the lock; waiting appends are refused. May be called twice."""
        with self._turn:
            self._is_closed = True
            if self._broken is None:
                self._pending = None
                with suppress(OSError):  # Else it is cut when the log is opened again.
                    self._cut()
            self._writer.close()
            self._broken = self._broken or StateError("the log is closed", where=str(self._folder))
            self._lock.release()
            self._turn.notify_all()
        with self._grown:
            self._grown.notify_all()

    def _open(self) -> None:
        try:
            found = recover(self._folder)
            if found is None:
                preamble = Preamble(FORMAT_VERSION, uuid4().bytes, 1)
                header = HeaderRecord(0, self._clock(), {}, 0, None)
                active, schemas = create_segment(self._folder, preamble, header, [])
                self._state = _State((), active, None, {}, schemas)
            else:
                contents, preamble = found.contents, found.preamble
                self._state = _State(
                    found.sealed, contents.segment, contents.end, contents.facts, contents.schemas
                )
        except OSError as error:
            raise _unusable(self._folder, error) from error
        self._recovered_bytes = found.cut_bytes if found else 0
        self._writer = SegmentWriter(self._state.active.path, preamble, self._state.active.byte_count)

    def _append(
        self,
        changes: ChangeSet,
        batches: list[EncodedBatch],
        position: Position | None,
        facts: Mapping[str, str | None],
    ) -> Commit | None:
        pending = self._pending
        if pending is None:
            self._roll_if_large()
            active = self._state.active
            pending = Pending(active.next, active.next, active.byte_count, active.byte_count)
        pending = write_part(self._writer, pending, changes, batches, self._state.schemas, facts)
        if position is None:
            self._pending = pending
            return None
        commit = pending.commit(position, self._clock())
        write_commit(self._writer, pending, commit)
        self._publish(pending, commit)
        self._pending = None
        return commit

    def _publish(self, pending: Pending, commit: Commit) -> None:
        state = self._state
        facts = state.facts
        if pending.facts:
            facts = dict(facts)
            apply_facts(facts, pending.facts)
        schemas = {**state.schemas, **pending.schemas} if pending.schemas else state.schemas
        active = with_commit(state.active, commit, pending.group_at, self._writer.position)
        with self._grown:
            self._state = _State(state.sealed, active, commit, facts, schemas)
            self._grown.notify_all()

    def _roll_if_large(self) -> None:
        state = self._state
        if state.active.byte_count < self._segment_bytes or state.active.newest is None:
            return
        old = self._writer
        preamble = replace(old.preamble, version=FORMAT_VERSION, number=state.active.number + 1)
        previous = Previous(state.active.number, state.active.byte_count, state.end)
        schemas = [stored.schema for stored in state.schemas.values()]
        header = HeaderRecord(state.active.next, self._clock(), state.facts, len(schemas), previous)
        save_index(state.active, old.preamble)
        try:
            active, stored = create_segment(self._folder, preamble, header, schemas)
        except OSError as error:
            path = self._folder / segment_name(preamble.number, header.first)
            if path.exists():  # Named, but not durably: neither it nor the old one may be written now.
                raise self._break(refused(path, error)) from error
            raise
        self._writer = SegmentWriter(active.path, preamble, active.byte_count)
        self._state = _State(state.segments, active, state.end, state.facts, stored)
        old.close()

    def _take_turn(self) -> None:
        me = threading.get_ident()
        self._turn.wait_for(lambda: self._broken is not None or self._owner in (None, me))
        self._check_usable()
        self._owner = me

    def _pass_turn_if_idle(self) -> None:
        if self._pending is None:
            self._owner = None
            self._turn.notify_all()

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _cut(self) -> None:
        """Cut the file back to the last whole part of the open transaction, or to the newest commit."""
        self._writer.cut(self._pending.end if self._pending else self._state.active.byte_count)

    def _after_failure(self, error: OSError) -> CdcError:
        """Make the log ready for the same append again, or refuse every further one."""
        # What a failed sync left of earlier parts is unknown; what this append wrote is cut and written
        # again.
        lost_parts = self._writer.sync_failed and self._pending is not None
        if is_no_room(error) and not lost_parts:
            try:
                self._cut()
            except OSError as cut_error:
                return self._break(refused(self._writer.path, cut_error))
            self._writer.sync_failed = False
            no_room = full(self._folder, error)
            if self._on_full is not None:
                self._on_full(no_room)
            return no_room
        return self._break(refused(self._writer.path, error))

    def _break(self, error: CdcError) -> CdcError:
        self._broken = error
        self._turn.notify_all()
        return error


def _unusable(folder: Path, error: OSError) -> CdcError:
    """Why a log's folder can't be opened."""
    if is_no_room(error):
        return full(folder, error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        message = f"the log's folder can't be written ({errno.errorcode[error.errno]})"
        return StateError(message, where=str(folder), remedy="Check the owner and rights of this folder.")
    return refused(folder, error)
