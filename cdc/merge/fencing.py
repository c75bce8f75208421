"""Check that this process may write to a sink: every sink does so before it applies a delivery."""

from __future__ import annotations

from dataclasses import dataclass

from cdc.errors import SinkFenced, SinkRefused
from cdc.spi.sink import SinkContext

# So much of a uuid tells two logs apart in a message.
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
