"""Imports that a command does when it is invoked."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the garbage collector. Imports make hundreds of thousands of objects that all stay: collections
    among them take a quarter of the time of an import, and find nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def without(name: str) -> Iterator[None]:
    """Have the imports of this block do without an optional package that is not imported yet."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own mark: importing it fails.
    try:
        yield
    finally:
        del sys.modules[name]


@functools.cache
def keep_imported() -> None:
    """Have collections pass over all that exists now, once in a process: a daemon needs it to its end."""
    gc.freeze()
