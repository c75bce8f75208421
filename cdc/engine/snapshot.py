"""Copy tables into the log while the source is followed, and make them live:
rows first, then the changes buffered meanwhile.

The order in the log, per table: for a copy that continues an earlier one, the buffered changes that the
new snapshot contains; the rows; the buffered changes that come after the snapshot; then live. A copy from
nothing of a table that the log may already have rows of begins with a truncate: nothing says which of those
still live.
All of it has the audience that the table's state names; sinks outside see the changes when they are streamed.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from cdc import failpoints
from cdc.engine.capture_context import CaptureContext
from cdc.engine.ledger import Phase, TableBook, TableState
from cdc.engine.outdated import record_of
from cdc.engine.release import RELEASE_RUNS, Releaser, batches_with_last, superseded
from cdc.engine.routing import mark_batch
from cdc.engine.status import SnapshotProgress
from cdc.engine.wide import WIDE_BYTES
from cdc.errors import CdcError, LogFull, SnapshotYielded
from cdc.model import Audience, ChangeSet, CopyStep, Position, TableId, TableSchema
from cdc.spi import EarlierSnapshot, EncodedChanges, Snapshot, SnapshotChunk

# What waits inside of a copy, as `Waits` knows it.
COPY = "the copy"
STREAM_WAIT = f"{COPY} catching up with the stream"
DISK_WAIT = f"{COPY} on a full disk"
# While the disk is full the copy asks again this often; capture does the same through its own retries.
DISK_FULL_WAIT_SECONDS = 2.0
# How often the copy looks whether the stream has passed the snapshot's position.
PASS_POLL_SECONDS = 0.05


class TableCopier:
    """Copies tables, one snapshot a call of `copy`. One call at a time."""

    def __init__(self, context: CaptureContext) -> None:
        self._source = context.source
        self._ledger = context.ledger
        self._status = context.status
        self._workers = context.spec.snapshot_workers
        self._releaser = Releaser(context.ledger, context.source.position)
        self._record = record_of(context.source)

    def copy(self, schemas: Sequence[TableSchema], stop: threading.Event) -> Mapping[TableId, CdcError]:
        """Open one snapshot, copy the tables that it covers, and make live those that are complete.

        Return the tables that cannot be copied now, with the reason. If the copy is stopped or the snapshot
        ends early, nothing is lost: the next call completes the remaining tables.
        """
        if self._is_begun(schemas) and not self._wait_until_passed(self._source.current(), stop):
            return {}
        marks = {s.table: self._mark(s.table) for s in schemas}
        earlier = self._earlier(schemas)
        try:
            snapshot = self._source.snapshot(schemas, earlier)
        except SnapshotYielded:
            return {}
        failpoints.hit("snapshot.opened")
        try:
            covered = [s for s in schemas if s.table in snapshot.positions]
            continued = [s.table for s in covered if self._begin(s, snapshot, marks[s.table])]
            for table in continued:
                if not self._wait_until_passed(snapshot.positions[table], stop, snapshot):
                    return snapshot.waiting
                self._releaser.release(table, snapshot.tokens[table], snapshot.positions[table].order)
            if covered:
                self._show(len(schemas), snapshot, is_last=len(covered) == len(schemas))
                self._copy_rows(covered, snapshot, stop)
            return snapshot.waiting
        finally:
            snapshot.close()
            self._status.waits.end_all(COPY)

    def _is_begun(self, schemas: Sequence[TableSchema]) -> bool:
        """Return whether the next snapshot may complete an earlier one.

        The stream has to pass it before rows are read, and catches up before it is opened, so that its locks
        are not held meanwhile.
        """
        return bool(self._earlier(schemas))

    def _show(self, table_count: int, snapshot: Snapshot, *, is_last: bool) -> None:
        """Add a snapshot to the progress of the whole copy; `is_last`: it covers all tables left."""
        progress = self._status.snapshot = self._status.snapshot or SnapshotProgress()
        progress.tables = progress.tables_done + table_count
        progress.chunks = progress.chunks_done + len(snapshot.chunks)
        progress.has_all_chunks = is_last
        estimated = sum(chunk.estimated_rows for chunk in snapshot.chunks) + snapshot.rows_left
        progress.estimated_rows = progress.rows + estimated if _are_known(snapshot) else 0

    def _mark(self, table: TableId) -> tuple[int, str | None]:
        """Changes when the table has to be read by a snapshot that is opened later."""
        state = self._ledger.tables.get(table)
        return self._ledger.requests(table), state.token if state else None

    def _earlier(self, schemas: Sequence[TableSchema]) -> Mapping[TableId, EarlierSnapshot]:
        found: dict[TableId, EarlierSnapshot] = {}
        tables = self._ledger.tables
        for schema in schemas:
            state = tables.get(schema.table)
            if state and state.phase is Phase.COPYING and state.token and state.position:
                finished = tables.finished_chunks(schema.table)
                found[schema.table] = EarlierSnapshot(state.token, state.position, finished)
        return found

    def _begin(self, schema: TableSchema, snapshot: Snapshot, mark: tuple[int, str | None]) -> bool:
        """Make the open snapshot durable in the table's state; return whether buffered changes before it
        must be released first. `mark` is from before the snapshot was opened.
        """
        table, position = schema.table, snapshot.positions[schema.table]
        with self._ledger.begin() as entry:
            state = entry.tables.get(table)
            if state is None or not state.is_copied or not entry.tables.agrees(schema):
                raise superseded(table)
            now = self._mark(table)
            if now[0] != mark[0]:
                self._ledger.note_outrun(table)
            if now != mark or position.order < self._ledger.requested_at(table):
                raise superseded(table)
            resumed = table in snapshot.resumed
            after = replace(
                state,
                phase=Phase.COPYING,
                token=snapshot.tokens[table],
                position=position,
                dirty=True,
                handled=state.handled if resumed else max(state.handled, position.order),
            )
            if not resumed and state.audience.is_everyone:
                after = replace(after, transforms=self._record(table))
            if not resumed:
                known = state.dirty or entry.schema(table) is not None
                # That of the view: the stream leaves out what the view contains, and rows may not follow.
                seen = snapshot.schemas[table]
                step = mark_batch(seen, CopyStep.BEGIN, position, state.audience, truncates=known)
                entry.append(ChangeSet((step,), None, 1))
            entry.tables.put(table, after, keep_chunks=resumed)
            entry.commit()
        return resumed

    def _wait_until_passed(
        self, position: Position, stop: threading.Event, snapshot: Snapshot | None = None
    ) -> bool:
        while self._ledger.reached.order < position.order:
            self._wait_for_stream(position)
            if stop.wait(PASS_POLL_SECONDS) or (snapshot is not None and snapshot.is_ending):
                return False
        self._status.waits.end(STREAM_WAIT)
        return True

    def _wait_for_stream(self, position: Position) -> None:
        reason = f"the stream has not reached the position of the copy, {position}"
        self._status.waits.begin(STREAM_WAIT, reason, level="info")

    def _copy_rows(self, schemas: Sequence[TableSchema], snapshot: Snapshot, stop: threading.Event) -> None:
        left = {s.table: sum(c.table == s.table for c in snapshot.chunks) for s in schemas}
        chunks: queue.SimpleQueue[SnapshotChunk] = queue.SimpleQueue()
        for chunk in snapshot.chunks:
            chunks.put(chunk)
        done: queue.SimpleQueue[TableId] = queue.SimpleQueue()
        halt = threading.Event()
        with ThreadPoolExecutor(self._workers, f"snapshot-{self._status.name}") as pool:
            work = [pool.submit(self._work, snapshot, chunks, done, halt) for _ in range(self._workers)]
            try:
                self._finish_tables(left, done, work, snapshot, stop)
            finally:
                halt.set()
        for future in work:
            future.result()

    def _finish_tables(
        self,
        left: dict[TableId, int],
        done: queue.SimpleQueue[TableId],
        work: list[Future[None]],
        snapshot: Snapshot,
        stop: threading.Event,
    ) -> None:
        """Make tables live as they become whole, until all are or the snapshot has ended."""
        ready = [table for table, count in left.items() if count == 0]
        while left and not stop.is_set():
            finished, reading = wait(work, timeout=0, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
            if not reading:
                # What follows needs no view: its locks go as soon as the rows are read.
                snapshot.close()
            # Not before the stream is past the snapshot: a live table takes every change that still comes,
            # and those that the snapshot contains must come while they are buffered and can be dropped.
            reached = self._ledger.reached.order
            table = next((t for t in ready if snapshot.positions[t].order <= reached), None)
            if table is None and ready:
                self._wait_for_stream(snapshot.positions[ready[0]])
            else:
                self._status.waits.end(STREAM_WAIT)
            if table is not None:
                ready.remove(table)
                del left[table]
                self._go_live(table, snapshot.tokens[table])
                continue
            try:
                read = done.get(timeout=PASS_POLL_SECONDS)
            except queue.Empty:
                if not reading and not ready:
                    return
                continue
            left[read] -= 1
            if left[read] == 0:
                ready.append(read)

    def _work(
        self,
        snapshot: Snapshot,
        chunks: queue.SimpleQueue[SnapshotChunk],
        done: queue.SimpleQueue[TableId],
        halt: threading.Event,
    ) -> None:
        while not (halt.is_set() or snapshot.is_ending):
            try:
                chunk = chunks.get_nowait()
                if self._read(snapshot, chunk, halt):
                    done.put(chunk.table)
            except (queue.Empty, SnapshotYielded):
                return

    def _read(self, snapshot: Snapshot, chunk: SnapshotChunk, halt: threading.Event) -> bool:
        """Copy one chunk; False when halted in the middle."""
        rows = 0
        token = snapshot.tokens[chunk.table]
        finished: int | None = None
        for batch, last in batches_with_last(snapshot.read(chunk)):
            rows += batch.row_count
            finished = rows if last else None
            self._append(chunk, token, ChangeSet((batch,), None, batch.row_count), finished, halt)
            if halt.is_set() and not last:
                return False
            self._count(batch.row_count)
            # Not held while the next is read.
            del batch
        if finished is None:
            self._append(chunk, token, ChangeSet((), None), rows, halt)
        progress = self._status.snapshot
        if progress is not None:
            progress.chunks_done += 1
        return True

    def _append(
        self,
        chunk: SnapshotChunk,
        token: str,
        changes: ChangeSet,
        finished: int | None,
        halt: threading.Event,
    ) -> None:
        """Append rows of a chunk; `finished` is how many it has in all, with the last of them."""
        audience = _require(self._ledger.tables, chunk.table, token).audience
        made = self._encoded(changes, audience)
        while True:
            try:
                with self._ledger.begin() as entry:
                    wanted = _require(entry.tables, chunk.table, token).audience
                    entry.append(made if wanted == audience else self._encoded(changes, wanted))
                    if finished is not None:
                        entry.tables.finish_chunk(chunk.table, chunk.id, finished)
                    self._status.positioned(entry.commit())
                failpoints.hit("snapshot.rows-durable")
                self._status.waits.end(DISK_WAIT)
                return
            except LogFull as error:
                self._status.waits.begin(DISK_WAIT, error.message, error.remedy, kind="LogFull")
                if halt.wait(DISK_FULL_WAIT_SECONDS):
                    raise

    def _encoded(self, changes: ChangeSet, audience: Audience) -> ChangeSet | EncodedChanges:
        """Return the rows for this audience, encoded beside the transactions of other readers and the stream,
        except wide ones: only one reader may hold those twice.
        """
        batches = tuple(replace(batch, audience=audience) for batch in changes.batches)
        addressed = replace(changes, batches=batches)
        return addressed if changes.byte_count >= WIDE_BYTES else self._ledger.log.encode(addressed)

    def _count(self, rows: int) -> None:
        self._status.rate.add(rows)
        progress = self._status.snapshot
        if progress is not None:
            progress.rows += rows

    def _go_live(self, table: TableId, token: str) -> None:
        """Release what is buffered beside the running capture, then the rest with the change of phase."""
        self._releaser.release(table, token, None, runs=RELEASE_RUNS)
        failpoints.hit("snapshot.before-live")
        with self._ledger.begin() as entry:
            self._releaser.release_rest(entry, table, token)
            state = _require(entry.tables, table, token)
            schema = entry.schema(table)
            assert schema is not None, "the copy began with a mark"
            mark = mark_batch(schema, CopyStep.FINISHED, self._ledger.reached, state.audience)
            entry.append(ChangeSet((mark,), None, 1))
            entry.tables.put(
                table,
                TableState(
                    phase=Phase.LIVE, relation=state.relation, dirty=True, transforms=state.transforms
                ),
            )
            entry.commit()
        failpoints.hit("snapshot.live")
        progress = self._status.snapshot
        if progress is not None:
            progress.tables_done += 1


def _require(tables: TableBook, table: TableId, token: str) -> TableState:
    state = tables.get(table)
    if state is None or state.token != token:
        raise superseded(table)
    return state


def _are_known(snapshot: Snapshot) -> bool:
    """Return whether the server estimates the rows of every table that is large enough to have several
    chunks.
    """
    counts = Counter(chunk.table for chunk in snapshot.chunks)
    return all(chunk.estimated_rows > 0 or counts[chunk.table] == 1 for chunk in snapshot.chunks)
