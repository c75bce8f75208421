"""How the daemon's status changes over time: rates, trends, the last hour, recent events. One a process.

The engine's thread feeds it with every tick; any thread reads. All of it is in memory and bounded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

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
MAX_EVENTS = 500
# A slope that moves freshness by less in a minute is none.
STEADY_SHARE = 0.1
# A cursor that stands so long although changes wait is stuck: longer than the longest default flush interval,
# with a large delivery on top.
STUCK_SECONDS = 300.0
# Written every ten seconds: events are what is rare.
_NO_EVENT = "progress"


@dataclass(frozen=True, slots=True)
class Trend:
    """Where freshness is going: `per_second` is its slope, `caught_up_in_seconds` None unless it falls."""

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
    """Takes reports by `tick` and log lines by `recording`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._report: DaemonReport | None = None
        self._ticked_at = clock()
        self._sampled_at = self._pointed_at = float("-inf")
        self._pairs: dict[Pair, _Samples] = {}
        self._bytes: dict[str, deque[tuple[float, int]]] = {}
        self._points: deque[tuple[datetime, dict[str, float]]] = deque(maxlen=MAX_POINTS)
        self._events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self._event_count = 0

    def recording(self, log: Log) -> Log:
        """Return a log function that keeps what it is given as an event, and passes it on."""

        def record(event: str, *, level: str = "info", **fields: Any) -> None:
            if event != _NO_EVENT:
                self._record(event, level, fields)
            log(event, level=level, **fields)

        return record

    def tick(self, report: DaemonReport) -> None:
        """Take the newest report; of some of them keep figures."""
        now = self._clock()
        with self._lock:
            self._report, self._ticked_at = report, now
            if now - self._sampled_at >= SAMPLE_SECONDS:
                self._sampled_at = now
                self._sample(report, now)
            if now - self._pointed_at >= POINT_SECONDS:
                self._pointed_at = now
                self._points.append((datetime.now(UTC), dict(_series(report))))

    @property
    def report(self) -> DaemonReport | None:
        """The newest report; None before the first."""
        return self._report

    @property
    def age_seconds(self) -> float:
        """How long ago the engine's thread last said something, or this process began."""
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
        """Return the sinks whose cursor stands although changes wait: name, source, and for how long."""
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
            if now - samples.moved_at > STUCK_SECONDS:
                found.append((name, pair.source, now - samples.moved_at))
        return found

    def history(self, seconds: float) -> dict[str, Any]:
        """Return the points of so many seconds: times, series by name, and marks of warnings and errors."""
        since = datetime.now(UTC).timestamp() - seconds
        with self._lock:
            points = [point for point in self._points if point[0].timestamp() >= since]
            events = list(self._events)
        names = sorted({name for _, values in points for name in values})
        marks = [
            {"at": event["at"], "text": event["event"]}
            for event in events
            if event["level"] in ("warning", "error")
            and datetime.fromisoformat(event["at"]).timestamp() >= since
        ]
        return {
            "at": [at.isoformat() for at, _ in points],
            "series": {name: [values.get(name) for _, values in points] for name in names},
            "marks": marks,
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
