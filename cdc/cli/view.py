"""The live view as lines of text: the verdict, how far behind each sink is, what to do, then the sources.

What is said by colour is said in words too. Statements to paste are never cut: a line that is wider than the
terminal is left to the terminal to wrap.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.cells import cell_len
from rich.text import Text

import cdc
from cdc.cli.output import as_sentence
from cdc.cli.screen import rows_of
from cdc.control.catalog import PresentError, errors_of
from cdc.control.monitor import Trend
from cdc.control.status import SourceView, Status
from cdc.control.verdict import FRESH_SECONDS, DaemonVerdict, delivery_word, source_word
from cdc.engine.waits import NO_ACTION
from cdc.kit.report import counted
from cdc.readable import show_bytes, show_count, show_seconds, show_span
from cdc.spi.status import CopyReport, ErrorReport, SinkReport, WaitReport

# From so many columns on all columns are shown; below the second, a sink is one short line.
WIDE_COLUMNS = 120
NARROW_COLUMNS = 80
# Below one of these, only the verdict and the first thing to do have room.
SMALLEST_COLUMNS, SMALLEST_LINES = 40, 10
BAR_CELLS = 24
# More errors are a list to read with `cdc status`.
MOST_PROBLEMS = 5
# What a name takes of a table before it is shortened: in a table that is wide, and one that is not.
WIDE_NAME_CELLS, NAME_CELLS = 12, 10
# What a short line has beside the name.
NARROW_LINE_CELLS = 46
SPARK_CELLS = 12
_SPARKS = "▁▂▃▄▅▆▇█"

_MARKS = {"ok": "●", "copy": "◐", "replay": "↺", "warn": "▲", "bad": "■", "pause": "‖", "off": "○"}
_STYLES = {
    "ok": "green",
    "copy": "blue",
    "replay": "blue",
    "warn": "yellow",
    "bad": "red",
    "pause": "",
    "off": "",
}
_OF_WORD = {
    "Up to date": "ok",
    "Streaming": "ok",
    "Catching up": "ok",
    "Copying": "copy",
    "Replaying": "replay",
    "Retrying": "warn",
    "Down": "warn",
    "Needs you": "bad",
    "Paused": "pause",
}
_ARROWS = {"better": "↘", "steady": "→", "worse": "↗", None: " "}
# Where the locale has no UTF-8.
_ASCII = str.maketrans(
    {**dict(zip("●◐↺▲■‖○↗→↘·━─–…", "*%<!x=-^>v|#.-~", strict=True)), **dict.fromkeys(_SPARKS, " ")}
)
# `… run: COMMAND`, the form that remedies have.
_COMMAND = re.compile(r"(?P<head>.*\b[Rr]un(?: [^:;]*)?:) (?P<command>\S.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ViewContent:
    """All that one look at the daemon shows.

    `trend` and `history` are asked by sink and source; `history` has the freshness of the last ten minutes in
    seconds. `up_seconds` is None unless the daemon runs.
    """

    status: Status
    verdict: DaemonVerdict
    at: datetime
    trend: Callable[[str, str], Trend]
    history: Callable[[str, str], Sequence[float]]
    footer: Sequence[str] = ()
    up_seconds: float | None = None


@dataclass(slots=True)
class _Table:
    """Rows of cells; columns in `right` are aligned there. `least` are widths that keep figures in place."""

    head: Sequence[str]
    right: frozenset[int]
    least: Sequence[int]
    rows: list[list[Text]] = field(default_factory=list)

    def lines(self, columns: int) -> list[Text]:
        """No line is wider than the terminal."""
        found = []
        heads = [Text(name, "dim") for name in self.head]
        widths = [
            max(least, *(cell_len(row[index].plain) for row in (heads, *self.rows)))
            for index, least in enumerate(self.least)
        ]
        for row in (heads, *self.rows) if self.rows else ():
            line = Text("  ")
            for index, cell in enumerate(row):
                room = " " * (widths[index] - cell_len(cell.plain))
                line.append_text(Text(room) + cell if index in self.right else cell + Text(room))
                line.append("  ")
            line.rstrip()
            line.truncate(columns, overflow="ellipsis")
            found.append(line)
        return found


def view_lines(content: ViewContent, columns: int, lines: int, *, utf8: bool = True) -> list[Text]:
    """Return the view for a terminal of this size, in at most `lines` less one rows of it.

    What is less urgent is left out first: sources before copies before sinks before what needs somebody.
    """
    if columns < SMALLEST_COLUMNS or lines < SMALLEST_LINES:
        shown = _least(content, columns, lines)
        return shown if utf8 else [_in_ascii(line) for line in shown]
    head, problems = [*_head(content, columns)], _problems(content, columns)
    footer = _footer(content, columns)
    room = lines - 1 - sum(rows_of(line, columns) for line in (*head, *footer)) - 1
    parts = []
    for part in (problems, _sinks(content, columns), _copies(content, columns), _sources(content, columns)):
        parts.append(_fitting([Text(""), *part] if part else [], room, columns))
        room -= sum(rows_of(line, columns) for line in parts[-1])
    problems, sinks, copies, sources = parts
    shown = [*head, *copies, *sinks, *problems, *sources, Text(""), *footer]
    return shown if utf8 else [_in_ascii(line) for line in shown]


def _fitting(lines: Sequence[Text], room: int, columns: int) -> list[Text]:
    """As many of the lines as have room, the last of them replaced by the number of those that have not."""
    if sum(rows_of(line, columns) for line in lines) <= room:
        return [*lines]
    kept: list[Text] = []
    used = 1
    for line in lines:
        used += rows_of(line, columns)
        if used > room:
            break
        kept.append(line)
    if len(kept) < 2:
        return []
    note = Text(f"  {counted(len(lines) - len(kept), 'line')} more: cdc status", "dim")
    note.truncate(columns, overflow="ellipsis")
    return [*kept, note]


def _least(content: ViewContent, columns: int, lines: int) -> list[Text]:
    """The verdict, and the first statement to run if it has room."""
    title = next(_head(content, columns))
    title.truncate(columns, overflow="ellipsis")
    remedies = [one.error.remedy for one in _errors_first(content.status)]
    commands = (found["command"] for remedy in remedies if (found := _COMMAND.fullmatch(remedy)))
    statement = Text(next(commands, ""), "cyan")
    has_room = statement.plain and rows_of(statement, columns) + 1 < lines
    return [title, statement] if has_room else [title]


def _in_ascii(line: Text) -> Text:
    plain = line.copy()
    plain.plain = line.plain.translate(_ASCII)
    return plain


def _head(content: ViewContent, columns: int) -> Iterator[Text]:
    verdict = content.verdict
    right = f"{content.at:%H:%M:%S} UTC"
    if columns >= WIDE_COLUMNS:
        up = "" if content.up_seconds is None else f"up {show_span(content.up_seconds)} · "
        right = f"cdcd {cdc.__version__} · {up}{right}"
    left = f"{_MARKS[verdict.mark]} {verdict.title}"
    line = Text.assemble((left[:1], _STYLES[verdict.mark]), (left[1:], "bold"))
    room = columns - cell_len(left) - cell_len(right)
    if room >= 2:
        line.append(" " * room + right, "dim")
    yield line
    for text in textwrap.wrap(verdict.text, columns - 3):
        yield Text(f"  {text}")


def _copies(content: ViewContent, columns: int) -> list[Text]:
    head = ["COPY", "TABLES", "", "", "ROWS", "ROWS/S", "REMAINING"]
    table = _Table(head, frozenset({3, 4, 5, 6}), (0,) * len(head))
    for name, view in content.status.sources.items():
        copy = view.report.snapshot if view.report else None
        if copy is not None:
            table.rows.append(_copy_row(name, copy, BAR_CELLS if columns >= WIDE_COLUMNS else BAR_CELLS // 2))
    return table.lines(columns)


def _copy_row(name: str, copy: CopyReport, bar: int) -> list[Text]:
    done = round(bar * copy.percent / 100)
    return [
        Text(_short(name)),
        Text(f"{copy.tables_done:,} of {copy.tables:,}"),
        Text.assemble(("━" * done, "blue"), ("─" * (bar - done), "dim")),
        Text(f"{copy.percent} %"),
        Text(show_count(copy.rows)),
        Text(f"{copy.rows_per_second:,.0f}"),
        Text(show_span(copy.remaining_seconds)),
    ]


def _sinks(content: ViewContent, columns: int) -> list[Text]:
    wide, narrow = columns >= WIDE_COLUMNS, columns < NARROW_COLUMNS
    table = _sink_table(wide=wide, narrow=narrow)
    cells = WIDE_NAME_CELLS if wide else NAME_CELLS
    for name, pairs in content.status.sinks.items():
        for number, pair in enumerate(pairs):
            view = content.status.sources.get(pair.source)
            report = pair.report or SinkReport(source=pair.source)
            if narrow:
                row = [Text(_short(f"{name}/{pair.source}", max(columns - NARROW_LINE_CELLS, NAME_CELLS)))]
            else:
                row = [Text(_short(name, cells) if number == 0 else ""), Text(_short(pair.source, cells))]
            row += [
                _state(delivery_word(pair.report, view.report if view else None)),
                Text(_freshness(report)),
                Text(_trend(content.trend(name, pair.source), narrow=narrow)),
                Text(show_count(report.behind_changes)),
            ]
            if wide:
                row += [Text(show_bytes(report.behind_bytes)), Text(f"{report.rows_per_second:,.0f}")]
                row += [Text(_spark(content.history(name, pair.source)))]
            table.rows.append(row)
    return table.lines(columns)


def _sink_table(*, wide: bool, narrow: bool) -> _Table:
    if narrow:
        return _Table(["SINK", "STATE", "FRESHNESS", "", "ROWS BEHIND"], frozenset({2, 4}), (0, 13, 11, 1, 0))
    head = ["SINK", "FROM", "STATE", "FRESHNESS", "TREND", "ROWS BEHIND"]
    if not wide:
        return _Table(head, frozenset({3, 5}), (0, 0, 13, 11, 13, 11))
    head += ["BYTES", "ROWS/S", "LAST 10 MIN"]
    return _Table(head, frozenset({3, 5, 6, 7}), (0, 0, 13, 11, 13, 11, 9, 8, SPARK_CELLS))


def _sources(content: ViewContent, columns: int) -> list[Text]:
    wide = columns >= WIDE_COLUMNS
    position = ["POSITION"] if wide else []
    head = ["SOURCE", "STATE", *position, "NOT READ YET", "ROWS/S", "LOG"]
    least = (0, 13, *([24] if wide else []), 12, 8, 0)
    table = _Table(head, frozenset({len(head) - 3, len(head) - 2}), least)
    for name, view in content.status.sources.items():
        report = view.report
        row = [Text(_short(name, WIDE_NAME_CELLS if wide else NAME_CELLS)), _state(source_word(report))]
        row += [Text(_short((report and report.position) or "–", 30))] if wide else []
        row += [Text(show_bytes(None if report is None else report.behind_bytes))]
        row += [Text(f"{report.rows_per_second:,.0f}" if report else "–"), Text(_log(view, wide=wide))]
        table.rows.append(row)
    return table.lines(columns)


def _log(view: SourceView, *, wide: bool) -> str:
    if view.log is None:
        return "–"
    return show_bytes(view.log.bytes) + (f", {counted(view.log.next, 'change')}" if wide else "")


def _state(word: str) -> Text:
    mark = _OF_WORD.get(word, "off")
    return Text(f"{_MARKS[mark]} {word.lower()}", _STYLES[mark])


def _freshness(report: SinkReport) -> str:
    seconds = report.freshness_seconds
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds < 10 else show_span(seconds)


def _trend(trend: Trend, *, narrow: bool) -> str:
    arrow = _ARROWS[trend.direction]
    if narrow or trend.direction is None:
        return arrow
    if trend.direction == "better" and trend.caught_up_in_seconds is not None:
        return f"{arrow} {show_seconds(trend.caught_up_in_seconds)} left"
    if trend.direction == "worse" and trend.per_second is not None:
        return f"{arrow} {trend.per_second:.1f} s/s"
    return f"{arrow} {trend.direction}"


def _spark(values: Sequence[float]) -> str:
    """The last values, each as a block: its share of the highest, or of what still counts as fresh."""
    if not values:
        return ""
    step = max(len(values) / SPARK_CELLS, 1.0)
    picked = [values[int(index * step)] for index in range(min(SPARK_CELLS, len(values)))]
    top = max(*picked, FRESH_SECONDS)
    return "".join(_SPARKS[min(int(value / top * len(_SPARKS)), len(_SPARKS) - 1)] for value in picked)


def _errors_first(status: Status) -> list[PresentError]:
    """Every error; those that need an operator first."""
    return sorted(errors_of(status), key=lambda one: not one.error.needs_operator)


def _problems(content: ViewContent, columns: int) -> list[Text]:
    """Errors with their remedies, then waits that end without an operator."""
    errors = _errors_first(content.status)
    waits = [
        (f"sources.{name}", wait)
        for name, view in content.status.sources.items()
        for wait in (view.report.waits if view.report else ())
    ]
    blocks = [
        *(_error(one.subject, one.error, content.at, columns) for one in errors),
        *(_wait(subject, wait, columns) for subject, wait in waits),
    ]
    lines = [line for block in blocks[:MOST_PROBLEMS] for line in (Text(""), *block)][1:]
    if len(blocks) > MOST_PROBLEMS:
        lines += [Text(""), Text(f"  and {len(blocks) - MOST_PROBLEMS:,} more: cdc status", "dim")]
    return lines


def _error(subject: str, error: ErrorReport, at: datetime, columns: int) -> Iterator[Text]:
    mark = "bad" if error.needs_operator else "warn"
    line = Text.assemble("  ", (_MARKS[mark], _STYLES[mark]), " ", (subject, "bold"), f"  {error.kind}")
    parts = []
    if error.since:
        parts.append(f"for {show_span((at - datetime.fromisoformat(error.since)).total_seconds())}")
    if error.attempts > 1:
        parts.append(f"attempt {error.attempts:,}")
    if error.retry_seconds is not None and error.at:
        due = error.retry_seconds - (at - datetime.fromisoformat(error.at)).total_seconds()
        parts.append(f"next in {show_span(max(due, 0.0))}")
    # The next attempt is what to wait for: of the others, the last goes first.
    while len(parts) > 1 and cell_len(line.plain) + len("".join(parts)) + 2 * len(parts) > columns:
        del parts[-2]
    line.append("".join(f", {part}" for part in parts))
    line.truncate(columns, overflow="ellipsis")
    yield line
    message = error.message.removeprefix(f"{subject}: ")
    yield from (Text(f"    {text}") for text in textwrap.wrap(message, columns - 5))
    yield from _remedy(error.remedy, columns)


def _wait(subject: str, wait: WaitReport, columns: int) -> Iterator[Text]:
    about = f"{subject}, {wait.table}" if wait.table else subject
    yield Text.assemble("  ", _MARKS["off"], " ", (about, "bold"), "  waits")
    yield from (Text(f"    {text}") for text in textwrap.wrap(wait.reason, columns - 5))
    if wait.remedy != NO_ACTION:
        yield from _remedy(wait.remedy, columns)


def _remedy(remedy: str, columns: int) -> Iterator[Text]:
    """The sentence, and its command on a line of its own, whole."""
    found = _COMMAND.fullmatch(remedy)
    sentence = found["head"] if found else as_sentence(remedy)
    yield from (Text(f"    {text}") for text in textwrap.wrap(sentence, columns - 5))
    for command in found["command"].splitlines() if found else ():
        fits = cell_len(command) + 6 < columns
        yield Text(f"      {command}" if fits else command, "cyan")


def _footer(content: ViewContent, columns: int) -> list[Text]:
    """As many of the remarks as have room; the last one always."""
    parts = [*content.footer]
    while len(parts) > 1 and len(" · ".join(parts)) + 3 > columns:
        parts.pop(0)
    return [Text(f"  {' · '.join(parts)}", "dim")] if parts else []


def _short(name: str, cells: int = NAME_CELLS) -> str:
    return name if len(name) <= cells else f"{name[: cells - 1]}…"
