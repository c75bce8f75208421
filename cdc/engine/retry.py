"""The one table that decides what follows an error, and the waiting; nobody else decides.

An error class that the table does not name needs an operator: the default fails closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum

import tenacity

from cdc import errors


class Directive(StrEnum):
    """What happens next: `retry` for ever with growing waits,
    `operator`: stop this worker until someone acts.
    """

    RETRY = "retry"
    OPERATOR = "operator"


POLICY: dict[type[errors.CdcError], Directive] = {
    errors.SourceUnavailable: Directive.RETRY,
    errors.SourceBusy: Directive.RETRY,
    errors.LogFull: Directive.RETRY,
    errors.StateFull: Directive.RETRY,
    errors.SinkUnavailable: Directive.RETRY,
}

# First wait: a restarting server answers within a second or two. Longest wait: an outage that ends is noticed
# within half a minute.
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


def directive(error: BaseException) -> Directive:
    """What the policy says of this error; the most specific class in its tree wins."""
    for kind in type(error).__mro__:
        if kind in POLICY:
            return POLICY[kind]
    return Directive.OPERATOR


def waits_for_operator(kind: str) -> bool:
    """Return whether an error of the class of this name is not retried, or only as often as a look costs."""
    found = getattr(errors, kind, None)
    return not isinstance(found, type) or directive(found("")) is Directive.OPERATOR


def run_until_stopped(
    body: Callable[[], None],
    stop: threading.Event,
    *,
    progressed: Callable[[], bool],
    report: Callable[[BaseException, float], None],
) -> None:
    """Run `body` until it returns, again after every error that the table retries; other errors pass through.

    `progressed` says whether work was done since it was last asked: then the waits start small again.
    `report` gets each error with the seconds until the next attempt.
    """
    while not stop.is_set():
        series = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda e: directive(e) is Directive.RETRY and not progressed()),
            wait=tenacity.wait_exponential_jitter(
                multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS, jitter=0.5
            ),
            sleep=tenacity.sleep_using_event(stop),
            stop=tenacity.stop_when_event_set(stop),
            before_sleep=lambda state: report(_error_of(state), state.upcoming_sleep),
            reraise=True,
        )
        try:
            series(body)
        except errors.CdcError as error:
            if directive(error) is not Directive.RETRY:
                raise
            report(error, FIRST_WAIT_SECONDS)
            stop.wait(FIRST_WAIT_SECONDS)
        else:
            return


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    outcome = state.outcome
    error = outcome.exception() if outcome else None
    return error or RuntimeError("retry without an error")
