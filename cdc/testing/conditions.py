"""Waiting for a condition with a deadline, in place of sleeping.

A timeout names the condition and the last value, so that a failed wait reads as a claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Ten times what anything here takes on a quiet machine with two cores: only what never comes takes that long,
# and a condition that holds ends the wait at once.
DEFAULT_TIMEOUT_SECONDS = 300.0
# Between two looks: short against what is waited for, long against the cost of a look at a database.
POLL_SECONDS = 0.01


def wait_for(
    predicate: Callable[[], T],
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    what: str = "the condition",
    *,
    poll: float = POLL_SECONDS,
) -> T:
    """Return the first true value of `predicate`; AssertionError that names `what` after the timeout.

    An exception raised by the predicate ends the wait at once. Looks that take longer than `poll` seconds
    have pauses of their own length between them: what is waited for needs the processor too.
    """
    deadline = time.monotonic() + timeout
    while True:
        looked_at = time.monotonic()
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}; last seen: {value!r}")
        time.sleep(max(poll, time.monotonic() - looked_at))
