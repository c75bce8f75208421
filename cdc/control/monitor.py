"""How the daemon's status changes over time: rates, trends, the last hour, recent events. One a process.

The engine's thread feeds it with every tick; any thread reads. An hour of points is in memory, a day of
coarser ones in a file, if it has one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from cdc.control.points import (
    DAY_SECONDS,
    MAX_MARKS_A_MINUTE,
    MINUTE_SECONDS,
    DayOfPoints,
    HistoryMark,
    Point,
    joined,
)
from cdc.spi.status import DaemonReport, SinkReport

Log = Callable[..., None]
Pair = tuple[str, str]

# A trend is a minute's: shorter ones follow single flushes.
TREND_SECONDS = 60.0
SAMPLE_SECONDS = 1.0
# As rates of rows: long enough to smooth single flushes.
RATE_SECONDS = 5.0
# An hour of points, as charts draw it.
POINT_SECONDS = 10.0
MAX_POINTS = 360
HOUR_SECONDS = 3600.0
# Of a longer window: 288 points a day are more than a chart has pixels for on a phone, and fewer on a screen.
DAY_STEP_SECONDS = 300.0
MAX_EVENTS = 500
# A trend that changes freshness by less in a minute counts as steady.
STEADY_SHARE = 0.1
# A cursor that has not moved for so long, plus its flush interval, although changes wait is stuck: a large
# delivery takes less.
STUCK_SECONDS = 300.0
# Logged every ten seconds: not an event.
_NO_EVENT = "progress"
_MARKED = ("warning", "error")


@dataclass(frozen=True, slots=True)
class Trend:
    """Trend of freshness: `per_second` is its slope, `caught_up_in_seconds` None unless it falls."""

    direction: Literal["better", "steady", "worse"] | None = None
    per_second: float | None = None
    caught_up_in_seconds: int | None = None


@dataclass(slots=True)
class _Samples:
    """One pair's freshness over the last minute, and when its cursor last moved."""

    freshness: deque[tuple[float, float]] = field(default_factory=deque)
    next: int = -1
    moved_at: float = 0.0


class StatusMonitor:
    """Receives reports by `tick` and log lines by `recording`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._report: DaemonReport | None = None
        self._ticked_at = clock()
        self._sampled_at = self._pointed_at = float("-inf")
        self._pairs: dict[Pair, _Samples] = {}
        self._bytes: dict[str, deque[tuple[float, int]]] = {}
        self._points: deque[Point] = deque(maxlen=MAX_POINTS)
        # Points and marks that the file does not have yet, and marks that were in it at the start.
        self._minute: list[Point] = []
        self._marks: deque[HistoryMark] = deque(maxlen=MAX_MARKS_A_MINUTE)
        self._earlier_marks: list[HistoryMark] = []
        self._day: DayOfPoints | None = None
        self._events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self._event_count = 0

    def recording(self, log: Log) -> Log:
        """Return a log function that stores each line as an event, and passes it on."""

        def record(event: str, *, level: str = "info", **fields: Any) -> None:
            if event != _NO_EVENT:
                self._record(event, level, fields)
            log(event, level=level, **fields)

        return record

    def keep(self, day: DayOfPoints) -> None:
        """Keep a day of points in this file from now on, and show what it has of the last hour."""
        points, marks = day.read(HOUR_SECONDS, MINUTE_SECONDS)
        with self._lock:
            self._day, self._earlier_marks = day, marks
            self._points.extendleft(reversed(points[-MAX_POINTS + len(self._points) :]))

    def tick(self, report: DaemonReport) -> None:
        """Store the newest report, and the figures of some reports."""
        now = self._clock()
        due: list[Point] = []
        with self._lock:
            self._report, self._ticked_at = report, now
            if now - self._sampled_at >= SAMPLE_SECONDS:
                self._sampled_at = now
                self._sample(report, now)
            if now - self._pointed_at >= POINT_SECONDS:
                self._pointed_at = now
                point = Point(datetime.now(UTC), dict(_series(report)))
                self._points.append(point)
                self._minute.append(point)
                due, marks = self._due()
        if due and self._day is not None:
            self._day.add(joined(due), marks)

    @property
    def report(self) -> DaemonReport | None:
        """The newest report; None before the first."""
        return self._report

    @property
    def age_seconds(self) -> float:
        """Seconds since the newest report of the engine's thread, or since this process began."""
        return self._clock() - self._ticked_at

    def trend(self, sink: str, source: str, steady_seconds: float) -> Trend:
        """Return the trend of a sink's freshness; changes below `steady_seconds` a minute are none."""
        with self._lock:
            samples = self._pairs.get((sink, source))
            points = list(samples.freshness) if samples else []
        if len(points) < 2 or points[-1][0] - points[0][0] < TREND_SECONDS / 2:
            return Trend()
        (began, first), (ended, last) = points[0], points[-1]
        slope = (last - first) / (ended - began)
        if abs(slope) * TREND_SECONDS <= max(STEADY_SHARE * last, steady_seconds):
            return Trend("steady", round(slope, 3))
        left = round(last / -slope) if slope < 0 else None
        return Trend("better" if slope < 0 else "worse", round(slope, 3), left)

    def bytes_per_second(self, source: str) -> float:
        """Return the bytes a second that the source's log has grown by in the last seconds."""
        with self._lock:
            points = list(self._bytes.get(source, ()))
        if len(points) < 2 or points[-1][0] == points[0][0]:
            return 0.0
        return round((points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0]), 1)

    def stuck(self) -> list[tuple[str, str, float]]:
        """Return the sinks whose cursor does not move although changes wait: name, source, seconds."""
        report, now = self._report, self._clock()
        if report is None:
            return []
        found = []
        for name, pair in _pairs(report):
            samples = self._pairs.get((name, pair.source))
            if (
                samples is None
                or not pair.behind_changes
                or pair.state not in ("idle", "applying", "replaying")
            ):
                continue
            if now - samples.moved_at > STUCK_SECONDS + pair.flush_interval_seconds:
                found.append((name, pair.source, now - samples.moved_at))
        return found

    def history(self, seconds: float) -> dict[str, Any]:
        """Return the points of so many seconds: times, series by name, and marks of warnings and errors. More
        than an hour has a point every five minutes, from the file.
        """
        day, step = self._day, POINT_SECONDS
        with self._lock:
            points, marks = list(self._points), [*self._earlier_marks, *self._event_marks()]
        if seconds > HOUR_SECONDS and day is not None:
            points, kept = day.read(min(seconds, DAY_SECONDS), DAY_STEP_SECONDS)
            step = DAY_STEP_SECONDS
            marks = sorted({*kept, *marks}, key=lambda one: one.at)
        since = datetime.now(UTC).timestamp() - seconds
        points = [point for point in points if point.at.timestamp() >= since]
        names = sorted({name for point in points for name in point.values})
        return {
            "step_seconds": step,
            "at": [point.at.isoformat() for point in points],
            "series": {name: [point.values.get(name) for point in points] for name in names},
            "marks": [
                {"at": mark.at.isoformat(), "text": mark.text}
                for mark in marks
                if mark.at.timestamp() >= since
            ],
        }

    def events(self, limit: int, after: int = 0) -> list[dict[str, Any]]:
        """Return the newest events with a number above `after`, newest first."""
        with self._lock:
            found = [event for event in self._events if event["number"] > after]
        return found[: -limit - 1 : -1]

    def _record(self, event: str, level: str, fields: dict[str, Any]) -> None:
        kept = {key: value for key, value in fields.items() if value is not None}
        with self._lock:
            self._event_count += 1
            head = {
                "number": self._event_count,
                "at": datetime.now(UTC).isoformat(),
                "level": level,
                "event": event,
            }
            self._events.append(head | kept)
            if level in _MARKED:
                self._marks.append(_mark(self._events[-1]))

    def _due(self) -> tuple[list[Point], list[HistoryMark]]:
        """Return the points that the file lacks, once a minute. The caller holds the lock."""
        if (self._minute[-1].at - self._minute[0].at).total_seconds() < MINUTE_SECONDS - POINT_SECONDS:
            return [], []
        points, marks, self._minute = self._minute, [*self._marks], []
        self._marks.clear()
        return points, marks

    def _event_marks(self) -> list[HistoryMark]:
        return [_mark(event) for event in self._events if event["level"] in _MARKED]

    def _sample(self, report: DaemonReport, now: float) -> None:
        for name, source in report.sources.items():
            grown = self._bytes.setdefault(name, deque())
            grown.append((now, source.bytes))
            while grown[0][0] < now - RATE_SECONDS:
                grown.popleft()
        running = {(name, pair.source) for name, pair in _pairs(report)}
        self._pairs = {key: samples for key, samples in self._pairs.items() if key in running}
        for name, pair in _pairs(report):
            samples = self._pairs.setdefault((name, pair.source), _Samples())
            if samples.next != pair.next or not pair.behind_changes:
                samples.next, samples.moved_at = pair.next, now
            if pair.freshness_seconds is not None:
                samples.freshness.append((now, pair.freshness_seconds))
            while samples.freshness and samples.freshness[0][0] < now - TREND_SECONDS:
                samples.freshness.popleft()


def _mark(event: dict[str, Any]) -> HistoryMark:
    return HistoryMark(datetime.fromisoformat(event["at"]), event["event"])


def _pairs(report: DaemonReport) -> list[tuple[str, SinkReport]]:
    return [(name, pair) for name, pairs in report.sinks.items() for pair in pairs]


def _series(report: DaemonReport) -> list[tuple[str, float]]:
    found = [(f"{name}.rows_per_second", source.rows_per_second) for name, source in report.sources.items()]
    for name, pair in _pairs(report):
        found.append((f"{name}.{pair.source}.rows_per_second", pair.rows_per_second))
        found.append((f"{name}.{pair.source}.behind_changes", float(pair.behind_changes)))
        if pair.freshness_seconds is not None:
            found.append((f"{name}.{pair.source}.freshness_seconds", pair.freshness_seconds))
    return found
