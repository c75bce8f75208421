"""The live view in each state and size: what stands where, what goes first, and which lines stay whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import cdc
from cdc.cli.screen import rows_of
from cdc.cli.view import ViewContent, view_lines
from cdc.control.monitor import Trend
from cdc.control.status import DaemonView, DeliveryView, SourceView, Status, StoredLog
from cdc.control.verdict import verdict_of
from cdc.spi.status import CopyReport, DaemonReport, ErrorReport, SinkReport, SourceReport, WaitReport

NOW = datetime(2024, 11, 30, 14, 32, 8, tzinfo=UTC)
STATEMENT = "alter resource monitor DAILY_CAP set credit_quota = 40;"


def failing(**given: Any) -> ErrorReport:
    """An error that began 14 min 32 s ago, and is retried in 17 s."""
    fields: dict[str, Any] = {
        "kind": "SinkUnavailable",
        "message": "sinks.snow: Warehouse LOAD_WH can't resume: resource monitor DAILY_CAP is used up",
        "remedy": f"Raise the quota: as ACCOUNTADMIN, run: {STATEMENT}",
        "at": (NOW - timedelta(seconds=13)).isoformat(),
        "since": (NOW - timedelta(seconds=872)).isoformat(),
        "attempts": 31,
        "retry_seconds": 30.0,
    }
    return ErrorReport(**fields | given)


def pair(source: str, **given: Any) -> DeliveryView:
    fields: dict[str, Any] = {
        "source": source,
        "state": "idle",
        "freshness_seconds": 0.8,
        "behind_bytes": 336896,
    }
    return DeliveryView(
        source, SinkReport(**fields | {"behind_changes": 963, "rows_per_second": 1204.0} | given)
    )


def source(**given: Any) -> SourceView:
    fields: dict[str, Any] = {
        "state": "streaming",
        "position": "16/B374D848",
        "behind_bytes": 0,
        "rows_per_second": 1204.0,
    }
    log = StoredLog(0, 81234119, None, 19541915238, 4, [], None)
    return SourceView(SourceReport(**fields | given), log)


def status(shop: dict[str, Any] | None = None, snow: dict[str, Any] | None = None) -> Status:
    daemon = DaemonView(DaemonReport(running=True, pid=4711), running=True, age_seconds=0.2)
    sinks = {
        "snow": [pair("shop", **(snow or {}))],
        "warehouse": [pair("shop"), pair("billing", behind_changes=77)],
    }
    return Status(daemon, {"shop": source(**(shop or {})), "billing": source(rows_per_second=86.0)}, sinks)


DOWN = status(
    snow={"state": "retrying", "error": failing(), "freshness_seconds": 872.0, "behind_changes": 1048121}
)
COPYING = status(
    shop={
        "snapshot": CopyReport(
            tables=24,
            tables_done=7,
            rows=29_300_000,
            percent=44,
            rows_per_second=24600.0,
            remaining_seconds=1860,
        )
    }
)
WELL = status()


def view(found: Status, columns: int, lines: int = 50, *, utf8: bool = True) -> list[str]:
    trends = {"snow": Trend("worse", 1.0), "warehouse": Trend("steady", 0.0)}
    content = ViewContent(
        status=found,
        verdict=verdict_of(found),
        at=NOW,
        trend=lambda sink, _: trends[sink],
        history=lambda sink, _: [0.8, 290.0, 580.0, 872.0] if sink == "snow" else [1.0, 0.8],
        footer=("log 18.2 GiB of 40.0 GiB", "memory 212 of 400 MiB", "http://127.0.0.1:8765", "Ctrl-C stops"),
        up_seconds=1051200.0,
    )
    made = view_lines(content, columns, lines, utf8=utf8)
    assert sum(rows_of(line, columns) for line in made) < lines
    return [line.plain for line in made]


def text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def test_a_sink_that_is_down_in_80_columns() -> None:
    assert (
        text(view(DOWN, 80))
        == """\
▲ Sink snow is down                                                 14:32:08 UTC
  Its changes wait in the log. Nothing is lost, and the sources are not held
  up. warehouse is not affected.

  SINK       FROM     STATE            FRESHNESS  TREND          ROWS BEHIND
  snow       shop     ▲ down         14 min 32 s  ↗ 1.0 s/s        1,048,121
  warehouse  shop     ● up to date         0.8 s  → steady               963
             billing  ● up to date         0.8 s  → steady                77

  ▲ sinks.snow  SinkUnavailable, for 14 min 32 s, attempt 31, next in 17 s
    Warehouse LOAD_WH can't resume: resource monitor DAILY_CAP is used up
    Raise the quota: as ACCOUNTADMIN, run:
      alter resource monitor DAILY_CAP set credit_quota = 40;

  SOURCE   STATE          NOT READ YET    ROWS/S  LOG
  shop     ● streaming             0 B     1,204  18.2 GiB
  billing  ● streaming             0 B        86  18.2 GiB

  memory 212 of 400 MiB · http://127.0.0.1:8765 · Ctrl-C stops
"""
    )


def test_a_sink_that_is_down_in_120_columns() -> None:
    assert (
        text(view(DOWN, 120))
        == """\
▲ Sink snow is down                                                              cdcd VERSION · up 12 d 4 h · 14:32:08 UTC
  Its changes wait in the log. Nothing is lost, and the sources are not held up. warehouse is not affected.

  SINK       FROM     STATE            FRESHNESS  TREND          ROWS BEHIND      BYTES    ROWS/S  LAST 10 MIN
  snow       shop     ▲ down         14 min 32 s  ↗ 1.0 s/s        1,048,121  329.0 KiB     1,204  ▁▃▆█
  warehouse  shop     ● up to date         0.8 s  → steady               963  329.0 KiB     1,204  ▁▁
             billing  ● up to date         0.8 s  → steady                77  329.0 KiB     1,204  ▁▁

  ▲ sinks.snow  SinkUnavailable, for 14 min 32 s, attempt 31, next in 17 s
    Warehouse LOAD_WH can't resume: resource monitor DAILY_CAP is used up
    Raise the quota: as ACCOUNTADMIN, run:
      alter resource monitor DAILY_CAP set credit_quota = 40;

  SOURCE   STATE          POSITION                  NOT READ YET    ROWS/S  LOG
  shop     ● streaming    16/B374D848                        0 B     1,204  18.2 GiB, 81,234,119 changes
  billing  ● streaming    16/B374D848                        0 B        86  18.2 GiB, 81,234,119 changes

  log 18.2 GiB of 40.0 GiB · memory 212 of 400 MiB · http://127.0.0.1:8765 · Ctrl-C stops
""".replace("VERSION", cdc.__version__)  # noqa: E501
    )


def test_a_sink_that_is_down_in_60_columns() -> None:
    assert (
        text(view(DOWN, 60))
        == """\
▲ Sink snow is down                             14:32:08 UTC
  Its changes wait in the log. Nothing is lost, and the
  sources are not held up. warehouse is not affected.

  SINK            STATE            FRESHNESS     ROWS BEHIND
  snow/shop       ▲ down         14 min 32 s  ↗    1,048,121
  warehouse/shop  ● up to date         0.8 s  →          963
  warehouse/bil…  ● up to date         0.8 s  →           77

  ▲ sinks.snow  SinkUnavailable, next in 17 s
    Warehouse LOAD_WH can't resume: resource monitor
    DAILY_CAP is used up
    Raise the quota: as ACCOUNTADMIN, run:
alter resource monitor DAILY_CAP set credit_quota = 40;

  SOURCE   STATE          NOT READ YET    ROWS/S  LOG
  shop     ● streaming             0 B     1,204  18.2 GiB
  billing  ● streaming             0 B        86  18.2 GiB

  http://127.0.0.1:8765 · Ctrl-C stops
"""
    )


def test_a_copy_in_80_columns() -> None:
    assert (
        text(view(COPYING, 80))
        == """\
◐ Copying shop: 44 %                                                14:32:08 UTC
  7 of 24 tables done, about 31 min left. Changes made meanwhile are kept, and
  follow the copy of their table.

  COPY  TABLES                             ROWS  ROWS/S  REMAINING
  shop  7 of 24  ━━━━━───────  44 %  29,300,000  24,600     31 min

  SINK       FROM     STATE            FRESHNESS  TREND          ROWS BEHIND
  snow       shop     ◐ copying            0.8 s  ↗ 1.0 s/s              963
  warehouse  shop     ◐ copying            0.8 s  → steady               963
             billing  ● up to date         0.8 s  → steady                77

  SOURCE   STATE          NOT READ YET    ROWS/S  LOG
  shop     ◐ copying               0 B     1,204  18.2 GiB
  billing  ● streaming             0 B        86  18.2 GiB

  memory 212 of 400 MiB · http://127.0.0.1:8765 · Ctrl-C stops
"""
    )


@pytest.mark.parametrize("columns", range(20, 200, 7))
@pytest.mark.parametrize("lines", [4, 9, 10, 16, 24, 50])
@pytest.mark.parametrize("found", [DOWN, COPYING, WELL], ids=["down", "copying", "well"])
def test_every_size_holds_the_verdict_and_no_line_but_a_statement_is_wider(
    found: Status, columns: int, lines: int
) -> None:
    made = view(found, columns, lines)
    assert made[0].startswith({id(DOWN): "▲ ", id(COPYING): "◐ ", id(WELL): "● "}[id(found)])
    assert [line for line in made[1:] if len(line) > columns and line != STATEMENT] == []


@pytest.mark.parametrize("columns", [40, 50, 60, 80, 120])
def test_a_statement_is_a_line_of_its_own_and_whole(columns: int) -> None:
    assert STATEMENT in [line.strip() for line in view(DOWN, columns)]


def test_what_needs_somebody_outlasts_sources_and_sinks() -> None:
    made = text(view(DOWN, 80, 12))
    assert "sinks.snow" in made
    assert STATEMENT in made
    assert "SOURCE" not in made


def test_many_problems_are_counted() -> None:
    tables = [failing(table=f"public.t{number}", kind="UnsupportedSchema") for number in range(30)]
    made = view(status(shop={"refused": tables}), 80, 200)
    assert "  and 25 more: cdc status" in made


def test_a_wait_shows_its_reason_and_remedy() -> None:
    wait = WaitReport(what="copy", reason="a transaction is open", remedy="On the server, run: select 1;")
    made = view(status(shop={"waits": [wait]}), 80)
    at = made.index("  ○ sources.shop  waits")
    assert made[at + 1 : at + 4] == [
        "    a transaction is open",
        "    On the server, run:",
        "      select 1;",
    ]


def test_without_utf8_every_mark_has_another_form() -> None:
    made = text(view(DOWN, 120, utf8=False)) + text(view(COPYING, 120, utf8=False))
    assert made.isascii()
    assert "! Sink snow is down" in made
    assert "% copying" in made
