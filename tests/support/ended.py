"""Processes that end at a point of a sink's writes: before or after an insert, a commit, a definition."""

from __future__ import annotations

from collections.abc import Callable

from cdc import failpoints
from tests.support.eventful import delivered_from, eventful_history
from tests.support.fed_sink import SOURCE, FedSink


class Ended(BaseException):
    """The process ends here."""


class Points:
    """Counts the points that are passed, and ends the process at one of them."""

    def __init__(self, ends_at: int | None = None) -> None:
        self.passed = 0
        self.ends_at = ends_at

    def __call__(self, name: str) -> None:
        if not name.startswith("target."):
            return
        self.passed += 1
        if self.passed == self.ends_at:
            raise Ended


def deliver_rest(make: Callable[[], FedSink], part_commits: int, points: Points) -> None:
    """The rest of the eventful history, by a process of its own."""
    with failpoints.watched(points):
        fed = make()
        try:
            cursor = fed.sink.committed(SOURCE)
            fed.sink.apply(delivered_from(eventful_history(), cursor.next if cursor else 0, part_commits))
        finally:
            fed.sink.close()
