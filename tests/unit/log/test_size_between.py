"""How much of a log a sink lacks, without reading it."""

from __future__ import annotations

from pathlib import Path

from cdc.testing.events import append
from tests.support.logs import one, opened


def test_the_size_of_a_range_is_its_share_of_the_segments(tmp_path: Path) -> None:
    with opened(tmp_path / "log", segment_bytes=1) as log:
        for order in range(1, 6):
            append(log, one(order, *range(10)))
        sizes = [log.size_between(first, 50) for first in range(0, 51, 5)]
        assert sizes == sorted(sizes, reverse=True)
        assert (sizes[0], sizes[-1]) == (log.byte_count, 0)
        assert abs((sizes[0] - sizes[1]) - (sizes[1] - sizes[2])) <= 1
