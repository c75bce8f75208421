from __future__ import annotations

from typing import Any

import pytest

from cdc.engine import waits
from cdc.engine.waits import Waits


def test_a_wait_is_logged_once_when_it_lasts_and_once_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[tuple[str, Any]] = []

    def report(event: str, **fields: Any) -> None:
        logged.append((event, fields["what"]))

    found = Waits()
    found.begin("a", "disk full")
    found.begin("b", "short")
    found.report(report)
    assert (logged, found.reports()) == ([], [])
    found.end("b")
    monkeypatch.setattr(waits, "LASTING_SECONDS", 0.0)
    for _ in range(3):
        found.begin("a", "disk full", "Make room.")
        found.report(report)
    assert [wait.reason for wait in found.reports()] == ["disk full"]
    found.begin("a", "another reason")
    found.report(report)
    found.end("a")
    found.end("a")
    found.report(report)
    assert logged == [("waiting", "a"), ("waiting", "a"), ("no longer waiting", "a")]
    assert found.reports() == []
