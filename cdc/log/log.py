"""The durable log of one source on the local disk: a folder of segments, one writer process, any number of
reading threads.

What is published (`_state`) is durable, immutable, and replaced as a whole after each sync; readers take it
without a lock. One transaction is open at a time: `begin` waits for the end of another one.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from cdc.errors import CdcError, LogCorrupt, LogFull, StateError
from cdc.files import DENIED, FolderLock, make_folder
from cdc.log.arrow import EncodedBatch
from cdc.log.buffers import Buffers, renamed_keys, without_buffers
from cdc.log.frame import FORMAT_VERSION, HeaderRecord, Preamble, Previous
from cdc.log.reader import Shortcuts, find_commit, read_batches, read_commits
from cdc.log.recovery import recover
from cdc.log.retention import cut_back, cut_to, removable, remove_segments
from cdc.log.scan import StoredSchema, apply_metadata
from cdc.log.segment import Segment, save_index, segment_name, with_commit
from cdc.log.writer import (
    Pending,
    SegmentWriter,
    Transaction,
    Writes,
    create_segment,
    encode_changes,
    full,
    is_no_room,
    lost,
    refused,
    write_commit,
    write_part,
)
from cdc.model import ChangeBatch, ChangeSet, Commit, Position, TableId, TableSchema
from cdc.spi.log import BufferReader, EncodedChanges, Trimmed

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
    metadata: Mapping[str, str]
    schemas: Mapping[TableId, StoredSchema]

    @property
    def segments(self) -> tuple[Segment, ...]:
        return (*self.sealed, self.active)


class SegmentedLog:
    """Implements `cdc.spi.LogWriter` and `LogRetention`. Owns its folders (locked) until `close`.

    `needed_from`: no reader needs what lies before this offset. Damage there does not prevent the opening.
    `buffers` is the folder of the log's buffers. `clock` gives the wall clock; `on_full` is called when an
    append finds no room, just before LogFull is raised.
    """

    def __init__(
        self,
        folder: Path,
        buffers: Path | None = None,
        *,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_full: Callable[[LogFull], None] | None = None,
        needed_from: int = 0,
    ) -> None:
        self._folder = folder
        self._needed_from = needed_from
        self._damage: tuple[LogCorrupt, ...] = ()
        self._damaged: set[int] = set()
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._on_full = on_full
        self._turn = threading.Condition()  # Guards all below; held during one call, never between two.
        self._transaction: Transaction | None = None
        self._pending: Pending | None = None
        # Goes with the next commit: metadata of an earlier version, under the keys of this one.
        self._renamed: dict[str, str | None] = {}
        self._broken: CdcError | None = None
        self._grown = threading.Condition()
        self._is_closed = False
        self._shortcuts = Shortcuts()
        self._state: _State
        self._writer: SegmentWriter
        self._recovered_bytes = 0
        self._writes = Writes(self._write, self._commit, self._end)
        try:
            make_folder(folder)
            self._lock = FolderLock(folder, "this log")
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            self._open()
            self._buffers = None if buffers is None else self._open_buffers(buffers)
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
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def recovered_bytes(self) -> int:
        """The number of bytes of a torn tail that were cut when the log was opened."""
        return self._recovered_bytes

    @property
    def damage(self) -> Sequence[LogCorrupt]:
        """As the contract says."""
        return self._damage

    @property
    def end(self) -> Commit | None:
        return self._state.end

    @property
    def start(self) -> int:
        return self._state.segments[0].first

    @property
    def metadata(self) -> Mapping[str, str]:
        return without_buffers(self._state.metadata)

    @property
    def byte_count(self) -> int:
        """Bytes of all segments, as of the newest commit."""
        return sum(segment.byte_count for segment in self._state.segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, oldest first, the last one still growing."""
        return self._state.segments

    @property
    def parts(self) -> tuple[Segment, ...]:
        return self.segments

    def size_between(self, first: int, next: int) -> int:  # noqa: A002
        """As the contract says: by segment, as if all changes of one were of the same size."""
        total = 0.0
        for segment in self._state.segments:
            count = segment.next - segment.first
            shared = min(next, segment.next) - max(first, segment.first)
            if shared > 0:
                total += segment.byte_count * shared / count
        return round(total)

    def schema(self, table: TableId) -> TableSchema | None:
        stored = self._state.schemas.get(table)
        return stored.schema if stored else None

    @property
    def tables(self) -> Collection[TableId]:
        return self._state.schemas.keys()

    def begin(self) -> Transaction:
        with self._turn:
            self._turn.wait_for(lambda: self._broken is not None or self._transaction is None)
            self._mend()
            self._transaction = Transaction(self._writes, self._buffers)
            return self._transaction

    def encode(self, changes: ChangeSet) -> EncodedChanges:
        return encode_changes(changes)

    def buffered(self, number: int) -> BufferReader:
        if self._buffers is None:
            message = "this log has no place for buffers"
            raise ValueError(message)
        return self._buffers.reader(number)

    def commits(self, start: int) -> Iterator[Commit]:
        """As the contract says. Commits without changes that lie at `start`, before the one that holds it,
        are passed over: nothing but a position is in them.
        """
        return read_commits(self._state.segments, start, self._shortcuts)

    def read(
        self,
        first: int,
        next: int,  # noqa: A002
        sink: str | None = None,
        tables: Collection[TableId] | None = None,
        before_large: Callable[[int], None] | None = None,
    ) -> Iterator[ChangeBatch]:
        return read_batches(self._state.segments, first, next, self._shortcuts, sink, tables, before_large)

    def find(self, *, position: Position | None = None, at: datetime | None = None) -> Commit | None:
        return find_commit(self._state.segments, position, at)

    def wait(self, offset: int, timeout_seconds: float, until: Callable[[], bool] | None = None) -> bool:
        def is_over() -> bool:
            has_more = self._is_closed or self._state.active.next > offset
            return has_more or (until is not None and until())

        with self._grown:
            self._grown.wait_for(is_over, timeout_seconds)
            return self._state.active.next > offset

    def wake(self) -> None:
        with self._grown:
            self._grown.notify_all()

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
        nothing goes but what is damaged. `start` moves.
        """
        with self._turn:
            if self._is_closed and self._broken is not None:
                raise self._broken  # A log whose disk refuses writes may still get rid of what is old.
            state = self._state
            oldest_kept = None if max_age is None else self._clock() - max_age
            bound = None if force else keep_from_offset
            gone = removable(state.segments, bound, oldest_kept, max_bytes, self._damaged)
            self._state = replace(state, sealed=state.sealed[len(gone) :])
            try:
                remove_segments(gone)
            except OSError as error:
                raise _unusable(self._folder, error) from error
        return Trimmed(sum(segment.byte_count for segment in gone), self.start)

    def truncate(self, next_offset: int) -> None:
        """Cut back to the newest commit that ends at or before `next_offset`, which must be a border
        between commits.

        Metadata and schemas go back with it. Not while a transaction is open. LogTrimmed when the log does
        not reach that far.
        """
        with self._turn:
            self._mend()
            if self._transaction is not None:
                message = "a log with an open transaction cannot be cut back"
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
            self._transaction = None
            self._turn.notify_all()
        with self._grown:
            self._grown.notify_all()
        if self._buffers is not None:
            self._buffers.close()

    def _open(self) -> None:
        try:
            found = recover(self._folder, self._needed_from)
            if found is None:
                preamble = Preamble(FORMAT_VERSION, uuid4().bytes, 1)
                header = HeaderRecord(0, self._clock(), {}, 0, None)
                active, schemas = create_segment(self._folder, preamble, header, [])
                self._state = _State((), active, None, {}, schemas)
            else:
                contents, preamble = found.contents, found.preamble
                self._state = _State(
                    found.sealed, contents.segment, contents.end, contents.metadata, contents.schemas
                )
                self._damage = found.damage
                self._damaged = {contents.segment.number} if contents.passed else set()
                remove_segments(found.lost)
        except OSError as error:
            raise _unusable(self._folder, error) from error
        self._recovered_bytes = found.cut_bytes if found else 0
        self._writer = SegmentWriter(self._state.active.path, preamble, self._state.active.byte_count)

    def _open_buffers(self, folder: Path) -> Buffers:
        self._renamed = renamed_keys(self._state.metadata)
        metadata = dict(self._state.metadata)
        apply_metadata(metadata, self._renamed)
        self._state = replace(self._state, metadata=metadata)
        open_log = partial(SegmentedLog, segment_bytes=self._segment_bytes, clock=self._clock)
        return Buffers(folder, open_log, lambda: self._state.metadata)

    def _write(self, changes: ChangeSet, batches: Sequence[EncodedBatch]) -> None:
        with self._turn:
            self._check_usable()
            try:
                pending = self._started()
                self._pending = write_part(self._writer, pending, changes, batches, self._state.schemas)
            except OSError as error:
                raise self._after_failure(error) from error
            except BaseException:
                self._cut()
                raise

    def _commit(self, position: Position, metadata: Mapping[str, str | None]) -> Commit:
        with self._turn:
            self._check_usable()
            try:
                pending = self._started()
                commit = pending.commit(position, self._clock())
                changed = {**self._renamed, **metadata}
                write_commit(self._writer, pending, commit, changed)
            except OSError as error:
                self._pending = None
                raise self._after_failure(error) from error
            except BaseException:
                self._pending = None
                self._cut()
                raise
            self._publish(pending, commit, changed)
            self._pending, self._renamed = None, {}
            return commit

    def _end(self, transaction: Transaction) -> None:
        with self._turn:
            if self._transaction is not transaction:
                return
            self._pending = None
            try:
                if self._broken is None:
                    self._cut()
            except OSError as error:
                raise self._break(refused(self._writer.path, error)) from error
            finally:
                self._transaction = None
                self._turn.notify_all()

    def _started(self) -> Pending:
        """Return the writes of the open transaction; start one after the newest commit if none is open."""
        if self._pending is not None:
            return self._pending
        self._roll_if_large()
        active = self._state.active
        return Pending(active.next, active.next, active.byte_count, active.byte_count)

    def _publish(self, pending: Pending, commit: Commit, changed: Mapping[str, str | None]) -> None:
        state = self._state
        metadata = state.metadata
        if changed:
            metadata = dict(metadata)
            apply_metadata(metadata, changed)
        schemas = {**state.schemas, **pending.schemas} if pending.schemas else state.schemas
        active = with_commit(state.active, commit, pending.group_at, self._writer.position)
        with self._grown:
            self._state = _State(state.sealed, active, commit, metadata, schemas)
            self._grown.notify_all()

    def _roll_if_large(self) -> None:
        state = self._state
        is_large = state.active.byte_count >= self._segment_bytes
        # Retention removes sealed segments only.
        is_damaged = state.active.number in self._damaged
        if not (is_large or is_damaged) or state.active.newest is None:
            return
        old = self._writer
        preamble = replace(old.preamble, version=FORMAT_VERSION, number=state.active.number + 1)
        previous = Previous(state.active.number, state.active.byte_count, state.end)
        schemas = [stored.schema for stored in state.schemas.values()]
        header = HeaderRecord(state.active.next, self._clock(), state.metadata, len(schemas), previous)
        save_index(state.active, old.preamble)
        try:
            active, stored = create_segment(self._folder, preamble, header, schemas)
        except OSError as error:
            path = self._folder / segment_name(preamble.number, header.first)
            if path.exists():  # Named, but not durably: neither it nor the old one may be written now.
                raise self._break(refused(path, error)) from error
            raise
        self._writer = SegmentWriter(active.path, preamble, active.byte_count)
        self._state = _State(state.segments, active, state.end, state.metadata, stored)
        old.close()

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _mend(self) -> None:
        """Re-read a log whose disk refused a write. What was published must be on the disk; the rest is cut.

        Raises:
            LogCorrupt: the disk still refuses, or has lost commits.
        """
        if self._broken is None or self._is_closed or self._transaction is not None:
            self._check_usable()
            return
        published = self._state
        with suppress(OSError):
            self._writer.close()
        try:
            cut_to(published.active)
            found = recover(self._folder, self._needed_from)
        except OSError as error:
            raise self._break(refused(published.active.path, error)) from error
        if found is None or (found.contents.end, found.contents.segment.byte_count) != (
            published.end,
            published.active.byte_count,
        ):
            raise self._break(lost(published.active.path))
        self._writer = SegmentWriter(published.active.path, found.preamble, published.active.byte_count)
        self._broken = None

    def _cut(self) -> None:
        """Cut the file back to the last whole part of the open transaction, or to the newest commit."""
        end = self._pending.end if self._pending else self._state.active.byte_count
        if self._writer.is_beyond(end):
            self._writer.cut(end)

    def _after_failure(self, error: OSError) -> CdcError:
        """Make the log ready for the same append or another transaction, or refuse every further one."""
        # What a failed sync left of the transaction is unknown: all of it is cut, and written again.
        if is_no_room(error):
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
    if error.errno in DENIED | {errno.ENOTDIR}:
        message = f"the log's folder cannot be written ({errno.errorcode[error.errno]})"
        return StateError(
            message, where=str(folder), remedy="Check the owner and permissions of this folder."
        )
    return refused(folder, error)
