"""One sentence about the whole daemon, and one word for each part. Page, terminal and `/readyz` say the same.

The sentence names an object and its state; the text says what of it is safe, and what is not affected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cdc.control.status import STALE_SECONDS, SourceView, Status
from cdc.kit.report import counted
from cdc.readable import show_seconds, show_span
from cdc.spi.status import CopyReport, ErrorReport, SinkReport, SourceReport

Level = Literal["ok", "busy", "warn", "bad", "off"]
# Who acts: `warn` is retried by the daemon, `bad` needs an operator.
Mark = Literal["ok", "copy", "replay", "warn", "bad", "pause", "off"]

# A longer outage counts as lasting.
DOWN_SECONDS = 60.0
# The engine's own thread ticks four times a second; after this long it hangs, and only a restart helps.
ALIVE_SECONDS = 30.0
_NEVER_RUN = "Never run"
# A sink that is less fresh, and has had time for two of its flushes, is catching up.
FRESH_SECONDS = 60.0
_FRESH_FLUSHES = 2
# From this flush interval on, people see a sink wait for its flush, and ask why.
SLOW_FLUSH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DaemonVerdict:
    """`progress` is between 0 and 1, None where nothing has an end."""

    level: Level
    mark: Mark
    title: str
    text: str
    progress: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether changes flow, or will by the daemon's own doing within a moment."""
        return (
            self.level in ("ok", "busy")
            or (self.level == "warn" and self.mark == "warn")
            or self.mark == "pause"
        )


def error_title(subject: str, error: ErrorReport) -> str:
    """Return what an error means for its subject, such as `Source shop`, or for one of its tables."""
    if error.table is not None:
        return f"Table {error.table} is skipped"
    if error.needs_operator:
        return f"{subject} needs you"
    if not is_down(error):
        return f"{subject} is retried"
    if subject.startswith("Source ") and error.kind == "SourceUnavailable":
        return f"{subject} cannot be reached"
    return f"{subject} is down"


Rule = Callable[[Status], DaemonVerdict | None]


def verdict_of(status: Status) -> DaemonVerdict:
    """Return the verdict: that of the worst thing."""
    for rule in _RULES:
        found = rule(status)
        if found is not None:
            return found
    return _well(status)


def source_word(report: SourceReport | None) -> str:
    """Return the word for the state of a source."""
    word = _own_word(report)
    if word is not None or report is None:
        return word or _NEVER_RUN
    return "Copying" if report.snapshot or report.waiting_tables else "Streaming"


def delivery_word(report: SinkReport | None, source: SourceReport | None) -> str:
    """Return the word for a sink's delivery of a source, given the report of that source in the same status.

    A sink is up to date only while its source streams, and copies nothing: else it waits, lacks the tables
    that are copied, or has the rest of the log to apply. One that has never flushed waits for its flush.
    """
    if report is None:
        return _NEVER_RUN
    is_held_up = source is None or source.state != "streaming"
    if report.state == "starting" and source is not None and source.state in ("retrying", "failed"):
        return "Waits"
    word = _own_word(report)
    if word is not None:
        return word
    if is_held_up:
        return "Catching up" if report.behind_changes else "Waits"
    if _is_late(report):
        return "Catching up"
    if waits_for_first_flush(report):
        return "Waits"
    return "Copying" if source_word(source) == "Copying" else "Up to date"


def fresh_seconds(report: SinkReport) -> float:
    """Return the freshness above which a sink is catching up."""
    return max(FRESH_SECONDS, _FRESH_FLUSHES * report.flush_interval_seconds)


def waits_for_first_flush(report: SinkReport) -> bool:
    """Return whether all that a sink lacks waits for its first flush: it has read the whole log, and is idle.

    Copied rows have no time, so that nothing else says how long they have waited.
    """
    return report.freshness_seconds is None and report.behind_changes > 0 and report.state == "idle"


def _is_late(report: SinkReport) -> bool:
    """Whether a sink lacks more than waits for its next flush."""
    if report.freshness_seconds is None:
        return report.behind_changes > 0 and not waits_for_first_flush(report)
    return report.freshness_seconds > fresh_seconds(report)


def _own_word(report: SourceReport | SinkReport | None) -> str | None:
    """The word for a state that does not depend on anything else; an attempt after an error is no news."""
    if report is None:
        return None
    word = _WORDS.get(report.state)
    is_retried = report.error is not None and report.error.table is None and not report.error.needs_operator
    if report.state == "retrying" or (word == "Connecting" and is_retried):
        return "Down" if is_down(report.error) else "Retrying"
    return word


_WORDS = {
    "starting": "Connecting",
    "connecting": "Connecting",
    "opening": "Connecting",
    "waiting for its copies": "Waits",
    "replaying": "Replaying",
    "failed": "Needs you",
    "paused": "Paused",
    "stopped": "Stopped",
}


def is_down(error: ErrorReport | None) -> bool:
    """Return whether an error that is retried has lasted."""
    if error is None or not error.since:
        return False
    return (datetime.now(UTC) - datetime.fromisoformat(error.since)).total_seconds() > DOWN_SECONDS


def _not_running(status: Status) -> DaemonVerdict | None:
    daemon = status.daemon
    if daemon.running:
        return None
    if daemon.report is None:
        return DaemonVerdict("off", "off", "Never run", "Start the daemon with `cdc run`.")
    if daemon.died:
        text = f"Process {daemon.pid} was killed or crashed. Nothing is lost: start it with `cdc run`."
        return DaemonVerdict("bad", "bad", "The daemon has died", text)
    return DaemonVerdict("off", "off", "Stopped", "Sources and sinks continue where they stopped: `cdc run`.")


def _stale(status: Status) -> DaemonVerdict | None:
    age = status.daemon.age_seconds
    if age is None or age <= STALE_SECONDS:
        return None
    text = f"It has written no status for {show_seconds(age)}: it hangs, or its disk does."
    return DaemonVerdict("warn", "bad", "The daemon does not respond", text)


def _full(status: Status) -> DaemonVerdict | None:
    if not status.daemon.state_dir_full:
        return None
    text = (
        "Free space on it. Nothing is lost: the sources keep later changes, and work resumes automatically."
    )
    return DaemonVerdict("bad", "bad", "The disk under state_dir is full", text)


def _needs_operator(status: Status) -> DaemonVerdict | None:
    for subject, error in _errors(status):
        if error.needs_operator and error.table is None:
            return DaemonVerdict(
                "bad",
                "bad",
                error_title(subject, error),
                f"{_sentence(error.message)} {_others(status, subject)}".rstrip(),
            )
    for name, view in status.sources.items():
        if view.log_error is not None:
            return DaemonVerdict(
                "bad", "bad", f"The log of {name} cannot be read", _sentence(view.log_error.message)
            )
    skipped = [error for report in status.reports() for error in report.skipped]
    if skipped:
        title = f"{counted(len(skipped), 'table')} {'is' if len(skipped) == 1 else 'are'} skipped"
        text = f"{_sentence(skipped[0].message)} The other tables are not affected."
        return DaemonVerdict("bad", "bad", title, text)
    return None


def _down(status: Status) -> DaemonVerdict | None:
    found = [(subject, error) for subject, error in _errors(status) if error.table is None]
    found.sort(key=lambda one: not is_down(one[1]))
    if not found:
        return None
    subject, error = found[0]
    is_source = subject.startswith("Source ")
    if not is_down(error):
        return DaemonVerdict(
            "warn",
            "warn",
            error_title(subject, error),
            f"{_sentence(error.message)} {_others(status, subject)}".rstrip(),
        )
    safe = (
        "The changes read so far are delivered. Nothing is lost: the source keeps later ones."
        if is_source
        else "Its changes wait in the log. Nothing is lost, and the sources are not held up."
    )
    return DaemonVerdict(
        "bad", "warn", error_title(subject, error), f"{safe} {_others(status, subject)}".rstrip()
    )


def _starting(status: Status) -> DaemonVerdict | None:
    words = [source_word(view.report) for view in status.sources.values() if view.report]
    words += [word for _, _, word in _deliveries(status)]
    if not words or any(word != "Connecting" for word in words):
        return None
    sources, sinks = len(status.sources), len(status.sinks)
    text = f"Connecting to {counted(sources, 'source')} and opening {counted(sinks, 'sink')}."
    return DaemonVerdict("off", "off", "Starting", text)


def _replaying(status: Status) -> DaemonVerdict | None:
    for name, pair in _pairs(status):
        if pair.replay_from is None or pair.replay_to is None or pair.replay_to <= pair.replay_from:
            continue
        progress = (pair.next - pair.replay_from) / (pair.replay_to - pair.replay_from)
        progress = min(max(progress, 0.0), 1.0)
        text = f"It applies the changes of {pair.source} again. {_others(status, f'Sink {name}')}".rstrip()
        return DaemonVerdict(
            "busy", "replay", f"Replaying {name}: {min(int(progress * 100), 99)} %", text, progress
        )
    return None


def _copying(status: Status) -> DaemonVerdict | None:
    for name, view in status.sources.items():
        report = view.report
        waiting_tables = _waiting_tables(view)
        if report is None or report.state != "streaming" or not (report.snapshot or waiting_tables):
            continue
        copy = report.snapshot
        if copy is None:
            waiting = counted(waiting_tables, "table")
            return DaemonVerdict("busy", "copy", f"Copying {name}", f"{waiting} will be copied.", 0.0)
        return DaemonVerdict(
            "busy", "copy", f"Copying {name}: {copy.percent} %", _copy_text(copy), copy.percent / 100
        )
    return None


def _waiting_tables(view: SourceView) -> int:
    """The tables that wait for a copy or are copied: the log knows first."""
    skipped = {error.table for error in view.report.refused} if view.report else set()
    copies = view.log.copies if view.log else []
    return sum(one.state in ("waiting", "copying") and one.table not in skipped for one in copies)


def _copy_text(copy: CopyReport) -> str:
    left = "" if copy.remaining_seconds is None else f", about {show_span(copy.remaining_seconds)} left"
    done = f"{copy.tables_done:,} of {counted(copy.tables, 'table')} done{left}."
    return f"{done} Changes made meanwhile are kept, and follow the copy of their table."


def _paused(status: Status) -> DaemonVerdict | None:
    pause = next(iter(status.pauses), None)
    if pause is None:
        return None
    subject = f"{pause.kind.capitalize()} {pause.name}"
    by = f" by {pause.by}" if pause.by else ""
    waits = "The database keeps its changes." if pause.kind == "source" else "Its changes wait in the log."
    text = f"Paused at {pause.at:%Y-%m-%d %H:%M:%SZ}{by}. {waits} Resume it with `cdc resume {pause.name}`."
    return DaemonVerdict("off", "pause", f"{subject} is paused", text)


def _catching_up(status: Status) -> DaemonVerdict | None:
    for name, pair, word in _deliveries(status):
        if word == "Catching up":
            behind = counted(pair.behind_changes, "change")
            if pair.freshness_seconds is not None:
                behind = f"{show_span(pair.freshness_seconds)} and {behind}"
            text = f"It is {behind} behind {pair.source}. {_others(status, f'Sink {name}')}".rstrip()
            return DaemonVerdict("busy", "ok", f"Sink {name} is catching up", text)
    return None


def _connecting(status: Status) -> DaemonVerdict | None:
    for name, view in status.sources.items():
        if source_word(view.report) in ("Connecting", _NEVER_RUN):
            text = f"Its changes follow once it streams. {_others(status, f'Source {name}')}".rstrip()
            return DaemonVerdict("off", "off", f"Connecting to {name}", text)
    return None


def _unflushed(status: Status) -> DaemonVerdict | None:
    for name, pair in _pairs(status):
        if waits_for_first_flush(pair):
            every = show_span(pair.flush_interval_seconds)
            waiting = f"{counted(pair.behind_changes, 'change')} of {pair.source}"
            text = f"It has {waiting}, and flushes every {every}. {_others(status, f'Sink {name}')}".rstrip()
            return DaemonVerdict("busy", "ok", f"Sink {name} waits for its first flush", text)
    return None


def _unknown(status: Status) -> DaemonVerdict | None:
    """Before the first look at a source it is unknown whether something is missing."""
    waiting = [
        name
        for name, pairs in status.sinks.items()
        for pair in pairs
        if pair.report is None or (pair.report.freshness_seconds is None and not pair.report.behind_changes)
    ]
    if not waiting:
        return None
    text = f"Nothing is known yet about {waiting[0]}: numbers come with the first look at its source."
    return DaemonVerdict("off", "off", "Starting", text)


def _well(status: Status) -> DaemonVerdict:
    pairs = list(_pairs(status))
    sinks, sources = len(status.sinks), len(status.sources)
    verb = "follows" if sinks == 1 else "follow"
    text = f"{counted(sinks, 'sink')} {verb} {counted(sources, 'source')}."
    if pairs:
        name, pair = max(pairs, key=lambda one: one[1].freshness_seconds or 0.0)
        interval = pair.flush_interval_seconds
        allowed = f", as its flush interval of {show_span(interval)} allows"
        behind = f"{show_span(pair.freshness_seconds or 0.0)} behind"
        text += f" The least fresh, {name}, is {behind}{allowed if interval >= SLOW_FLUSH_SECONDS else ''}."
    return DaemonVerdict("ok", "ok", "All is well", text)


_RULES: tuple[Rule, ...] = (
    _not_running,
    _stale,
    _full,
    _needs_operator,
    _down,
    _starting,
    _replaying,
    _copying,
    _paused,
    _connecting,
    _catching_up,
    _unflushed,
    _unknown,
)


def _pairs(status: Status) -> Iterator[tuple[str, SinkReport]]:
    for name, pairs in status.sinks.items():
        for pair in pairs:
            if pair.report is not None:
                yield name, pair.report


def _deliveries(status: Status) -> Iterator[tuple[str, SinkReport, str]]:
    """Each delivery with its sink and its word."""
    for name, pair in _pairs(status):
        view = status.sources.get(pair.source)
        yield name, pair, delivery_word(pair, view.report if view else None)


def _errors(status: Status) -> Iterator[tuple[str, ErrorReport]]:
    """The errors of sources and sinks that are not paused, each with what it is about."""
    for name, view in status.sources.items():
        if (
            view.report is not None
            and view.report.error is not None
            and status.paused("source", name) is None
        ):
            yield f"Source {name}", view.report.error
    for name, pair in _pairs(status):
        if pair.error is not None and status.paused("sink", name) is None:
            yield f"Sink {name}", pair.error


def _others(status: Status, subject: str) -> str:
    """Which other sinks are not affected."""
    kind, _, affected = subject.partition(" ")
    calm = [
        name
        for name, pairs in status.sinks.items()
        if all(_is_calm(pair.report, status.sources.get(pair.source)) for pair in pairs)
        and not (kind == "Sink" and name == affected)
        and not (kind == "Source" and any(pair.source == affected for pair in pairs))
    ]
    if not calm:
        return ""
    names = calm[0] if len(calm) == 1 else f"{', '.join(calm[:-1])} and {calm[-1]}"
    return f"{names} {'is' if len(calm) == 1 else 'are'} not affected."


def _is_calm(report: SinkReport | None, source: SourceView | None) -> bool:
    return report is not None and report.error is None and source is not None and source.state == "streaming"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
