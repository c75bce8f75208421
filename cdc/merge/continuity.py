"""Check that this process may write to a sink, that a delivery or a replay continues at the sink's cursor,
and that the cursor is in the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdc.errors import SinkFenced, SinkRefused
from cdc.spi.log import LogReader
from cdc.spi.sink import Cursor, Delivery, SinkContext

# Every message about a sink without `SupportsRewind`.
NO_REPLAY = "this sink does not support replay"


def belongs(cursor: Cursor, log: LogReader) -> bool:
    """Return whether the cursor is behind a commit of this log whose position it has reached, or before its
    start.
    """
    end = log.end
    if end is None or cursor.next > end.next or cursor.log_id not in ("", log.identity):
        return False
    if cursor.next <= log.start:
        return True
    commit = next(log.commits(cursor.next - 1))
    return commit.next == cursor.next and commit.position <= cursor.position <= end.position


def is_applied(cursor: Cursor | None, delivery: Delivery, where: str) -> bool:
    """Return whether the sink has already applied this delivery. An empty one, and one that `begins` above
    the cursor, is new.

    Raises:
        SinkRefused: the delivery does not begin at the sink's cursor.
    """
    reached = cursor.next if cursor else 0
    if delivery.first == reached or (delivery.begins and delivery.first > reached):
        return False
    if delivery.next <= reached:
        return True
    raise SinkRefused(
        f"the delivery starts at offset {delivery.first}, the sink is at {reached}",
        where=where,
        remedy="The sink and the daemon's log do not belong together. Restore both, or give the sink a new, "
        "empty location.",
    )


def why_ahead(reached: int | None, offset: int) -> str:
    """Return why a sink that has reached the offset `reached` (None: it is empty) cannot be rewound to
    `offset`; '' if it can.
    """
    if reached is None:
        return "nothing was applied yet"
    return f"the sink is at offset {reached}, before {offset}" if offset > reached else ""


def check_rewind(cursor: Cursor | None, offset: int, where: str) -> Cursor:
    """Return the cursor that a rewind to `offset` starts from.

    Raises:
        SinkRefused: the sink has not reached that offset.
    """
    reason = why_ahead(cursor.next if cursor else None, offset)
    if cursor is not None and not reason:
        return cursor
    raise SinkRefused(
        f"rewinding to offset {offset} is not possible: {reason}",
        where=where,
        remedy="Choose an earlier checkpoint.",
    )


def advanced(cursor: Cursor | None, delivery: Delivery, context: SinkContext) -> Cursor:
    """Return the cursor after this delivery by a sink with this context."""
    return Cursor(
        delivery.source,
        delivery.next,
        delivery.position,
        delivery.commit_at,
        context.epoch,
        high=max(delivery.next, cursor.high if cursor else 0),
        log_id=context.log_id,
    )


# So much of a uuid distinguishes two logs in a message.
_SHORT = 8


@dataclass(frozen=True, slots=True)
class Fence:
    """The last process that opened the sink for a source: its epoch, and its log's uuid ('' by an older
    version).
    """

    epoch: int
    log_id: str = ""


def check_fence(fence: Fence | None, context: SinkContext, *, has_rows: bool, where: str) -> None:
    """Compare the sink's fence with the process that wants to write.

    `has_rows`: the sink has a cursor, or the process has taken the fence before, which must be its own.

    Raises:
        SinkRefused: the sink holds changes of another log.
        SinkFenced: a newer process of the same log has opened the sink.
    """
    if fence is None:
        return
    if fence.log_id and context.log_id and fence.log_id != context.log_id:
        if has_rows:
            raise _other_log(fence, context, where)
    elif fence.epoch > context.epoch:
        raise _newer(fence, context, where)


def _other_log(fence: Fence, context: SinkContext, where: str) -> SinkRefused:
    return SinkRefused(
        f"the sink was filled from another log ({fence.log_id[:_SHORT]}) than that of this state_dir"
        f" ({context.log_id[:_SHORT]}): the state_dir is not mounted, or was emptied or replaced",
        where=where,
        remedy="Mount the state_dir that filled the sink. If it is lost, give the sink a new, empty location:"
        " its tables are then copied again.",
    )


def _newer(fence: Fence, context: SinkContext, where: str) -> SinkFenced:
    epochs = f"the sink has been opened with epoch {fence.epoch}, this process has epoch {context.epoch}"
    if not fence.log_id:
        return SinkFenced(
            f"{epochs}: a newer daemon writes to it, or this state_dir is not the one that filled it",
            where=where,
            remedy="Stop the other daemon, or mount the state_dir that filled the sink. If it is lost, give"
            " the sink a new, empty location.",
        )
    return SinkFenced(
        f"{epochs}: a newer daemon on a copy of this state_dir writes to it, or this state_dir was restored"
        " from a backup",
        where=where,
        remedy="Stop this daemon and use the newest state_dir, or give the sink a new, empty location.",
    )
