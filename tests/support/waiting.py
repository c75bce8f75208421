"""Waits for conditions with a deadline; a test never sleeps for a fixed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from cdc.testing.conditions import DEFAULT_TIMEOUT_SECONDS

__all__ = ["DEFAULT_TIMEOUT_SECONDS", "POLL_SECONDS", "wait_until"]

T = TypeVar("T")

# Short beside everything that is waited for (a server's answer, a commit), long enough to cost no processor
# time.
POLL_SECONDS = 0.02


def wait_until(
    probe: Callable[[], T],
    what: str,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> T:
    """The first true value that `probe` gives; AssertionError naming `what` when the time is up first. Pauses
    are three times as long as a probe at least: what is waited for needs the processor too.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    while True:
        probed_at = time.monotonic()
        value = probe()
        if value:
            return value
        if time.monotonic() >= deadline:
            message = f"waited {timeout_seconds:g} s for {what}; the last value was {value!r}"
            raise AssertionError(message)
        pause.wait(max(poll_seconds, 3 * (time.monotonic() - probed_at)))
