"""Named crash points: no-ops unless CDC_FAILPOINT arms one, then the process kills itself there like kill -9.

`CDC_FAILPOINT=log.buffers-durable` dies at the first hit of that point, `…=3` behind it at the third, and
`…@FILE` behind it waits at the point for as long as that file is there.
Tests read `NAMES`, so that a point that is renamed or lost fails them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

NAMES: Final = frozenset(
    {
        "capture.routed",
        "log.buffers-durable",
        "capture.durable",
        "snapshot.opened",
        "snapshot.rows-durable",
        "snapshot.before-live",
        "snapshot.live",
        "release.durable",
        "delivery.planned",
        "delivery.applied",
        "target.before-insert",
        "target.inserted",
        "target.before-save",
        "target.saved",
        "target.before-definition",
        "target.defined",
    }
)

_armed, _, _count = os.environ.get("CDC_FAILPOINT", "").partition("=")
_armed, _, _held_by = _armed.partition("@")
_hits_left = int(_count or 1) if _armed and not _held_by else 0
_HOLD_SECONDS = 0.05
_watch: Callable[[str], None] | None = None


def hit(name: str) -> None:
    """Die here if this point is armed and its count is used up."""
    global _hits_left  # noqa: PLW0603  (one counter a process is the point of it)
    if _watch is not None:
        _watch(name)
    if name != _armed:
        return
    while _held_by and os.path.exists(_held_by):  # noqa: PTH110  (nothing is imported for a no-op)
        time.sleep(_HOLD_SECONDS)
    _hits_left -= 1
    if _hits_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def watched(watch: Callable[[str], None]) -> Iterator[None]:
    """Call `watch` with the name of every point that a thread of this process passes inside the block. The
    point raises what it raises.
    """
    global _watch  # noqa: PLW0603  (as above)
    _watch = watch
    try:
        yield
    finally:
        _watch = None
