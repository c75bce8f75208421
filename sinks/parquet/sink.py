"""Writes the history of every table as immutable Parquet files, exactly once.

A delivery is staged as durable files, decided by one replacement of the source's cursor file, then made
visible by renames and named by a manifest. What is decided is completed by whoever opens the lake next, so
that readers never see rows come, go and come again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from cdc.errors import SinkRefused
from cdc.model import ChangeBatch, TableId, TableSchema
from cdc.spi import Cursor, Delivery, Finding, SetAside, Severity, SinkContext
from sinks.parquet.aside import Shelf, TableRefused, of_table, refusal, report
from sinks.parquet.completeness import Aside, Incomplete, after_marks
from sinks.parquet.fence import Fence, TableClaims
from sinks.parquet.files import translated
from sinks.parquet.generations import begin_generation, clear_generations, swap_generation
from sinks.parquet.journal import LakeState, Manifest, complete, load_state, save_state, states
from sinks.parquet.layout import LakePaths, partition_keys
from sinks.parquet.options import ParquetOptions
from sinks.parquet.staging import Staging, clear_staging, prepare_staging
from sinks.parquet.writer import StagedFile

DOCS = "docs/sinks/parquet.md"


@dataclass(frozen=True, slots=True)
class Staged:
    """What a delivery makes of a lake: durable files that wait for their names, and what the lake lacks."""

    files: tuple[StagedFile, ...]
    incomplete: tuple[Incomplete, ...]
    aside: tuple[Aside, ...]


class ParquetSink:
    """One (source, lake) pair; `close` lets go of the lake."""

    Options: ClassVar[type[BaseModel]] = ParquetOptions

    def __init__(self, options: ParquetOptions, context: SinkContext) -> None:
        self._options = options
        self._context = context
        self._root = options.root
        self._fence: Fence | None = None
        self._claims: TableClaims | None = None
        # What cursor.json holds; None when it must be read (again).
        self._state: LakeState | None = None
        # Tables that could not be taken in this process: they are not asked for again and again.
        self._in_vain: set[TableId] = set()

    def check(self) -> Sequence[Finding]:
        nearest = _nearest(self._root)
        if not nearest.is_dir():
            message = f"{nearest} is not a folder"
            return [Finding(Severity.ERROR, "lake-folder", message, "Give a folder in url.", DOCS)]
        if not os.access(nearest, os.W_OK | os.X_OK):
            message = f"the lake's folder can't be written: {nearest}"
            return [
                Finding(
                    Severity.ERROR,
                    "lake-writable",
                    message,
                    f"chown the folder {nearest} to the daemon's user.",
                    DOCS,
                )
            ]
        message = f"{self._root} can be written; commits are exactly once per table"
        fine = Finding(Severity.OK, "lake-writable", message, docs=DOCS)
        return [fine, *(one.details.finding(DOCS) for state in states(self._root) for one in state.aside)]

    def prepare(self, source: str) -> None:
        paths = LakePaths(self._root, source)
        with translated("opening the lake", self._root):
            fence = self._fence or Fence(paths, self._context)
            fence.take()
            self._fence, self._claims, self._state = fence, TableClaims(paths), None
            state = self._settled(paths)
            prepare_staging(paths.staging, self._root)
            if state is not None:
                clear_generations(paths, state)

    def committed(self, source: str) -> Cursor | None:
        paths = LakePaths(self._root, source)
        with translated("reading the lake's cursor", paths.cursor):
            if self._fence is not None and self._fence.is_taken:
                state = self._settled(paths)
                return state.cursor if state else None
            return self.peek(source)

    def peek(self, source: str) -> Cursor | None:
        paths = LakePaths(self._root, source)
        with translated("reading the lake's cursor", paths.cursor):
            state = load_state(paths)
            return _visible(state, paths) if state else None

    def apply(self, delivery: Delivery) -> None:
        paths = LakePaths(self._root, delivery.source)
        with translated("writing to the lake", self._root):
            self._opened().verify()
            state = self._settled(paths)
            if not _is_news(delivery, state):
                return
            try:
                staged = Staged((), state.incomplete if state else (), state.aside if state else ())
                if delivery.next > delivery.first:
                    staged = self._stage(delivery, paths, state)
                self._commit(delivery, paths, state, staged)
            except BaseException:
                # Whether the cursor was replaced is for the disk to say.
                self._state = None
                raise

    def rewind(self, source: str, offset: int) -> None:
        paths = LakePaths(self._root, source)
        with translated("beginning a replay into the lake", self._root):
            self._opened().verify()
            state = self._settled(paths)
            if state is None or offset > state.next:
                reached = state.next if state else "nothing"
                raise SinkRefused(
                    f"going back to {offset} is not possible: the lake has reached {reached}", where=source
                )
            if offset < state.next:
                self._state = None
                self._state = begin_generation(paths, state, offset, self._options)

    def close(self) -> None:
        if self._fence is not None:
            self._fence.release()
        self._fence = self._claims = self._state = None

    def _opened(self) -> Fence:
        if self._fence is None:
            raise SinkRefused("the lake is not open", where=str(self._root), remedy="Call prepare first.")
        return self._fence

    def _settled(self, paths: LakePaths) -> LakeState | None:
        """The state, with everything that it decided carried out."""
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
        state = self._settled(LakePaths(self._root, source))
        return [one.details for one in state.aside] if state else []

    def reconsider(self, source: str, schema: TableSchema) -> bool:
        """See `SetsAside.reconsider`."""
        paths = LakePaths(self._root, source)
        with translated("looking again at what is set aside", self._root):
            state, claims = self._settled(paths), TableClaims(paths)
            if state is None or schema.table in self._in_vain or refusal(schema, claims) is not None:
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
        """Stage a delivery; a table that can't be taken is set aside, and all begins again without it."""
        refused: list[TableRefused] = []
        while True:
            try:
                staged = self._stage_without(refused, delivery, paths, state)
            except TableRefused as error:
                refused.append(error)
                self._in_vain.add(error.schema.table)
            else:
                report(self._context, state.aside if state else (), staged.aside)
                return staged

    def _stage_without(
        self, refused: Sequence[TableRefused], delivery: Delivery, paths: LakePaths, state: LakeState | None
    ) -> Staged:
        assert self._claims is not None
        # Names no earlier delivery of this lake had: a leftover is never taken for one of ours.
        prefix = f"{state.generation if state else 1}-{delivery.first}"
        clear_staging(paths.staging)
        staging = Staging(paths.staging, prefix, self._options, delivery)
        incomplete = state.incomplete if state else ()
        shelf = Shelf(state.aside if state else (), self._claims, refused, delivery.first)
        try:
            for part in delivery.parts():
                incomplete = after_marks(incomplete, part)
                for batch in part:
                    with of_table(batch.schema):
                        admitted = shelf.admitted(batch)
                        if admitted is not None:
                            staging.add(admitted, self._partition_keys(admitted))
            files = tuple(staging.finish())
        except BaseException:
            staging.discard()
            raise
        self._context.count("changes_set_aside", shelf.skipped)
        return Staged(files, incomplete, shelf.entries)

    def _partition_keys(self, batch: ChangeBatch) -> tuple[str, ...]:
        assert self._claims is not None
        return partition_keys(self._options.partition, self._claims.partition_prefix(batch.schema))

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
            high=max(delivery.next, state.high if state else 0),
            last=None,
            before=None,
            incomplete=staged.incomplete,
            aside=staged.aside,
        )
        # A range without rows for this lake leaves no trace but the cursor's.
        lacking = (state.incomplete, state.aside) if state else ((), ())
        if staged.files or (staged.incomplete, staged.aside) != lacking:
            manifest = Manifest(
                delivery.source, after.generation, after.commits, delivery.first, delivery.next,
                delivery.position, delivery.commit_at, self._context.epoch, staged.files, staged.incomplete,
                staged.aside,
            )  # fmt: skip
            before = state.position if state else None
            after = replace(after, commits=after.commits + 1, last=manifest, before=before)
        save_state(paths, after)
        complete(paths, after)
        self._state = self._swap_if_whole(paths, after)


def _is_news(delivery: Delivery, state: LakeState | None) -> bool:
    """Whether the lake lacks this delivery; SinkRefused when it doesn't begin where the lake ends."""
    reached = state.next if state else 0
    if delivery.first == reached:
        is_empty = delivery.next == delivery.first
        return not (is_empty and state is not None and state.position == delivery.position)
    if delivery.next <= reached:
        return False
    if delivery.begins:
        return True
    message = f"the delivery starts at offset {delivery.first}, the lake is at {reached}"
    remedy = "The lake and the daemon's log don't belong together: restore both, or start with a new folder."
    raise SinkRefused(message, where=delivery.source, remedy=remedy)


def _visible(state: LakeState, paths: LakePaths) -> Cursor | None:
    """The cursor without a commit that was decided but not carried out."""
    if state.last is None or state.is_settled(paths):
        return state.cursor
    if state.before is None:
        return None
    return replace(state.cursor, next=state.last.first, position=state.before, commit_at=None)


def _nearest(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
