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
    finder = _Absent(name)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Absent:
    """A finder for which one package is not installed. Python's own mark, a None in sys.modules, counts as
    the package where a compiled module imports it.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        del path, target
        if fullname == self._name:
            message = f"No module named {fullname!r}"
            raise ModuleNotFoundError(message, name=fullname)


@functools.cache
def keep_imported() -> None:
    """Have collections pass over all that exists now, once in a process: a daemon needs it to its end."""
    gc.freeze()
