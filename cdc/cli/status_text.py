"""The status as text for people, in 80 columns: one block a source and a sink, then what is wrong.

Lines to paste (remedies) are never broken, however long.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence

from rich.text import Text

from cdc.cli.output import as_sentence
from cdc.control.catalog import errors_of
from cdc.control.status import STALE_SECONDS, OpenRequest, SourceView, Status
from cdc.control.verdict import SLOW_FLUSH_SECONDS
from cdc.engine.waits import NO_ACTION
from cdc.kit.report import counted
from cdc.readable import show_bytes, show_seconds, show_span, show_time
from cdc.spi.state import Pause
from cdc.spi.status import (
    ConfigurationReport,
    ErrorReport,
    SinkReport,
    SourceReport,
    UnfollowedReport,
    WaitReport,
)

# What a terminal shows without being widened.
COLUMNS = 80
# The longest label is `copy paused`.
LABEL_WIDTH = 14
# Longer lists are no longer read; --json has all.
MOST_TABLES = 20

_BAD_STATES = ("failed", "retrying", "refused")


def lines_of(status: Status) -> Iterator[Text]:
    """All lines, in order."""
    yield from _headline(status)
    for standby in status.standbys:
        since = f"{standby.since[:19]}Z"
        yield Text(f"standby: process {standby.pid} on {standby.host} has been waiting since {since}")
    for name, view in status.sources.items():
        yield Text("")
        yield _title("source", name, view.state)
        yield from _pause_lines(status.paused("source", name))
        yield from _source_lines(name, view)
    for name, pairs in status.sinks.items():
        for pair in pairs:
            yield Text("")
            yield _title("sink", name, pair.state)
            yield from _pause_lines(status.paused("sink", name))
            source = status.sources.get(pair.source)
            yield from _sink_lines(pair.report, source) if pair.report else _field("from", pair.source)
    for line in _request_lines(status.requests):
        yield Text("")
        yield from map(Text, textwrap.wrap(line, COLUMNS))
    for one in errors_of(status):
        yield Text("")
        yield from error_lines(one.subject, one.error)


def _headline(status: Status) -> Iterator[Text]:
    daemon = status.daemon
    age = daemon.age_seconds
    if daemon.running and daemon.report:
        yield Text.assemble(
            ("running", "bold green"), f" as process {daemon.pid} since {daemon.report.started_at[:19]}Z"
        )
    else:
        line = Text("not running", "bold yellow")
        if age is not None:
            line.append(f"; the status below is {show_seconds(age)} old", "none")
        yield line
    if daemon.died:
        yield Text(f"process {daemon.pid} was killed or crashed", "bold red")
    if daemon.running and age is not None and age > STALE_SECONDS:
        yield Text(f"no status for {show_seconds(age)}: the daemon or its disk does not respond", "bold red")
    if daemon.running and daemon.report and daemon.report.configuration:
        yield from _configuration_lines(daemon.report.configuration, is_changed=status.has_changed_file)
    if daemon.state_dir_full:
        yield Text("the disk under state_dir is full: free space on it", "bold red")


def _configuration_lines(report: ConfigurationReport, *, is_changed: bool) -> Iterator[Text]:
    """Only what an operator has to know: that another configuration is in force than the file says."""
    loaded = f"the configuration of {report.loaded_at[:19]}Z is in force"
    if report.refused is not None:
        yield Text(f"{loaded}: a later one was refused", "bold red")
        yield Text(f"  {report.refused.message}")
        yield Text(f"  {as_sentence(report.refused.remedy)}", "green")
    elif is_changed:
        yield Text(f"{loaded}: the file has changed since", "bold yellow")
        yield Text("  cdc reload --dry-run", "green")


def _title(kind: str, name: str, state: str) -> Text:
    return Text.assemble(
        (f"{kind:<7}", ""), (name, "bold"), "  ", (state, "bold red" if state in _BAD_STATES else "bold")
    )


def _pause_lines(pause: Pause | None) -> Iterator[Text]:
    if pause is not None:
        by = f" by {pause.by}" if pause.by else ""
        yield from _field("paused", f"since {show_time(pause.at)}{by}, until: cdc resume {pause.name}")


def _source_lines(name: str, source: SourceView) -> Iterator[Text]:
    log, report = source.log, source.report or SourceReport()
    position = report.position or (log.position if log else None)
    if position:
        yield from _field("position", position)
    if report.behind_bytes is not None:
        yield from _field("behind", show_bytes(report.behind_bytes))
    if log:
        span = f"offsets {log.start:,} – {log.next:,}, {show_bytes(log.bytes)}"
        yield from _field("log", f"{span} in {counted(log.segments, 'segment')}")
    if report.rows_per_second:
        yield from _field("reading", _rate(report))
    yield from _copy_lines(report)
    yield from _waits(report.waits)
    yield from _reasons(source)
    yield from _unfollowed(report.unfollowed)
    if report.outdated:
        yield from _outdated(name, report.outdated)


def _copy_lines(report: SourceReport) -> Iterator[Text]:
    progress = report.snapshot
    if progress:
        parts = [f"{progress.tables_done:,} of {counted(progress.tables, 'table')}"]
        if progress.estimated_rows:
            done = min(99, 100 * progress.rows // progress.estimated_rows)
            parts.append(f"{progress.rows:,} of about {progress.estimated_rows:,} rows ({done}%)")
        else:
            parts.append(f"{counted(progress.rows, 'row')} ({progress.percent}%)")
        is_stopped = report.state in ("stopped", "failed")
        yield from _field("copy paused" if is_stopped else "copying", ", ".join(parts))
    elif report.waiting_tables:
        yield from _field("waiting", f"{counted(report.waiting_tables, 'table')} to be copied")


def _reasons(source: SourceView) -> Iterator[Text]:
    """The tables that are copied again, each with why; a first copy needs no reason."""
    copies = [copy for copy in source.log.copies if copy.reason] if source.log else []
    for copy in copies[:MOST_TABLES]:
        target = f" for {', '.join(copy.sinks)}" if copy.sinks else ""
        yield from _field("re-copied", f"{copy.table}{target}: {copy.reason}")
    if len(copies) > MOST_TABLES:
        yield from _field("", f"and {counted(len(copies) - MOST_TABLES, 'more table')}")


def _unfollowed(tables: Sequence[UnfollowedReport]) -> Iterator[Text]:
    for one in tables[:MOST_TABLES]:
        yield from _field("unfollowed", f"{one.table}: {one.reason}")
        for line in textwrap.wrap(as_sentence(one.remedy), COLUMNS - LABEL_WIDTH):
            yield Text(f"{'':<{LABEL_WIDTH}}{line}", "green")
    if len(tables) > MOST_TABLES:
        yield from _field("", f"and {counted(len(tables) - MOST_TABLES, 'more table')}")


def _outdated(source: str, tables: Sequence[str]) -> Iterator[Text]:
    shown = ", ".join(tables[:MOST_TABLES])
    rest = len(tables) - MOST_TABLES
    more = f" and {counted(rest, 'more table')}" if rest > 0 else ""
    yield from _field(
        "transforms", f"rows of {shown}{more} were captured under earlier ones; to replace them:"
    )
    named = [] if rest > 0 else tables
    yield Text(f"{'':<{LABEL_WIDTH}}{shlex.join(['cdc', 'snapshot', source, *named])}", "green")


def _waits(waits: Sequence[WaitReport]) -> Iterator[Text]:
    for wait in waits:
        since = f", since {wait.since[:19]}Z" if wait.since else ""
        subject = f"{wait.table}: " if wait.table else ""
        yield from _field("waits", f"{subject}{wait.reason}{since}")
        if wait.remedy and wait.remedy != NO_ACTION:
            yield Text(f"{'':<{LABEL_WIDTH}}{as_sentence(wait.remedy)}", "green")


def _sink_lines(report: SinkReport, source: SourceView | None) -> Iterator[Text]:
    if source is not None and source.log_error:
        yield from _field("from", f"{report.source}, whose log cannot be read")
        return
    behind = "caught up"
    if report.behind_changes:
        late = report.behind_seconds
        behind = f"{counted(report.behind_changes, 'change')} behind"
        behind += "" if late is None else f", {show_seconds(late)}"
        interval = report.flush_interval_seconds
        behind += f", flushes every {show_span(interval)}" if interval >= SLOW_FLUSH_SECONDS else ""
    yield from _field("from", f"{report.source}, at offset {report.next:,}, {behind}")
    if report.position:
        yield from _field("position", report.position)
    if report.rows_per_second:
        yield from _field("writing", _rate(report))


def _rate(report: SourceReport | SinkReport) -> str:
    return f"{report.rows_per_second:,.0f} rows/s"


def _field(label: str, value: str) -> Iterator[Text]:
    """`label   value`, folded into 80 columns."""
    lines = textwrap.wrap(value, COLUMNS - LABEL_WIDTH) or [""]
    for number, line in enumerate(lines):
        head = f"  {label:<{LABEL_WIDTH - 2}}" if number == 0 else " " * LABEL_WIDTH
        yield Text.assemble((head, "dim"), line)


def _request_lines(requests: Sequence[OpenRequest]) -> Iterator[str]:
    """Yield one line for each request, for people."""
    for request in requests:
        tables = "all tables" if request.tables is None else ", ".join(request.tables)
        target = request.sink or "all sinks"
        yield f"request {request.request}, {request.state}: copy {tables} of {request.source} into {target}"


def _retry(seconds: float, error: ErrorReport) -> str:
    # What needs an operator is retried at one interval, everything else after waits that grow.
    if error.needs_operator:
        return f"Retried every {show_span(seconds)}."
    return f"Next attempt after {show_seconds(seconds)}."


def error_lines(subject: str, error: ErrorReport) -> Iterator[Text]:
    """Yield an error of that subject for people: kind and message, when it is retried, and its remedy."""
    head = f"{subject}: "
    message = error.message.removeprefix(head)
    lines = textwrap.wrap(f"{head}{error.kind}: {message}", COLUMNS, break_long_words=False)
    first, *rest = lines
    yield Text.assemble((first[: len(head)], "bold red"), first[len(head) :])
    yield from map(Text, rest)
    if error.retry_seconds is not None:
        yield Text(f"  {_retry(error.retry_seconds, error)}")
    if error.remedy:
        yield Text(f"  {as_sentence(error.remedy)}", "green")
