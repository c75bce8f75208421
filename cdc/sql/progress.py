"""Progress of one attempt at a delivery, and the places where a step may end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from cdc.model import ChangeBatch
from cdc.spi import Delivery
from cdc.sql.steps import Done, Passed, Piece, ends_before, sliced


class Overfull(Exception):
    """Changes do not fit beside those before them, which was not foreseen: the next attempt begins a piece at
    each of these offsets, and a transaction where a commit begins.
    """

    def __init__(self, offsets: Collection[int]) -> None:
        super().__init__(f"pieces must begin at the offsets {sorted(offsets)}")
        self.offsets = offsets


class DeliveryProgress:
    """The changes applied since the cursor, and the committed part of them.

    `done` is what an earlier attempt has committed behind the cursor.
    """

    def __init__(self, delivery: Delivery, done: Done) -> None:
        self._delivery = delivery
        self._to_skip = done
        self._first: Passed | None = None
        self._commit_at: datetime | None = None
        self._changes = 0
        self.cursor = delivery.first
        self.done = done
        self.last: Passed | None = None
        """The newest batch that is applied."""
        self.skipped_below = delivery.first
        """Changes with an offset below were committed by an earlier attempt, or are behind the cursor."""
        self.is_saved = True
        """Whether all that is applied is committed."""

    def undone(self, part: Sequence[ChangeBatch]) -> list[ChangeBatch]:
        """Return a part without the changes that an earlier attempt committed."""
        whole, rows = min(self._to_skip.batches, len(part)), 0
        rest = list(part[whole:])
        skipped = list(part[:whole])
        if rest:
            rows = self._to_skip.rows
            if rows:
                skipped.append(sliced(rest[0], 0, rows))
                rest[0] = sliced(rest[0], rows)
            self._to_skip = Done()
        else:
            self._to_skip = Done(self._to_skip.batches - whole, self._to_skip.rows)
        for batch in skipped:
            self._passed(batch)
        self.skipped_below = max(self.skipped_below, end_of(skipped))
        return rest

    def applied(self, piece: Piece) -> None:
        """Note that a piece is applied, and not committed yet."""
        for batch in piece.batches:
            self._passed(batch)
        self.done = self.done.then(piece.done)
        self.is_saved = False

    def stepped(self) -> None:
        """Note that the applied changes are committed; the cursor stays."""
        self.is_saved = True

    def moved(self) -> Delivery:
        """Note that what is applied is committed up to the end of a commit, with the cursor there; return
        that prefix of the delivery.
        """
        assert self.last is not None
        assert self.last.commit is not None
        commit = self.last.commit
        self.cursor, self.done, self._first, self.is_saved = commit.next, Done(), None, True
        return replace(self._delivery, next=commit.next, position=commit.position, commit_at=self._commit_at)

    def ends_before(self, batch: ChangeBatch) -> bool:
        """Return whether a commit ends between what is applied and this batch."""
        return self.last is not None and ends_before(self.last, batch)

    @property
    def is_within_first(self) -> bool:
        """Whether everything since the cursor belongs to one commit, of which changes are still to come."""
        if self._first is None or self.last is None or self._first.commit != self.last.commit:
            return False
        commit = self.last.commit
        return commit is None or self._changes < commit.next - commit.first

    def is_in_first(self, batch: ChangeBatch) -> bool:
        """Return whether everything since the cursor belongs to the commit of this batch."""
        return self._first is not None and not ends_before(self._first, batch)

    def _passed(self, batch: ChangeBatch) -> None:
        self.last = Passed(batch.commit)
        if self._first is None:
            self._first, self._changes = self.last, 0
        # A mark without a row takes an offset too.
        self._changes += batch.row_count or batch.mark is not None
        if batch.commit is not None:
            self._commit_at = batch.commit.commit_at or self._commit_at


def end_of(batches: Sequence[ChangeBatch]) -> int:
    """Return the offset after the newest change of these batches; 0 without one."""
    return max((batch.seq[-1].as_py() + 1 for batch in batches if batch.row_count), default=0)
