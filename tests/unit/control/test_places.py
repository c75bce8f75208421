"""Which offset a place in the log means; the log is a real one, trimmed where the name says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.control.places import Finder
from cdc.errors import ConfigError, LogTrimmed
from cdc.log import SegmentedLog
from cdc.model import Position
from cdc.testing.events import append_parts, position, table, transaction

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ITEMS = table("public.items", {"id": pa.int64()})


def parse(text: str) -> Position:
    high, _, low = text.partition("/")
    if high != "0":
        raise ConfigError(f"{text!r} is not a position")
    return position(int(low, 16))


class Minutes:
    """A clock that moves on a minute with every commit of the log."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SegmentedLog]:
    """Five transactions of two rows, at orders 10 to 14, written at 12:00 to 12:04; one a segment."""
    clock = Minutes()
    made = SegmentedLog(tmp_path, segment_bytes=1, clock=clock)
    for number in range(5):
        rows = [(ITEMS, "c", {"id": number}), (ITEMS, "c", {"id": -number})]
        append_parts(made, transaction(10 + number, rows))
        clock.now += timedelta(minutes=1)
    yield made
    made.close()


@pytest.fixture
def finder(log: SegmentedLog) -> Finder:
    return Finder(log, "--from", {7: 6}.get, parse)


@pytest.mark.parametrize(
    ("place", "offset"),
    [
        ("earliest", 0),
        ("latest", 10),
        ("0", 0),
        ("4", 4),
        ("5", 4),  # In the middle of a transaction: rounded down.
        ("10", 10),
        ("c7", 6),
        ("0/B", 2),  # The set of order 10 ends at 11, 0/B: what follows it begins at 2.
        ("0/C", 4),
        ("0/FFFF", 10),
        ("0/1", 0),
        ("2026-11-23T12:01:30Z", 4),
        ("2026-11-23T12:01", 4),
        ("2026-11-23 13:01+01:00", 4),
        ("2026-11-24", 10),
        ("2020-01-01", 0),
    ],
)
def test_place_means_a_commit_boundary(finder: Finder, place: str, offset: int) -> None:
    assert finder.offset(place) == offset


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("11", "--from: offset 11 is after the log's end. The log holds 0 to 10."),
        ("c8", "--from: there is no checkpoint c8. `cdc checkpoints` lists those that are kept."),
        (
            "2026-13-01",
            "--from: '2026-13-01' is not a time."
            " Write 2026-11-23, 2026-11-23T12:00 (UTC) or 2026-11-23T12:00+02:00.",
        ),
        (
            "soon",
            "--from: 'soon' is not a place in the log: 'soon' is not a position."
            " Write earliest, latest, an offset, a time (2026-11-23T12:00Z), a source position,"
            " or a checkpoint (c12).",
        ),
    ],
)
def test_what_is_no_place_is_refused(finder: Finder, place: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        finder.offset(place)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("place", "named"), [("3", "offset 3"), ("0/B", "0/B"), ("2026-11-23T12:00", "2026-11-23T12:00")]
)
def test_place_before_a_trimmed_log_is_refused(
    log: SegmentedLog, finder: Finder, place: str, named: str
) -> None:
    log.trim(6, max_bytes=0)
    assert log.start == 6
    assert finder.offset("earliest") == 6
    with pytest.raises(LogTrimmed) as caught:
        finder.offset(place)
    assert str(caught.value) == (
        f"--from: the log no longer reaches back to {named}: it begins at offset 6"
        " (2026-11-23 12:03:00Z, position 0/E)."
        " Start at earliest, and raise log.retain to keep more from now on."
    )
