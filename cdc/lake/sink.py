"""A sink that writes the history of every table as immutable files, exactly once. A file format and a store
make it a plug-in.

A delivery is staged as durable files, decided by one replacement of the source's cursor, then made visible by
giving the files their names, and named by a manifest. What is decided is completed by whoever opens the lake
next, so that readers never see rows come, go and come again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from cdc.errors import SinkFenced, SinkRefused, SinkUnavailable
from cdc.lake.claims import TableClaims
from cdc.lake.completeness import Aside, Incomplete, after_marks
from cdc.lake.fence import LakeFence, writer_name
from cdc.lake.files import FileFormat, StagedFile
from cdc.lake.generations import begin_generation, clear_generations, swap_generation
from cdc.lake.journal import LakeState, Manifest, claim, complete, load_state, save_state, states
from cdc.lake.layout import LakePaths, Partition, partition_keys
from cdc.lake.setaside import LakeShelf, of_table, refusal, report
from cdc.lake.staging import Staging, clear_staging
from cdc.lake.store import ObjectStore
from cdc.merge import TableRefused, continuity
from cdc.model import ChangeBatch, Position, TableId, TableSchema
from cdc.spi import (
    Atomicity,
    Capabilities,
    Cursor,
    Delivery,
    Finding,
    FlushPolicy,
    SetAside,
    Severity,
    SinkContext,
)

# Each flush makes a file a table and partition, and many small files are slow to read.
FLUSH_INTERVAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Staged:
    """The result of a staged delivery: durable files without their final names, and the lake's incomplete
    tables.
    """

    files: tuple[StagedFile, ...]
    incomplete: tuple[Incomplete, ...]
    aside: tuple[Aside, ...]


class LakeSink:
    """One (source, lake) pair; `close` releases the lake. A plug-in adds its `Options` and makes the store
    and the format from them. `docs` is its page.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        modes=("append",),
        deletes=(),
        atomic=Atomicity.ONE_TABLE,
        transactional_ddl=True,
        flush=FlushPolicy(interval_seconds=FLUSH_INTERVAL_SECONDS),
    )

    def __init__(
        self,
        store: ObjectStore,
        form: FileFormat,
        context: SinkContext,
        *,
        docs: str,
        partition: Partition = Partition.NONE,
    ) -> None:
        self._store = store
        self._format = form
        self._context = context
        self._docs = docs
        self._partition = partition
        self._fence: LakeFence | None = None
        self._claims: TableClaims | None = None
        # What cursor.json holds; None when it must be read (again).
        self._state: LakeState | None = None
        # Also the name of this process's part of the staging folder.
        self._writer = writer_name(context)
        # Whether others' staged files are gone, and whether there may be some of an own delivery that failed.
        self._is_alone = self._has_leftovers = False
        # Tables that this process could not store: they are not requested again.
        self._still_refused: set[TableId] = set()

    def check(self) -> Sequence[Finding]:
        found = self._store.check(self._docs)
        if found.severity is not Severity.OK:
            return [found]
        aside = [one for state in states(self._store) for one in state.aside]
        return [found, *(one.details.finding(self._docs) for one in aside)]

    def prepare(self, source: str) -> None:
        paths = LakePaths(self._store, source)
        with self._store.guard("opening the lake"):
            fence = self._fence or LakeFence(paths, self._context)
            fence.take()
            self._fence, self._claims, self._state = fence, self._claimed(paths), None
            self._is_alone = False
            # Without a lock, an earlier process can commit until the cursor is claimed, if there is one.
            is_alone = self._store.has_locks or claim(paths, self._writer) is not None
            state = self._settled(paths)
            if is_alone:
                self._clear_others(paths)
            if state is not None:
                clear_generations(paths, state)

    def _clear_others(self, paths: LakePaths) -> None:
        """Remove what other processes have staged. The cursor must be this process's own."""
        self._store.delete_all(paths.staging, lambda name: name == self._writer)
        self._is_alone = True

    def committed(self, source: str) -> Cursor | None:
        paths = LakePaths(self._store, source)
        with self._store.guard("reading the lake's cursor", paths.cursor):
            if self._fence is not None and self._fence.is_taken:
                state = self._settled(paths)
                return state.cursor if state else None
            return self.peek(source)

    def peek(self, source: str) -> Cursor | None:
        paths = LakePaths(self._store, source)
        with self._store.guard("reading the lake's cursor", paths.cursor):
            state = load_state(paths)
            return _visible(state, paths) if state else None

    def apply(self, delivery: Delivery) -> None:
        paths = LakePaths(self._store, delivery.source)
        with self._store.guard("writing to the lake"):
            self._opened().verify()
            state = self._settled(paths)
            if self._has(delivery, state):
                return
            try:
                staged = Staged((), state.incomplete if state else (), state.aside if state else ())
                if delivery.next > delivery.first:
                    staged = self._stage(delivery, paths, state)
                self._commit(delivery, paths, state, staged)
            except BaseException:
                # Only the disk shows whether the cursor was replaced.
                self._state = None
                raise

    def rewind(self, source: str, offset: int) -> None:
        paths = LakePaths(self._store, source)
        with self._store.guard("beginning a replay into the lake"):
            self._opened().verify()
            state = self._settled(paths)
            continuity.check_rewind(state.cursor if state else None, offset, self._where(source))
            if state is not None and offset < state.next:
                self._state = None
                self._state = begin_generation(paths, state, offset, self._format)

    def close(self) -> None:
        if self._fence is not None:
            self._fence.release()
        self._fence = self._claims = self._state = None
        self._store.close()

    def _opened(self) -> LakeFence:
        if self._fence is None:
            raise SinkRefused("the lake is not open", where=self._store.root, remedy="Call prepare first.")
        return self._fence

    def _where(self, source: str) -> str:
        return f"{self._store.root}: source {source}"

    def _claimed(self, paths: LakePaths) -> TableClaims:
        return TableClaims(paths, self._format.suffix)

    def _has(self, delivery: Delivery, state: LakeState | None) -> bool:
        """Return whether the lake has this delivery, or the delivery is empty and changes nothing."""
        cursor = state.cursor if state else None
        if continuity.is_applied(cursor, delivery, self._where(delivery.source)):
            return True
        is_empty = delivery.first == delivery.next
        return is_empty and cursor is not None and _reached(cursor) == _reached(delivery)

    def _settled(self, paths: LakePaths) -> LakeState | None:
        """The state, after everything that it decided is completed."""
        state = self._state or load_state(paths)
        if state is not None and self._state is None:
            complete(paths, state)
            state = self._swap_if_whole(paths, state)
        self._state = state
        return state

    def _swap_if_whole(self, paths: LakePaths, state: LakeState) -> LakeState:
        if not state.is_replaying or state.next < state.high or self._claims is None:
            return state
        return swap_generation(paths, state, self._claims.folders())

    def set_aside(self, source: str) -> Sequence[SetAside]:
        """See `SetsAside.set_aside`."""
        state = self._settled(LakePaths(self._store, source))
        return [one.details for one in state.aside] if state else []

    def reconsider(self, source: str, schema: TableSchema) -> bool:
        """See `SetsAside.reconsider`."""
        paths = LakePaths(self._store, source)
        with self._store.guard("rechecking the tables that are set aside"):
            state = self._settled(paths)
            if state is None or schema.table in self._still_refused:
                return False
            if refusal(schema, self._claimed(paths), self._format) is not None:
                return False
            made = tuple(
                replace(one, details=replace(one.details, deliverable=True))
                if one.details.table == schema.table
                else one
                for one in state.aside
            )
            self._state = None
            save_state(paths, replace(state, aside=made))
            return made != state.aside

    def _stage(self, delivery: Delivery, paths: LakePaths, state: LakeState | None) -> Staged:
        """Stage a delivery; a table that cannot be stored is set aside, and staging restarts without it."""
        refused: list[TableRefused] = []
        while True:
            try:
                staged = self._stage_without(refused, delivery, paths, state)
            except TableRefused as error:
                refused.append(error)
                self._still_refused.add(error.schema.table)
            else:
                report(self._context, state.aside if state else (), staged.aside)
                return staged

    def _stage_without(
        self, refused: Sequence[TableRefused], delivery: Delivery, paths: LakePaths, state: LakeState | None
    ) -> Staged:
        assert self._claims is not None
        if self._has_leftovers:
            clear_staging(paths, self._writer)
        self._has_leftovers = True
        # Names that no earlier delivery of this lake had: a leftover is never mistaken for one of ours.
        prefix = f"{self._writer}/{state.generation if state else 1}-{delivery.first}"
        staging = Staging(
            paths, prefix, self._format, self._partition, delivery, self._context.memory_bytes // 2
        )
        incomplete = state.incomplete if state else ()
        shelf = LakeShelf(state.aside if state else (), self._claims, self._format, refused, delivery.first)
        try:
            for part in delivery.parts():
                incomplete = after_marks(incomplete, part)
                self._stage_part(part, shelf, staging)
                del part  # A wide row must be gone before the next is read.
            files = tuple(staging.finish())
        except BaseException:
            staging.discard()
            clear_staging(paths, self._writer)
            raise
        self._context.count("changes_set_aside", shelf.skipped)
        self._context.gauge("files_in_last_commit", len(files))
        return Staged(files, incomplete, shelf.entries)

    def _stage_part(self, part: Sequence[ChangeBatch], shelf: LakeShelf, staging: Staging) -> None:
        for batch in part:
            with of_table(batch.schema):
                admitted = shelf.admitted(batch)
                if admitted is not None:
                    staging.add(admitted, self._partition_keys(admitted))

    def _partition_keys(self, batch: ChangeBatch) -> tuple[str, ...]:
        assert self._claims is not None
        return partition_keys(self._partition, self._claims.partition_prefix(batch.schema))

    def _commit(
        self,
        delivery: Delivery,
        paths: LakePaths,
        state: LakeState | None,
        staged: Staged,
    ) -> None:
        after = replace(
            state or LakeState(delivery.source, 0, delivery.position, None, self._context.epoch, 0),
            next=delivery.next,
            position=delivery.position,
            commit_at=delivery.commit_at,
            epoch=self._context.epoch,
            log_id=self._context.log_id,
            writer=self._writer,
            high=max(delivery.next, state.high if state else 0),
            last=None,
            before=None,
            incomplete=staged.incomplete,
            aside=staged.aside,
        )
        # A range without rows for this lake changes the cursor only.
        lacking = (state.incomplete, state.aside) if state else ((), ())
        if staged.files or (staged.incomplete, staged.aside) != lacking:
            manifest = Manifest(
                delivery.source, after.generation, after.commits, delivery.first, delivery.next,
                delivery.position, delivery.commit_at, self._context.epoch, staged.files, staged.incomplete,
                staged.aside,
            )  # fmt: skip
            before = state.position if state else None
            after = replace(after, commits=after.commits + 1, last=manifest, before=before)
        after = self._decide(paths, after)
        complete(paths, after, is_new=True)
        self._has_leftovers = False
        if not self._is_alone:
            self._clear_others(paths)
        self._state = self._swap_if_whole(paths, after)

    def _decide(self, paths: LakePaths, after: LakeState) -> LakeState:
        try:
            return save_state(paths, after)
        except SinkFenced as error:
            # An earlier process may have made the first commit after this one opened the lake.
            self._opened().verify()
            raise SinkUnavailable(error.message, where=error.where) from error


def _reached(what: Cursor | Delivery) -> tuple[int, Position]:
    return what.next, what.position


def _visible(state: LakeState, paths: LakePaths) -> Cursor | None:
    """The cursor without a commit that was decided but not completed."""
    if state.last is None or state.is_settled(paths):
        return state.cursor
    if state.before is None:
        return None
    return replace(state.cursor, next=state.last.first, position=state.before, commit_at=None)
