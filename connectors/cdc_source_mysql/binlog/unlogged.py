"""Definitions that changed without a statement in the binlog: `set sql_log_bin = 0`, Galera's RSU.

Discovery compares the catalog with the history once the stream has passed the place where the binlog ended
before the catalog was read. What differs is only a suspicion, because statements may have come since: the
stream, at its own position, proves or drops it (`Tracking.compare`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cdc.model import Position, TableId
from cdc_source_mysql.binlog.stream import StreamProgress
from cdc_source_mysql.schema.definitions import TableDefinition, difference

# A stream at the end says so at its next wake; one that is behind is compared at a later discovery.
REACHED_SECONDS: Final = 2.0
# The stream reads the catalog, and the statements of a moment; then its set is stored.
ANSWERED_SECONDS: Final = 10.0


def suspect(
    progress: StreamProgress,
    current: Callable[[], Position],
    read: Callable[[], Mapping[TableId, TableDefinition]],
    found: Mapping[TableId, TableDefinition],
) -> None:
    """Have the stream prove what the catalog (`found`, or `read` again) shows otherwise than the history, and
    wait for its answer: a copy that is planned, or a run that ends, needs it.
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


def _differing(progress: StreamProgress, found: Mapping[TableId, TableDefinition]) -> frozenset[TableId]:
    captured = progress.captured
    known = captured.definitions if captured is not None else {}
    return frozenset(table for table in known.keys() & found.keys() if difference(known[table], found[table]))


def _has_reached(progress: StreamProgress, end: Position) -> bool:
    return progress.captured is not None and progress.captured.position.order >= end.order
