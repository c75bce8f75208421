"""Functions stay small; an exception needs a reason, and one that is no longer needed fails."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import ROOT, python_files

FUNCTION_LINES = 50
CYTHON_FUNCTION_LINES = 60
# A sink on `cdc.sql` or `cdc.lake` is short: what it repeats belongs there.
SMALL_SINK_LINES = 150
SMALL_SINKS = ("tests/support/sqlite_sink.py", "tests/support/json_lines_sink.py")
# `path::function` → why it may be longer.
WAIVED: dict[str, str] = {}

_CYTHON_FUNCTION = re.compile(r"^(\s*)(?:cdef|cpdef|def)\s(?!class\b)[^=\n]*?(\w+)\s*\(")


def _long_functions() -> Iterator[str]:
    for path in python_files("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                last = node.end_lineno or node.lineno
                if last - node.lineno + 1 > FUNCTION_LINES:
                    yield f"{path.relative_to(ROOT)}::{node.name}"
    for path in python_files("*.pyx"):
        for name, length in _cython_functions(path):
            if length > CYTHON_FUNCTION_LINES:
                yield f"{path.relative_to(ROOT)}::{name}"


def _cython_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of each function, measured by indentation."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for start, line in enumerate(lines):
        match = _CYTHON_FUNCTION.match(line)
        if match is None:
            continue
        last = start
        for index in range(start + 1, len(lines)):
            text = lines[index]
            indent = len(text) - len(text.lstrip())
            if text.strip() and indent <= len(match[1]) and not text.lstrip().startswith(")"):
                break
            last = index if text.strip() else last
        yield match[2], last - start + 1


def test_functions_keep_their_budget() -> None:
    over = set(_long_functions())
    assert over - WAIVED.keys() == set(), "too long: split it, or waive it with a reason"
    assert WAIVED.keys() - over == set(), "stale waivers: these are short now"


def test_a_sink_on_the_shared_parts_is_short() -> None:
    lines = {name: len((ROOT / name).read_text("utf-8").splitlines()) for name in SMALL_SINKS}
    assert {name: count for name, count in lines.items() if count > SMALL_SINK_LINES} == {}
