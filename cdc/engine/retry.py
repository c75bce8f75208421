"""The only table that decides how the engine continues after an error, and how long it waits.

An error class that the table does not name ends its worker: the default fails closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

import tenacity

from cdc import errors
from cdc.engine.pacing import Pacing


class Directive(StrEnum):
    """Reaction to an error: `retry` without limit, at growing intervals; `operator`: retry every minute until
    the cause is removed; `stop` this worker until a restart, after a defect of the daemon itself.
    """

    RETRY = "retry"
    OPERATOR = "operator"
    STOP = "stop"


# Each attempt starts from what is durable, as a restart does: it meets the same error or continues. A fenced
# worker keeps its epoch, so it never takes a sink back from the daemon that fenced it.
POLICY: dict[type[errors.CdcError], Directive] = {
    # Of a log that could not be opened. Of the daemon's own state it ends the start, which no worker has.
    errors.StateError: Directive.OPERATOR,
    errors.SourceUnavailable: Directive.RETRY,
    errors.SourceBusy: Directive.RETRY,
    errors.LogUnavailable: Directive.RETRY,
    errors.LogFull: Directive.RETRY,
    errors.StateFull: Directive.RETRY,
    errors.SinkUnavailable: Directive.RETRY,
    errors.SourceRefused: Directive.OPERATOR,
    errors.SourceClaimed: Directive.OPERATOR,
    errors.SourceMismatch: Directive.OPERATOR,
    errors.SourceGap: Directive.OPERATOR,
    errors.DecodeError: Directive.OPERATOR,
    errors.UnsupportedSchema: Directive.OPERATOR,
    errors.UnknownEvent: Directive.OPERATOR,
    errors.UnrepresentableValue: Directive.OPERATOR,
    errors.LogCorrupt: Directive.OPERATOR,
    errors.LogFenced: Directive.OPERATOR,
    errors.LogTrimmed: Directive.OPERATOR,
    errors.SinkRefused: Directive.OPERATOR,
    errors.SinkFenced: Directive.OPERATOR,
    errors.SchemaChangeRefused: Directive.OPERATOR,
}


def directive(error: BaseException) -> Directive:
    """Return the directive for this error; the most specific class in its tree wins."""
    for kind in type(error).__mro__:
        if kind in POLICY:
            return POLICY[kind]
    return Directive.STOP


def waits_for_operator(kind: str) -> bool:
    """Return whether an error of the class of this name is not retried, or only as often as a look costs."""
    found = getattr(errors, kind, None)
    return not isinstance(found, type) or directive(found("")) is not Directive.RETRY


class Attempts:
    """Runs a body until it returns, again after every error that the table retries."""

    def __init__(
        self,
        body: Callable[[], None],
        stop: threading.Event,
        *,
        progressed: Callable[[], bool],
        report: Callable[[BaseException, float], None],
        pacing: Pacing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`progressed` returns whether work was done since its last call; then the waits start small again.
        `report` receives each error with the seconds until the next attempt.
        """
        self._body = body
        self._stop = stop
        self._progressed = progressed
        self._report = report
        self._pacing = pacing
        self._clock = clock
        self._begun: float | None = None
        self._lasted = 0.0

    @property
    def running_seconds(self) -> float | None:
        """Seconds that the current attempt has lasted; None between two attempts."""
        return None if self._begun is None else self._clock() - self._begun

    def run(self) -> None:
        """Until the body returns; errors that end the worker pass through."""
        while not self._stop.is_set():
            try:
                self._series()
            except errors.CdcError as error:
                kind = directive(error)
                if kind is Directive.STOP:
                    raise
                needs_operator = kind is Directive.OPERATOR
                pacing = self._pacing
                seconds = pacing.operator_wait_seconds if needs_operator else pacing.first_wait_seconds
                self._report(error, seconds)
                self._stop.wait(seconds)
            else:
                return

    def _series(self) -> None:
        """Attempts with growing waits, until one has succeeded for a while."""
        pacing = self._pacing
        tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._goes_on),
            wait=tenacity.wait_exponential_jitter(
                multiplier=pacing.first_wait_seconds,
                max=pacing.longest_wait_seconds,
                jitter=pacing.jitter_seconds,
            ),
            sleep=tenacity.sleep_using_event(self._stop),
            stop=tenacity.stop_when_event_set(self._stop),
            before_sleep=lambda state: self._report(_error_of(state), state.upcoming_sleep),
            reraise=True,
        )(self._attempt)

    def _attempt(self) -> None:
        self._begun = self._clock()
        try:
            self._body()
        finally:
            self._lasted, self._begun = self._clock() - self._begun, None

    def _goes_on(self, error: BaseException) -> bool:
        if directive(error) is not Directive.RETRY:
            return False
        moved = self._progressed()
        # Two that take a place from each other move a little each time.
        is_steady = self._lasted >= self._pacing.steady_seconds
        return not (is_steady or (moved and not isinstance(error, errors.SourceBusy)))


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    outcome = state.outcome
    error = outcome.exception() if outcome else None
    return error or RuntimeError("retry without an error")
