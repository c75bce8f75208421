"""The sentence about the whole daemon: the worst thing wins, and what is not affected is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdc.control.status import DaemonView, DeliveryView, SourceView, Status
from cdc.control.verdict import DaemonVerdict, delivery_word, source_word, verdict_of
from cdc.spi import Pause
from cdc.spi.status import CopyReport, DaemonReport, ErrorReport, SinkReport, SourceReport

NOW = datetime.now(UTC)
# Younger than a minute, however long after its collection the test runs.
JUST_NOW = -3600.0
STREAMING = SourceReport(state="streaming")


def failing(
    kind: str = "SinkUnavailable", seconds: float = JUST_NOW, *, needs_operator: bool = False
) -> ErrorReport:
    since = (NOW - timedelta(seconds=seconds)).isoformat()
    return ErrorReport(
        kind=kind, message="no route", since=since, retry_seconds=5.0, needs_operator=needs_operator
    )


def judged(
    source: dict[str, Any] | None = None,
    sink: dict[str, Any] | None = None,
    *,
    pauses: list[Pause] | None = None,
    daemon: dict[str, Any] | None = None,
) -> DaemonVerdict:
    """The verdict on a source with two sinks, of which `snow` is as given."""
    calm = {"source": "shop", "state": "idle", "freshness_seconds": 2.0}
    report = DaemonReport(running=True, pid=1)
    view = DaemonView(report, **{"running": True, "age_seconds": 0.1, **(daemon or {})})
    sinks = {
        name: [DeliveryView("shop", SinkReport(**{**calm, **changes}))]
        for name, changes in (("lake", {}), ("snow", sink or {}))
    }
    found = SourceView(SourceReport(**{"state": "streaming", **(source or {})}))
    return verdict_of(Status(view, {"shop": found}, sinks, pauses=pauses or []))


def test_all_is_well_names_the_least_fresh() -> None:
    found = judged(sink={"freshness_seconds": 21.4})
    assert (found.level, found.mark, found.is_ready) == ("ok", "ok", True)
    assert found.text == "2 sinks follow 1 source. The least fresh, snow, is 21 s behind."


def test_a_slow_flush_explains_the_least_fresh() -> None:
    found = judged(sink={"freshness_seconds": 21.4, "flush_interval_seconds": 30.0})
    allowed = "snow, is 21 s behind, as its flush interval of 30 s allows."
    assert (found.level, found.text.endswith(allowed)) == ("ok", True)


def test_a_sink_that_has_not_reported_keeps_all_from_being_well() -> None:
    daemon = DaemonView(DaemonReport(running=True, pid=1), running=True, age_seconds=0.1)
    sources = {"shop": SourceView(SourceReport(state="streaming"))}
    found = verdict_of(Status(daemon, sources, {"lake": [DeliveryView("shop", None)]}))
    assert (found.title, found.is_ready) == ("Starting", False)


CASES: dict[str, tuple[dict[str, Any], str, str, str, bool]] = {
    "retried": (
        {"sink": {"state": "retrying", "error": failing()}},
        "warn",
        "warn",
        "Sink snow is retried",
        True,
    ),
    "source retried": (
        {"source": {"state": "retrying", "error": failing()}},
        "warn",
        "warn",
        "Source shop is retried",
        True,
    ),
    "down": (
        {"sink": {"state": "retrying", "error": failing(seconds=99)}},
        "bad",
        "warn",
        "Sink snow is down",
        False,
    ),
    "source": (
        {"source": {"state": "retrying", "error": failing("SourceUnavailable", 99)}},
        "bad",
        "warn",
        "Source shop cannot be reached",
        False,
    ),
    "operator": (
        {"sink": {"state": "failed", "error": failing(needs_operator=True)}},
        "bad",
        "bad",
        "Sink snow needs you",
        False,
    ),
    "skipped": (
        {"source": {"refused": [ErrorReport(table="public.t", message="no key")]}},
        "bad",
        "bad",
        "1 table is skipped",
        False,
    ),
    "copying": (
        {"source": {"snapshot": CopyReport(tables=3, tables_done=1, percent=41)}},
        "busy",
        "copy",
        "Copying shop: 41 %",
        True,
    ),
    "replaying": (
        {"sink": {"state": "replaying", "next": 40, "replay_from": 0, "replay_to": 100}},
        "busy",
        "replay",
        "Replaying snow: 40 %",
        True,
    ),
    "nearly replayed": (
        {"sink": {"state": "replaying", "next": 9_999, "replay_from": 0, "replay_to": 10_000}},
        "busy",
        "replay",
        "Replaying snow: 99 %",
        True,
    ),
    "catching up": ({"sink": {"freshness_seconds": 900.0}}, "busy", "ok", "Sink snow is catching up", True),
    "paused": ({"pauses": [Pause("sink", "snow", NOW, "ops")]}, "off", "pause", "Sink snow is paused", True),
    "hangs": ({"daemon": {"age_seconds": 60.0}}, "warn", "bad", "The daemon does not respond", False),
    "died": ({"daemon": {"running": False, "died": True}}, "bad", "bad", "The daemon has died", False),
    "stopped": ({"daemon": {"running": False}}, "off", "off", "Stopped", False),
}


@pytest.mark.parametrize("name", CASES)
def test_each_state_has_its_sentence(name: str) -> None:
    arguments, level, mark, title, is_ready = CASES[name]
    found = judged(**arguments)
    assert (found.level, found.mark, found.title, found.is_ready) == (level, mark, title, is_ready)
    assert found.text == found.text.strip()


def test_what_is_not_affected_is_named() -> None:
    assert judged(sink={"state": "retrying", "error": failing(seconds=99)}).text == (
        "Its changes wait in the log. Nothing is lost, and the sources are not held up. lake is not affected."
    )


def test_a_paused_sink_with_an_error_is_paused() -> None:
    paused = [Pause("sink", "snow", NOW, "ops")]
    found = judged(sink={"state": "paused", "error": failing(seconds=99)}, pauses=paused)
    assert found.title == "Sink snow is paused"


def test_a_sink_whose_source_is_away_waits() -> None:
    sink = SinkReport(source="shop", state="idle", freshness_seconds=500.0)
    for state in ("connecting", "retrying", "failed", "paused", "stopped"):
        assert delivery_word(sink, SourceReport(state=state)) == "Waits"
    assert delivery_word(sink, None) == "Waits"
    assert delivery_word(sink, SourceReport(state="streaming")) == "Catching up"
    assert delivery_word(None, SourceReport(state="streaming")) == "Never run"


def test_a_fresh_sink_with_changes_to_apply_is_not_up_to_date_while_its_source_is_away() -> None:
    sink = SinkReport(source="shop", state="applying", freshness_seconds=1.5, behind_changes=1)
    assert delivery_word(sink, SourceReport(state="retrying")) == "Catching up"
    assert delivery_word(sink, SourceReport(state="streaming")) == "Up to date"


def test_a_sink_is_not_up_to_date_while_tables_of_its_source_are_copied() -> None:
    sink = SinkReport(source="shop", state="idle", freshness_seconds=1.5)
    assert delivery_word(sink, SourceReport(state="streaming", waiting_tables=1)) == "Copying"


def test_a_sink_is_up_to_date_while_its_changes_wait_for_a_flush() -> None:
    streaming = SourceReport(state="streaming")
    sink = SinkReport(source="shop", state="idle", freshness_seconds=500.0, flush_interval_seconds=600.0)
    assert delivery_word(sink, streaming) == "Up to date"
    sink.flush_interval_seconds = 30.0
    assert delivery_word(sink, streaming) == "Catching up"


def test_a_sink_that_waits_with_its_first_rows_does_not_keep_the_daemon_from_being_ready() -> None:
    unflushed: dict[str, Any] = {
        "freshness_seconds": None,
        "behind_changes": 17,
        "flush_interval_seconds": 600.0,
    }
    found = judged(sink=unflushed)
    assert (found.title, found.is_ready) == ("Sink snow waits for its first flush", True)
    assert found.text == "It has 17 changes of shop, and flushes every 10 min. lake is not affected."
    assert delivery_word(SinkReport(source="shop", state="idle", **unflushed), STREAMING) == "Waits"
    found = judged(sink={**unflushed, "state": "applying"})
    assert (found.title, found.is_ready) == ("Sink snow is catching up", True)
    assert found.text == "It is 17 changes behind shop. lake is not affected."
    found = judged(sink={"freshness_seconds": None})
    assert (found.title, found.is_ready) == ("Starting", False)


def test_an_attempt_after_an_error_is_no_new_state() -> None:
    assert source_word(SourceReport(state="connecting", error=failing())) == "Retrying"
    assert source_word(SourceReport(state="connecting", error=failing(seconds=99))) == "Down"
    assert source_word(SourceReport(state="connecting")) == "Connecting"
    refused = ErrorReport(table="public.t", message="no key", needs_operator=True)
    assert source_word(SourceReport(state="connecting", error=refused, refused=[refused])) == "Connecting"


def test_a_sink_that_cannot_start_before_its_source_waits() -> None:
    sink = SinkReport(source="shop", state="starting")
    assert delivery_word(sink, SourceReport(state="failed")) == "Waits"
    assert delivery_word(sink, SourceReport(state="connecting")) == "Connecting"


def test_all_is_not_well_before_the_source_streams() -> None:
    found = judged(source={"state": "connecting"})
    assert (found.title, found.is_ready) == ("Connecting to shop", False)
