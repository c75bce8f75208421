"""Texts are English as a technical writer would write it, as far as a test can say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import ROOT, files, product_files

# Openings that leave the subject to the reader: a noun (for a class) or a verb (for a function) says more.
OPENINGS = ("What ", "Of ", "Who ")
# Translated idioms: each has a plain word (again, undo, during, nevertheless, permanently).
IDIOMS = re.compile(
    r"\b(?:anew|not understood|(?:are|is) told|tak(?:e|es|en|ing) back|on the way|all the same|for good)\b",
    re.IGNORECASE,
)
# The history of the project stays as it was written.
PAST = ("CHANGELOG.md", "docs/decisions/")


def _vague() -> Iterator[str]:
    for path in product_files("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if text.startswith(OPENINGS):
                    name = "" if isinstance(node, ast.Module) else f"::{node.name}"
                    yield f"{path.relative_to(ROOT)}{name}: {text.partition('.')[0]}"


def _idioms() -> Iterator[str]:
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        is_text = path.suffix in {".py", ".pyx", ".pxd", ".md"} and path != Path(__file__)
        if is_text and not name.startswith(PAST):
            yield from (f"{name}: {found[0]}" for found in IDIOMS.finditer(path.read_text(encoding="utf-8")))


def test_docstrings_begin_with_what_a_thing_is_or_does() -> None:
    assert list(_vague()) == []


def test_no_text_uses_a_translated_idiom() -> None:
    assert list(_idioms()) == []
