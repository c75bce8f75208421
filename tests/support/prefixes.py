"""Deliveries of many commits from a real log, looked at or broken off between their batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from cdc.engine.planning import delivery_of
from cdc.log import SegmentedLog
from cdc.model import ChangeBatch, Commit
from cdc.spi import Delivery, Plan
from cdc.testing.events import append_parts, table, transaction
from tests.support.fed_sink import SOURCE

WIDE = table("public.wide", {"id": pa.int32(), "v": pa.int32(), "big": pa.string()}, relation=1, version=1)
NOTES = table("public.notes", {"id": pa.int32(), "v": pa.int32()}, relation=2, version=1)
Step = Sequence[Any]


def wide(i: int, size: int) -> Step:
    """An insert of a row with a large value."""
    return (WIDE, "c", {"id": i, "v": 0, "big": f"{i}" + "x" * size})


def narrow(i: int, v: int) -> Step:
    """An update that leaves the large value out."""
    return (WIDE, "u", {"id": i, "v": v, "big": None}, None, ["big"])


def note(i: int) -> Step:
    return (NOTES, "c", {"id": i, "v": i})


def written(folder: Path, transactions: Iterable[Sequence[Step]], part_rows: int = 8) -> SegmentedLog:
    """A log with one commit a transaction, each with one row of `notes` at its end."""
    log = SegmentedLog(folder / "log")
    at = log.end.position.order if log.end else 0
    for steps in transactions:
        at += 1
        append_parts(log, transaction(at, [*steps, note(at)], part_rows=part_rows))
    return log


def delivery_from(log: SegmentedLog, first: int, looked: Callable[[], None] | None = None) -> Delivery:
    """All that the log has from an offset on, in parts of one batch; `looked` is called before each."""
    end = log.end
    assert end is not None
    plan = Plan(first, end.next, end.position, end.commit_at)
    whole = delivery_of(plan, log, SOURCE, "warehouse", replaying=False)

    def parts() -> Iterator[Sequence[ChangeBatch]]:
        for part in whole.parts():
            for batch in part:
                if looked is not None:
                    looked()
                yield [batch]

    return replace(whole, parts=parts)


def transactions_below(log: SegmentedLog, offset: int) -> list[Commit]:
    return [commit for commit in log.commits(0) if commit.next <= offset]
