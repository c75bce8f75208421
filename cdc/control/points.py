"""A day of the figures that charts show, in one file under `state_dir` that survives a restart.

The file is lines of JSON: a header with format and version; `names`, the series of the values in later lines;
a point a minute with its values; and a mark for each warning or error. It is never synced: a crash of the
machine costs a few minutes of a chart. No damage to it stops the daemon.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import orjson

FILE = "history.jsonl"
DAMAGED_FILE = "history.damaged"
VERSION = 1
DAY_SECONDS = 86_400.0
# Finer than a chart of a day can show, and 1,440 lines a day.
MINUTE_SECONDS = 60.0
# A day of 300 series is 3 MiB. Beyond this the oldest points go early: no configuration fills the disk.
MAX_BYTES = 8 * 1024**2
# A source that fails all the time would fill the file with marks of it.
MAX_MARKS_A_MINUTE = 10
_HEADER = {"format": "cdc history", "version": VERSION}
# Within a longer span, a rate is the mean of its points; of everything else the worst counts.
_MEAN = ".rows_per_second"

ItemT = TypeVar("ItemT")
Values = Mapping[str, float]
Log = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Point:
    """The values of all series at one time."""

    at: datetime
    values: Values


@dataclass(frozen=True, slots=True)
class HistoryMark:
    """A warning or an error, as charts mark it: when, and the words of the event."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class _Record:
    """A line of the file with its time: a mark, or the values of these names."""

    line: bytes
    at: float
    names: list[str]
    values: list[float | None]
    mark: str | None = None

    def point(self) -> Point:
        pairs = zip(self.names, self.values, strict=True)
        values = {name: value for name, value in pairs if value is not None}
        return Point(datetime.fromtimestamp(self.at, UTC), values)


class _Damaged(Exception):
    """The file is not in our format, or damaged; the text says why."""


def joined(points: Sequence[Point]) -> Point:
    """Return one point for several, at the time of the last: the mean of rates, the maximum of lags."""
    found: dict[str, list[float]] = {}
    for point in points:
        for name, value in point.values.items():
            found.setdefault(name, []).append(value)
    values = {
        name: round(sum(many) / len(many) if name.endswith(_MEAN) else max(many), 3)
        for name, many in found.items()
    }
    return Point(points[-1].at, values)


def thinned(points: Iterable[Point], step_seconds: float) -> Iterator[Point]:
    """Join the points of one step; few of them are in memory at once."""
    for _, many in groupby(points, lambda one: one.at.timestamp() // step_seconds):
        yield joined([*many])


class DayOfPoints:
    """The file. One thread writes, any thread reads."""

    def __init__(self, state_dir: Path, log: Log, max_bytes: int = MAX_BYTES) -> None:
        self._file = state_dir / FILE
        self._damaged_file = state_dir / DAMAGED_FILE
        self._log = log
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        # Of the file: the bytes that are ours, the names in force; None until it is known to be ours.
        self._size: int | None = None
        self._names: list[str] = []
        self._is_failing = False

    def read(self, seconds: float, step_seconds: float) -> tuple[list[Point], list[HistoryMark]]:
        """Return the points of the last so many seconds, those of one step joined, and the marks, both oldest
        first; none if there is no file. A damaged file is logged and put aside.
        """
        since = datetime.now(UTC).timestamp() - seconds
        marks: list[HistoryMark] = []

        def points() -> Iterator[Point]:
            for record in self._all_records():
                if record.at < since:
                    continue
                if record.mark is None:
                    yield record.point()
                else:
                    marks.append(HistoryMark(datetime.fromtimestamp(record.at, UTC), record.mark))

        with self._lock:
            try:
                found = sorted(self._unless_damaged(thinned(points(), step_seconds)), key=lambda one: one.at)
            except OSError as error:
                self._failed("reading", error)
                found = []
        return found, sorted(marks, key=lambda one: one.at) if found else []

    def add(self, point: Point, marks: Sequence[HistoryMark]) -> None:
        """Append a point and the marks before it. An error is logged once, until a write succeeds."""
        with self._lock:
            try:
                self._append(point, marks)
            except OSError as error:
                self._size = None
                self._failed("writing", error)
            else:
                self._is_failing = False

    def _append(self, point: Point, marks: Sequence[HistoryMark]) -> None:
        if self._size is None or self._size > self._max_bytes:
            self._rewrite()
        assert self._size is not None
        names = self._names
        lines = [_line({"at": _stamp(mark.at), "mark": mark.text}) for mark in marks]
        if any(name not in names for name in point.values):
            names = sorted(point.values)
            lines.append(_line({"names": names}))
        lines.append(_line({"at": _stamp(point.at), "values": [point.values.get(name) for name in names]}))
        with self._file.open("r+b") as file:
            # After a write that found no room, half of a line.
            file.truncate(self._size)
            file.seek(self._size)
            file.write(b"".join(lines))
        self._size += sum(map(len, lines))
        self._names = names

    def _rewrite(self) -> None:
        """Replace the file by the newest of a day, at most half of what it may hold."""
        since = datetime.now(UTC).timestamp() - DAY_SECONDS
        kept: deque[_Record] = deque()
        held = 0
        for record in self._unless_damaged(self._all_records()):
            if record.at >= since:
                kept.append(record)
                held += len(record.line)
            while held > self._max_bytes // 2:
                held -= len(kept.popleft().line)
        lines, names = [_line(_HEADER)], list[str]()
        for record in kept:
            if record.mark is None and record.names is not names:
                names = record.names
                lines.append(_line({"names": names}))
            lines.append(record.line)
        made = self._file.with_suffix(".new")
        made.write_bytes(b"".join(lines))
        made.replace(self._file)
        self._size, self._names = sum(map(len, lines)), names

    def _unless_damaged(self, items: Iterable[ItemT]) -> list[ItemT]:
        """Return all of what is read from the file; nothing if there is none, or a damaged one, which is put
        aside.
        """
        try:
            return [*items]
        except FileNotFoundError:
            return []
        except _Damaged as error:
            self._put_aside(error)
            return []

    def _all_records(self) -> Iterator[_Record]:
        yield from _records(self._bytes())

    def _bytes(self) -> bytes:
        size = self._file.stat().st_size
        if size > 2 * self._max_bytes:
            raise _Damaged(f"it has {size:,} bytes, more than it is ever given")
        return self._file.read_bytes()

    def _put_aside(self, error: _Damaged) -> None:
        self._size = None
        self._file.replace(self._damaged_file)
        self._log(
            "chart history is damaged: put aside, and a new one begun",
            level="warning",
            file=str(self._file),
            reason=str(error),
            remedy=f"Nothing needs to be done. {self._damaged_file} can be deleted.",
        )

    def _failed(self, operation: str, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._log(
                "charts of the last day are not kept",
                level="warning",
                file=str(self._file),
                reason=f"{operation}: {os.strerror(error.errno) if error.errno else type(error).__name__}",
                remedy=f"Let the account of the daemon write {self._file}, on a disk with room.",
            )


def _stamp(at: datetime) -> float:
    return round(at.timestamp(), 3)


def _line(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _records(data: bytes) -> Iterator[_Record]:
    """Yield what all whole lines hold; the last line is half written after a crash."""
    names: list[str] = []
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(keepends=True)):
        document = _document(line, number + 1)
        if number == 0:
            if document != _HEADER:
                raise _Damaged(f"the first line is not the header of version {VERSION}")
        elif "names" in document:
            names = document["names"]
        else:
            yield _record(line, document, names, number + 1)


def _record(line: bytes, document: Mapping[str, Any], names: list[str], number: int) -> _Record:
    try:
        at, mark = float(document["at"]), document.get("mark")
        values = (
            [] if mark is not None else [None if one is None else float(one) for one in document["values"]]
        )
        datetime.fromtimestamp(at, UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise _Damaged(f"line {number} is neither a point nor a mark") from error
    if mark is None and len(values) != len(names):
        raise _Damaged(f"line {number} has {len(values)} values for {len(names)} names")
    return _Record(line, at, names, values, None if mark is None else str(mark))


def _document(line: bytes, number: int) -> dict[str, Any]:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = None
    is_known = isinstance(document, dict)
    if is_known and "names" in document:
        names = document["names"]
        is_known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_known:
        raise _Damaged(f"line {number} is none of this format")
    found: dict[str, Any] = document
    return found
