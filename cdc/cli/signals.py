"""The signals that a daemon and a standby obey, from their first moment on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def ending_cleanly() -> None:
    """Have SIGTERM and SIGINT end the process at once, with exit code 0: it has nothing to finish yet.

    Process 1 of a container ignores a signal without a handler; elsewhere its exit code would say "failed".
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        # Not by an exception: what runs now may be an import that catches it.
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


@contextmanager
def obeying_signals(end: Callable[[], None], reload: Callable[[], None] | None) -> Iterator[None]:
    """The first SIGTERM or SIGINT asks for an orderly end; a second one of the same kind ends the process at
    once. SIGHUP has the configuration loaded again, unless `reload` is None, or the terminal has gone.
    """
    had_terminal = sys.stderr.isatty()

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        end()

    def hang_up(number: int, _frame: FrameType | None) -> None:
        if had_terminal and not sys.stderr.isatty():
            # Whoever ran the process has closed the window: it ends, which is as safe as a crash.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif reload is not None:
            reload()

    handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
        signal.SIGTERM: stop,
        signal.SIGINT: stop,
    }
    if reload is not None:
        handlers[signal.SIGHUP] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
