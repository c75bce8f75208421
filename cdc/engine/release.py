"""Catch-up: moves the buffered changes of one table into the log, in order, each exactly once.

Commits of a buffer hold whole transactions in commit order. `handled` in the table's state is the position
order below which every change is in the log or contained in the snapshot; it moves in the same commit as the
changes. They are for the copy's audience: the other sinks saw them when they were streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto

import numpy as np
import pyarrow as pa

from cdc import failpoints
from cdc.deferred import compute as pc
from cdc.engine.ledger import Ledger, LedgerEntry
from cdc.engine.wide import WIDE_BYTES
from cdc.errors import SourceUnavailable
from cdc.model import Audience, ChangeBatch, ChangeSet, Commit, Envelope, Position, TableId
from cdc.model.batch import EVERYONE
from cdc.spi import BufferReader

# One commit of the log takes in so many commits of a buffer: a sync each would release a few hundred
# transactions a second.
RUN_COMMITS = 2000
RUN_BYTES = 8 * 1024 * 1024
# A run goes over in parts, so that its size in memory stays that of an ordinary ChangeSet.
PART_BYTES = 8 * 1024 * 1024
# Buffered changes are released beside the running capture, up to so many runs; capture then waits for the
# rest.
RELEASE_RUNS = 200


@dataclass(slots=True)
class _Gathered:
    """Batches that go over as one part; their seqs still those of the buffer."""

    audience: Audience = EVERYONE
    batches: list[ChangeBatch] = field(default_factory=list)
    byte_count: int = 0

    def add(self, batch: ChangeBatch) -> None:
        self.batches.append(batch)
        self.byte_count += batch.byte_count

    def as_set(self, last: Commit) -> ChangeSet:
        """One part, seqs turned back into ordinals."""
        joined = _joined(self.batches)
        first, end = joined[0].first_seq, joined[-1].last_seq
        assert first is not None, "a buffered batch has rows or a mark"
        assert end is not None, "a buffered batch has rows or a mark"
        shifted = tuple(replace(batch.shifted(-first), audience=self.audience) for batch in joined)
        return ChangeSet(shifted, None, end - first + 1, 0, last.commit_at)


class _Moved(Enum):
    """How much of a run was moved; NOTHING where there is no run."""

    NOTHING = auto()
    UP_TO_LIMIT = auto()
    WHOLE_RUN = auto()


class Releaser:
    """Releases buffered changes; one thread at a time for a table. `parse` reads the source's positions.

    `token` is that of the table's open snapshot, None for a paused table.
    """

    def __init__(self, ledger: Ledger, parse: Callable[[str], Position]) -> None:
        self._ledger = ledger
        self._parse = parse

    def release(
        self, table: TableId, token: str | None, limit: int | None, *, runs: int | None = None
    ) -> None:
        """Move every buffered change whose position orders below `limit` (None: all).

        At most `runs` runs of them, each with a commit of its own; capture continues between two runs.
        """
        while runs is None or runs > 0:
            with self._ledger.begin() as entry:
                moved = self._move(entry, table, token, limit)
                if moved is not _Moved.NOTHING:
                    entry.commit()
                    failpoints.hit("release.durable")
            if moved is not _Moved.WHOLE_RUN:
                return
            runs = None if runs is None else runs - 1

    def release_rest(self, entry: LedgerEntry, table: TableId, token: str | None) -> None:
        """Move all that is left with the commit of this entry."""
        while self._move(entry, table, token, None) is not _Moved.NOTHING:
            pass

    def _move(self, entry: LedgerEntry, table: TableId, token: str | None, limit: int | None) -> _Moved:
        """Move the next run of buffered commits, as far as it lies below the limit."""
        state = entry.tables.get(table)
        if state is None or state.token != token:
            raise superseded(table)
        assert state.buffer is not None, "a table that is copied has a buffer"
        buffer = self._ledger.log.buffered(state.buffer)
        run = _next_run(buffer, state.released)
        if not run:
            return _Moved.NOTHING
        highest = -1
        part = _Gathered(state.audience)
        for batch in buffer.read(run[0].first, run[-1].next):
            orders = self._orders(batch)
            highest = max(highest, *orders)
            kept = _keep(batch, [state.handled <= o and (limit is None or o < limit) for o in orders])
            if kept is None:
                continue
            if part.byte_count >= PART_BYTES:
                entry.append(part.as_set(run[-1]))
                part = _Gathered(state.audience)
            part.add(kept)
        if part.batches:
            entry.append(part.as_set(run[-1]))
        whole = limit is None or highest < limit
        handled = max(state.handled, highest + 1 if whole else limit or 0)
        released = run[-1].next if whole else state.released
        entry.tables.put(table, replace(state, released=released, handled=handled))
        return _Moved.WHOLE_RUN if whole else _Moved.UP_TO_LIMIT

    def _orders(self, batch: ChangeBatch) -> list[int]:
        """One position order per entry of the batch's position dictionary, which for a mark is its own
        alone; -1 for those that no row uses.
        """
        column = batch.data.column(Envelope.POSITION)
        texts = column.dictionary.to_pylist()
        if batch.mark is not None:
            return [self._parse(text).order for text in texts]
        used = set(np.unique(column.indices.to_numpy()).tolist())
        return [self._parse(text).order if i in used else -1 for i, text in enumerate(texts)]


def superseded(table: TableId) -> SourceUnavailable:
    """The table changed its identity while it was copied; the coordinator opens a new snapshot."""
    return SourceUnavailable(
        "a new copy of the table became due while it was copied (replaced, renamed, or changed without rows)",
        where=str(table),
        remedy="It is copied again automatically.",
    )


def batches_with_last(batches: Iterator[ChangeBatch]) -> Iterator[tuple[ChangeBatch, bool]]:
    """Yield each batch with whether it is the last. A wide one is not held until the next is there: it counts
    as not the last.
    """
    pending: ChangeBatch | None = None
    for batch in batches:
        if pending is not None:
            yield pending, False
        pending = batch
        del batch
        if pending.byte_count >= WIDE_BYTES:
            yield pending, False
            pending = None
    if pending is not None:
        yield pending, True


def _next_run(buffer: BufferReader, start: int) -> list[Commit]:
    """Return the next commits of a buffer that go over together."""
    run: list[Commit] = []
    byte_count = 0
    for commit in buffer.commits(start):
        if len(run) >= RUN_COMMITS or byte_count >= RUN_BYTES:
            break
        if commit.first != commit.next:
            run.append(commit)
            byte_count += commit.byte_count
    return run


def _keep(batch: ChangeBatch, wanted: list[bool]) -> ChangeBatch | None:
    if batch.mark is not None:
        return batch if all(wanted) else None
    indices = batch.data.column(Envelope.POSITION).indices.to_numpy()
    mask = np.asarray(wanted, dtype=bool)[indices]
    if not mask.any():
        return None
    return batch if mask.all() else batch.filtered(pa.array(mask))


def _joined(batches: list[ChangeBatch]) -> list[ChangeBatch]:
    """Neighbours of one schema version and one set of envelope columns made into one batch each."""
    joined: list[ChangeBatch] = []
    group: list[ChangeBatch] = []
    for batch in batches:
        if group and not (
            group[-1].schema is batch.schema
            and group[-1].data.schema.equals(batch.data.schema)
            and group[-1].mark is batch.mark is None
        ):
            joined.append(_concat(group))
            group = []
        group.append(batch)
    if group:
        joined.append(_concat(group))
    return joined


def _concat(group: list[ChangeBatch]) -> ChangeBatch:
    if len(group) == 1:
        return group[0]
    table = pa.Table.from_batches([batch.data for batch in group])
    index = table.schema.get_field_index(Envelope.UNCHANGED)
    unchanged = table.column(index) if index >= 0 else None
    table = (table if unchanged is None else table.remove_column(index)).unify_dictionaries().combine_chunks()
    data = table.to_batches()[0]
    if unchanged is not None:
        data = data.add_column(index, Envelope.UNCHANGED, _end_to_end(unchanged))
    return replace(group[0], data=data)


def _end_to_end(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """One array of many: Arrow can't unify dictionaries of lists, so theirs are laid end to end."""
    starts = np.cumsum([0, *(len(chunk.dictionary) for chunk in column.chunks)])
    indices = [
        pc.add(c.indices, pa.scalar(int(start), pa.int32()))
        for c, start in zip(column.chunks, starts, strict=False)
    ]
    dictionary = pa.concat_arrays([chunk.dictionary for chunk in column.chunks])
    return pa.DictionaryArray.from_arrays(pa.concat_arrays(indices), dictionary)
