"""Docstrings are sentences that a caller can use."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.tree import ROOT, product_files

# Openings that leave the subject to the reader: a noun (for a class) or a verb (for a function) says more.
OPENINGS = ("What ", "Of ", "Who ")


def _vague() -> Iterator[str]:
    for path in product_files("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if text.startswith(OPENINGS):
                    name = "" if isinstance(node, ast.Module) else f"::{node.name}"
                    yield f"{path.relative_to(ROOT)}{name}: {text.partition('.')[0]}"


def test_docstrings_begin_with_what_a_thing_is_or_does() -> None:
    assert list(_vague()) == []
