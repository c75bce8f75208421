"""The child of the kill test: appends to a log for ever and prints the end of each durable commit."""

from __future__ import annotations

import sys
from pathlib import Path

from cdc.log import SegmentedLog
from cdc.testing.events import append_parts
from tests.support.logs import one, parts


def append_for_ever(folder: Path) -> None:
    log = SegmentedLog(folder, segment_bytes=50_000)
    at = log.end.position.order if log.end else 0
    while True:
        at += 1
        sets = parts(at, 3, 20) if at % 5 == 0 else [one(at, *range(at % 7))]
        commit = append_parts(log, sets, {"at": str(at)})
        sys.stdout.write(f"{commit.next} {at}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    append_for_ever(Path(sys.argv[1]))
