"""A day of points on disk: it survives restarts, damage and disks without room, and its size is bounded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.control.monitor import HOUR_SECONDS, StatusMonitor
from cdc.control.points import DAMAGED_FILE, DAY_SECONDS, FILE, DayOfPoints, HistoryMark, Point, joined
from cdc.spi.status import DaemonReport, SinkReport, SourceReport

RATE, LAG = "shop.rows_per_second", "lake.shop.freshness_seconds"


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def filled(folder: Path, log: Callable[..., None], minutes: range, **options: int) -> DayOfPoints:
    day = DayOfPoints(folder, log, **options)
    for minute in minutes:
        day.add(Point(ago(minute), {RATE: float(minute), LAG: 1.0}), [])
    return day


def rates(day: DayOfPoints, seconds: float = DAY_SECONDS, step: float = 60.0) -> list[float]:
    return [point.values[RATE] for point in day.read(seconds, step)[0]]


def test_a_day_survives_a_restart(tmp_path: Path) -> None:
    log = Log()
    filled(tmp_path, log, range(4, 0, -1))
    restarted = DayOfPoints(tmp_path, log)
    assert rates(restarted) == [4.0, 3.0, 2.0, 1.0]
    restarted.add(Point(ago(0), {RATE: 0.0, "new.rows_per_second": 7.0}), [HistoryMark(ago(0), "retrying")])
    points, marks = DayOfPoints(tmp_path, log).read(DAY_SECONDS, 60.0)
    assert points[-1].values == {RATE: 0.0, "new.rows_per_second": 7.0}
    assert [mark.text for mark in marks] == ["retrying"]
    assert log.lines == []


def test_what_is_older_than_a_day_goes_at_the_next_start(tmp_path: Path) -> None:
    filled(tmp_path, Log(), range(1445, 1425, -10))
    day = filled(tmp_path, Log(), range(1, 0, -1))
    assert rates(day, 10 * DAY_SECONDS) == [1435.0, 1.0]


def test_the_file_never_grows_beyond_its_limit_and_keeps_the_newest(tmp_path: Path) -> None:
    limit = 4096
    day = filled(tmp_path, Log(), range(1000, 0, -1), max_bytes=limit)
    line = 100
    assert (tmp_path / FILE).stat().st_size < limit + line
    found = rates(day)
    assert found[-1] == 1.0
    assert len(found) > limit / 2 / line


def test_points_of_one_step_are_a_mean_of_rates_and_the_worst_lag(tmp_path: Path) -> None:
    at = ago(1)
    found = joined([Point(at, {RATE: 10.0, LAG: 1.0}), Point(at, {RATE: 20.0, LAG: 9.0, "other": 3.0})])
    assert found.values == {RATE: 15.0, LAG: 9.0, "other": 3.0}


def test_half_a_line_at_the_end_is_dropped_without_a_word(tmp_path: Path) -> None:
    log = Log()
    filled(tmp_path, log, range(3, 0, -1))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"at": 17')
    day = filled(tmp_path, log, range(0, -1, -1))
    assert rates(day) == [3.0, 2.0, 1.0, 0.0]
    assert log.lines == []


HEADER = b'{"format":"cdc history","version":1}\n'


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 4096,
        b"\0" * 4096 + b"\n",
        b'{"format":"cdc history","version":2}\n',
        b"[]\n",
        HEADER + b"no json\n",
        HEADER + b"{}\n",
        HEADER + b'{"names":3}\n',
        HEADER + b'{"names":["a"]}\n{"at":1,"values":[1,2]}\n',
        HEADER + b'{"names":["a"]}\n{"at":1e300,"values":[1]}\n',
        HEADER + b'{"names":["a"]}\n{"at":1,"values":["x"]}\n',
    ],
)
def test_a_damaged_file_is_logged_put_aside_and_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    log = Log()
    day = DayOfPoints(tmp_path, log)
    day.read(HOUR_SECONDS, 60.0)
    day.add(Point(ago(1), {RATE: 1.0}), [])
    assert rates(day) == [1.0]
    said = [line["event"] for line in log.lines]
    if content.endswith(b"\n"):
        assert said == ["chart history is damaged: put aside, and a new one begun"]
        assert (tmp_path / DAMAGED_FILE).read_bytes() == content
    else:
        # A first line that was never finished: nothing of ours was in it.
        assert said == []


def test_a_damaged_file_that_cannot_be_put_aside_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"[]\n")
    (tmp_path / DAMAGED_FILE / "in the way").mkdir(parents=True)
    log = Log()
    day = filled(tmp_path, log, range(2, 0, -1))
    assert day.read(HOUR_SECONDS, 60.0) == ([], [])
    assert [line["event"] for line in log.lines] == ["charts of the last day are not kept"]


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / FILE).open("wb") as file:
        file.truncate(10**12)
    log = Log()
    assert rates(filled(tmp_path, log, range(1, 0, -1))) == [1.0]
    assert "more than it is ever given" in log.lines[0]["reason"]


def test_a_disk_that_refuses_is_logged_once_and_used_again_when_it_does_not(tmp_path: Path) -> None:
    log = Log()
    (tmp_path / FILE).mkdir()
    day = filled(tmp_path, log, range(3, 0, -1))
    assert day.read(HOUR_SECONDS, 60.0) == ([], [])
    (said,) = log.lines
    assert (said["event"], said["level"]) == ("charts of the last day are not kept", "warning")
    (tmp_path / FILE).rmdir()
    day.add(Point(ago(0), {RATE: 0.0}), [])
    assert rates(day) == [0.0]
    (tmp_path / FILE).unlink()
    for _ in range(2):
        day.add(Point(ago(0), {RATE: 5.0}), [])
    assert rates(day) == [5.0]


def report() -> DaemonReport:
    sink = SinkReport(source="shop", state="idle", freshness_seconds=2.0)
    return DaemonReport(sources={"shop": SourceReport(rows_per_second=5.0)}, sinks={"lake": [sink]})


def test_a_monitor_shows_the_last_hour_after_a_restart_and_a_day_by_steps(tmp_path: Path) -> None:
    filled(tmp_path, Log(), range(1400, 0, -20))
    monitor = StatusMonitor()
    monitor.keep(DayOfPoints(tmp_path, Log()))
    monitor.tick(report())
    hour, day = monitor.history(HOUR_SECONDS), monitor.history(DAY_SECONDS)
    assert (hour["step_seconds"], day["step_seconds"]) == (10.0, 300.0)
    assert hour["series"][RATE] == [40.0, 20.0, 5.0]
    assert len(day["at"]) == 70
    assert day["at"] == sorted(day["at"])


def test_a_monitor_writes_a_point_a_minute_and_the_marks_of_it(tmp_path: Path) -> None:
    now = [0.0]
    monitor = StatusMonitor(lambda: now[0])
    monitor.keep(DayOfPoints(tmp_path, Log()))
    record = monitor.recording(Log())
    record("retrying after an error", level="warning", source="shop")
    record("streaming")
    monitor.tick(report())
    assert not (tmp_path / FILE).exists()
    # Points are ten seconds apart by the monitor's clock, and a minute by the times that they carry.
    monitor._minute = [Point(ago(1), dict(monitor._minute[0].values))]
    now[0] += 10.0
    monitor.tick(report())
    lines = [orjson.loads(line) for line in (tmp_path / FILE).read_bytes().splitlines()]
    assert [sorted(line) for line in lines] == [
        ["format", "version"],
        ["at", "mark"],
        ["names"],
        ["at", "values"],
    ]
    assert lines[1]["mark"] == "retrying after an error"
