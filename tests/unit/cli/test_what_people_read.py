"""Errors and findings as a person at a terminal reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from cdc.cli.check import finding_lines
from cdc.cli.display import closing_lines
from cdc.cli.once import Deadline
from cdc.cli.status_text import error_lines
from cdc.errors import SinkUnavailable
from cdc.kit.errors import RETRIED, UNREACHED
from cdc.spi import Finding, Severity
from cdc.spi.status import DaemonReport, ErrorReport, SinkReport, SourceReport

AT = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
SKIPPED = ErrorReport(
    "public.t", "UnsupportedSchema", "public.t: no key", "Add one.", AT, AT, 1, 5.0, needs_operator=True
)
UNREACHABLE = ErrorReport(None, "SinkUnavailable", "host:1/mart: refused", UNREACHED, AT, AT, 4, 4.3)


def test_closing_lines_count_the_tables_that_were_skipped() -> None:
    report = DaemonReport(
        sources={"shop": SourceReport(refused=[SKIPPED])},
        sinks={"lake": [SinkReport(source="shop", set_aside=[SKIPPED, SKIPPED])]},
    )
    _, source, sink = closing_lines(report, 1.0)
    assert source.endswith(", 1 table skipped")
    assert sink.endswith(", 2 tables skipped")


def test_a_run_that_is_over_names_the_kind_and_the_sink_of_what_it_retried() -> None:
    deadline = Deadline(0.0, lambda: None)
    report = DaemonReport(sinks={"mart": [SinkReport(source="shop", error=UNREACHABLE)]})
    deadline.after(lambda _: None)(report)
    error, _ = deadline.errors(report)
    assert isinstance(error, SinkUnavailable)
    assert error.where == "sinks.mart"
    # Nothing retries any more.
    assert error.remedy == UNREACHED.removesuffix(f" {RETRIED}")


def test_what_needs_an_operator_is_retried_at_whole_seconds() -> None:
    assert "  Retried every 5 s." in [line.plain for line in error_lines("sources.shop", SKIPPED)]
    assert "  Next attempt after 4.3 s." in [line.plain for line in error_lines("sinks.mart", UNREACHABLE)]


def test_messages_of_findings_are_folded_and_their_fixes_are_not() -> None:
    finding = Finding(Severity.WARNING, "code", "a long word " * 12 + "end", "alter system " * 12)
    lines = [line.plain for line in finding_lines([("sources.shop", finding)], 80)]
    *message, fix, _ = lines
    assert len(message) > 1
    assert all(len(line) <= 80 for line in message)
    assert " ".join(line.strip() for line in message).endswith("a long word end")
    assert fix.strip() == ("alter system " * 12).strip()
