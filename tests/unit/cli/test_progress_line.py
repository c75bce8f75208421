"""The progress line of a terminal: labelled, and within 80 columns."""

from __future__ import annotations

import pytest

from cdc.cli.progress import LINE_WIDTH, Progress, progress_line
from cdc.engine.status import SnapshotProgress, SourceStatus
from cdc.spi.status import DaemonReport

# `12:00:00 [warning  ] ` stands before it.
PREFIX = 21


def report(status: SourceStatus) -> DaemonReport:
    return DaemonReport(sources={"shop": status.report()})


@pytest.fixture
def after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every copy has run for exactly so long."""
    monkeypatch.setattr(SnapshotProgress, "seconds", 10.0)


@pytest.mark.usefixtures("after_ten_seconds")
def test_a_copy_shows_percent_rate_and_remaining_time() -> None:
    status = SourceStatus("shop", snapshot=SnapshotProgress(12, 3, 40, 9, 250_000, 1_000_000))
    copy = status.report().snapshot
    assert copy is not None
    assert copy.percent == 25
    assert (copy.rows_per_second, copy.remaining_seconds) == (25_000, 30)
    line = progress_line("shop", status.report(), {"lake": 12})
    assert line.startswith("shop: copying 25% of 12 tables, 25,000")
    assert line.endswith("30 s left")
    status.snapshot = None
    assert progress_line("shop", status.report(), {"lake": 12}) == "shop: 0 rows, 0 rows/s, lake 12 behind"


def test_a_line_of_long_names_and_large_numbers_fits_80_columns() -> None:
    status = SourceStatus("a" * 48, snapshot=SnapshotProgress(5000, 1, 9, 9, 10**12, 10**13))
    sinks = {f"sink_{'x' * 40}": 10**9, "b": 10**9}
    assert len(progress_line(status.name, status.report(), sinks)) + PREFIX <= 80
    assert LINE_WIDTH + PREFIX == 80


def test_percent_is_100_only_when_every_table_is_done() -> None:
    assert SnapshotProgress(2, 1, 9, 9, 500, 100).report().percent == 99
    assert SnapshotProgress(2, 1).report().percent == 50
    assert SnapshotProgress(2, 2, 9, 9, 500, 100).report().percent == 100


@pytest.mark.usefixtures("after_ten_seconds")
def test_a_copy_of_unknown_size_counts_its_chunks_once_all_are_known() -> None:
    copy = SnapshotProgress(3, 0, 20, 5, 500, has_all_chunks=True)
    shown = copy.report()
    assert (shown.percent, shown.remaining_seconds) == (25, 30)
    copy.has_all_chunks = False
    shown = copy.report()
    assert (shown.percent, shown.remaining_seconds) == (0, None)


def test_progress_has_fields_for_programs_and_nothing_when_quiet() -> None:
    told: list[dict[str, object]] = []
    status = SourceStatus("shop")
    status.rate.add(5)
    for quiet in (True, False):
        logging = Progress(lambda _, **fields: told.append(fields), quiet=quiet, interval_seconds=0.0)
        logging.tick(report(status))
    (fields,) = told
    assert (fields["source"], fields["rows"]) == ("shop", 5)
