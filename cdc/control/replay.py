"""Replay: rewind a sink, so that it applies changes of the log again.

A running daemon does it between two deliveries; without one, the sink is opened and rewound here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from cdc.control import storage
from cdc.control.composition import open_sink, silent
from cdc.control.status import DaemonView, daemon_of
from cdc.control.stored import finder, open_log
from cdc.engine.identity import starts_in
from cdc.errors import ConfigError, SinkRefused, StateError
from cdc.merge import continuity
from cdc.spi import PublishedCursor, ReplayRequest, SupportsRewind
from cdc.spi.status import SinkReport, StatusDocument
from cdc_config import Configuration, ConfiguredSink

# A healthy sink takes a request up within a second or a flush; after this long the command ends and says so.
TAKEN_SECONDS = 60.0
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Replay:
    """A planned replay: `sink` is rewound to `offset` of `source`, whose log ends at `end`."""

    configuration: Configuration
    sink: ConfiguredSink
    source: str
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class ReplayResult(StatusDocument):
    """A replay: `sink` is rewound to `offset` of `source`, whose log ended at `log_end`.

    `running` says whether a daemon runs, `taken` is False if it has not started the replay in time.
    """

    sink: str
    source: str
    offset: int
    log_end: int
    running: bool
    taken: bool


def source_of(sink: ConfiguredSink, name: str | None, where: str) -> str:
    """Return the source of that name, or the sink's only one; `where` names the option in messages."""
    if name is None and len(sink.sources) == 1:
        return sink.sources[0]
    if name in sink.sources:
        return name
    what = "changes from several sources" if name is None else f"nothing from {name!r}"
    message = f"the sink {sink.name!r} takes {what}"
    raise ConfigError(message, where=where, remedy=f"Name one of {', '.join(sink.sources)}.")


def plan_replay(
    configuration: Configuration, sink: ConfiguredSink, source: str, place: str, where: str
) -> Replay:
    """Plan a replay from that place; `where` names its option in messages.

    Raises:
        LogTrimmed: the log no longer reaches back so far.
        ConfigError: `place` is not a place in the log.
        SinkRefused: sinks of this type do not support replay.
    """
    with closing(open_log(configuration, source)) as log:
        offset = finder(configuration, configuration.sources[source], log, where).offset(place)
        _refuse_without_rewind(sink)
        return Replay(configuration, sink, source, offset, log.end.next if log.end else log.start)


def send_back(task: Replay, *, running: bool) -> ReplayResult:
    """Rewind the sink, by the daemon if one is running.

    Raises:
        ConfigError: the sink has not reached the offset yet.
        StateError: the sink has no changes of this source yet.
        SinkRefused: the sink or the daemon refused.
    """
    taken = True
    if running:
        taken = _ask_daemon(task)
    else:
        _rewind_here(task)
    return ReplayResult(task.sink.name, task.source, task.offset, task.end, running, taken)


def _refuse_without_rewind(sink: ConfiguredSink) -> None:
    # A daemon refuses too, which matters if the type is not known here.
    if sink.plugin is not None and not issubclass(sink.plugin, SupportsRewind):
        remedy = "Empty it and give it a new name: a new sink starts at the beginning of the log."
        raise SinkRefused(continuity.NO_REPLAY, where=f"sinks.{sink.name}", remedy=remedy)


def _rewind_here(task: Replay) -> None:
    with closing(storage.state(task.configuration).open()) as state:
        with closing(open_log(task.configuration, task.source)) as log:
            epoch = state.next_epoch(task.sink.name, at_least=starts_in(log.metadata))
            sink = open_sink(task.sink, silent, epoch, log.identity)
        with closing(sink):
            sink.prepare(task.source)
            cursor = sink.committed(task.source)
            _refuse_ahead(task, None if cursor is None else cursor.next)
            assert isinstance(sink, SupportsRewind)  # `plan_replay` refuses the others.
            state.clear_plan(task.sink.name, task.source)
            sink.rewind(task.source, task.offset)
            if (rewound := sink.committed(task.source)) is not None:
                published = PublishedCursor(task.sink.name, rewound.next, rewound.position)
                state.publish_cursor(task.source, published, epoch)


def _ask_daemon(task: Replay) -> bool:
    """Leave the request; whether the daemon has taken it up in time."""
    delivery = daemon_of(task.configuration).delivery(task.sink.name, task.source)
    _refuse_ahead(task, None if delivery is None else delivery.next)
    with closing(storage.state(task.configuration).reader()) as state:
        number = state.request_replay(task.sink.name, task.source, task.offset)
        deadline = time.monotonic() + TAKEN_SECONDS
        while time.monotonic() < deadline:
            request = state.replay(number)
            if request is not None and request.finished_at is not None:
                _raise_refusal(task, request)
                return True
            time.sleep(POLL_SECONDS)
    return False


def _raise_refusal(task: Replay, request: ReplayRequest) -> None:
    if request.error:
        raise SinkRefused(f"the daemon refused the replay: {request.error}", where=f"sinks.{task.sink.name}")


def _refuse_ahead(task: Replay, cursor: int | None) -> None:
    where = f"sinks.{task.sink.name}"
    if cursor is None:
        remedy = "Start `cdc run`: it delivers from the beginning of the log."
        raise StateError(f"the sink has no changes of {task.source!r} yet", where=where, remedy=remedy)
    reason = continuity.why_ahead(cursor, task.offset)
    if reason:
        remedy = "A replay starts at an earlier offset. To catch up, start `cdc run`."
        raise ConfigError(reason, where=where, remedy=remedy)


def wait_until_applied(result: ReplayResult, look: Callable[[], DaemonView], where: str) -> None:
    """Return when the sink has applied everything that the log contained when the replay was planned. `look`
    returns the daemon's present view.

    Raises:
        StateError: the daemon has stopped; `where` names the option that asked for the wait.
        SinkRefused: the sink has failed.
    """
    # The daemon reports once a second: this report may be of before the replay, a later one is not. The
    # daemon's clock is compared with itself only.
    first = _reported_at(look())
    while True:
        daemon = look()
        delivery = daemon.delivery(result.sink, result.source) or SinkReport()
        is_new = _reported_at(daemon) > first
        if is_new and delivery.next >= result.log_end and delivery.state != "replaying":
            return
        if not daemon.running:
            raise StateError(
                "the daemon has stopped", where=where, remedy="The replay continues when `cdc run` starts."
            )
        if delivery.state == "failed":
            raise SinkRefused("the sink has failed", where=f"sinks.{result.sink}", remedy="See `cdc status`.")
        time.sleep(POLL_SECONDS)


def _reported_at(daemon: DaemonView) -> datetime:
    at = daemon.report.at if daemon.report else ""
    return datetime.fromisoformat(at) if at else datetime.min.replace(tzinfo=UTC)
