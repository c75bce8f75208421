from __future__ import annotations

from typing import Any

from cdc.engine.pacing import Pacing
from cdc.engine.waits import Waits


def test_a_wait_is_logged_once_when_it_lasts_and_once_when_it_ends() -> None:
    logged: list[tuple[str, Any]] = []

    def report(event: str, **fields: Any) -> None:
        logged.append((event, fields["what"]))

    now = [0.0]
    found = Waits(Pacing(lasting_seconds=3.0), clock=lambda: now[0])
    found.begin("a", "disk full")
    found.begin("b", "short")
    now[0] = 2.9
    found.report(report)
    assert (logged, found.reports()) == ([], [])
    found.end("b")
    now[0] = 3.0
    for _ in range(3):
        found.begin("a", "disk full", "Make room.")
        found.report(report)
    assert [wait.reason for wait in found.reports()] == ["disk full"]
    found.begin("a", "another reason")
    now[0] = 6.0
    found.report(report)
    found.end("a")
    found.end("a")
    found.report(report)
    assert logged == [("waiting", "a"), ("waiting", "a"), ("no longer waiting", "a")]
    assert found.reports() == []
