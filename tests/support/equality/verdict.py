"""The campaign's verdict: the mirror and the replayed lake equal the source, and the lake holds each change
once.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.equality.lake import check_sequence, read_lake, replay
from tests.support.equality.tables import differences, read_mirror, read_source
from tests.support.workload.oracle import counts
from tests.support.workload.run import Workload
from tests.support.workload.tables import SCHEMA, SHAPE, TABLES

NEW_TABLE_KEY = ("id",)


def assert_all_equal(workload: Workload, lake: Path, mirror: Path) -> None:
    """Compare every table of the workload; all differences are told at once."""
    events = workload.oracle.events()
    assert dict(counts(events)) == workload.tally.counts, "the workload and the server count differently"
    keys = {table.name: tuple(column.name for column in table.key) for table in TABLES}
    keys.update(dict.fromkeys(workload.reshaper.created, NEW_TABLE_KEY))
    seqs: Counter[int] = Counter()
    found: list[str] = []
    for name, key in keys.items():
        source = read_source(workload.database, f"{SCHEMA}.{name}", key)
        found += [f"mirror: {line}" for line in differences(source, read_mirror(mirror, source))]
        changes = read_lake(lake, source, workload.reshaper.renamed if name == SHAPE.name else ())
        seqs.update(change.seq for change in changes)
        for check in (
            lambda n=name, c=changes: check_sequence(n, c, events.get(n, [])),
            lambda c=changes, s=source: _assert_same("lake: ", differences(s, replay(c, s))),
        ):
            try:
                check()
            except AssertionError as error:
                found.append(f"lake: {error}")
    doubled = [seq for seq, count in seqs.items() if count > 1]
    if doubled:
        found.append(f"lake: {len(doubled)} values of _cdc_seq come twice, first {min(doubled)}")
    assert not found, "\n".join(found)


def _assert_same(label: str, lines: list[str]) -> None:
    assert not lines, label + "\n".join(lines)
