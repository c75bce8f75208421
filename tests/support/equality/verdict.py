"""The campaign's verdict: the mirror and the replayed lake equal the source, and the lake holds each change
once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.equality.lake import Change, check_sequence, read_lake, replay
from tests.support.equality.tables import SourceTable, differences, read_mirror
from tests.support.equality.warehouse import read_warehouse
from tests.support.postgres.server import Database
from tests.support.workload.events import Event, counts

if TYPE_CHECKING:
    from tests.support.workload.run import Workload


def assert_all_equal(workload: Workload, lake: Path, mirror: Path | Database) -> None:
    """Compare every table of the workload with the lake and the mirror, a DuckDB file or a Postgres database;
    all differences are reported at once.
    """
    events = workload.oracle.events()
    assert dict(counts(events)) == workload.tally.counts, "the workload and the server count differently"
    seqs: Counter[int] = Counter()
    found: list[str] = []
    for name in workload.keys:
        source = workload.source(name)
        found += [f"mirror: {line}" for line in differences(source, _mirrored(mirror, source))]
        changes = read_lake(lake, source, workload.renamed(name))
        seqs.update(change.seq for change in changes)
        found += _lake(workload, source, changes, events.get(name, []))
    doubled = [seq for seq, count in seqs.items() if count > 1]
    if doubled:
        found.append(f"lake: {len(doubled)} values of _cdc_seq come twice, first {min(doubled)}")
    assert not found, "\n".join(found)


def _mirrored(mirror: Path | Database, source: SourceTable) -> Counter[tuple[Any, ...]]:
    return read_mirror(mirror, source) if isinstance(mirror, Path) else read_warehouse(mirror, source)


def _lake(
    workload: Workload, source: SourceTable, changes: Sequence[Change], events: Sequence[Event]
) -> list[str]:
    """What is wrong with the history of one table."""
    found = []
    try:
        check_sequence(source.name, changes, events)
    except AssertionError as error:
        found.append(f"lake: {error}")
    try:
        rows = replay(changes, source, copies_run_ahead=workload.copies_run_ahead)
    except AssertionError as error:
        return [*found, f"lake: {error}"]
    return [*found, *(f"lake: {line}" for line in differences(source, rows))]
