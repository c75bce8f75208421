"""What plug-in authors and users import is there, listed and documented."""

from __future__ import annotations

import ast
import importlib

import pytest

from cdc import errors
from tests.architecture.tree import ROOT, product_files

FACADES = ("cdc", "cdc.model", "cdc.spi")


@pytest.mark.parametrize("name", FACADES)
def test_facade_lists_exactly_what_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(module.__all__)
    assert [item for item in module.__all__ if not hasattr(module, item)] == []


def test_every_error_is_a_cdc_error_with_one_sentence() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert [c.__name__ for c in classes if not issubclass(c, errors.CdcError)] == []
    assert [c.__name__ for c in classes if not (c.__doc__ or "").strip()] == []


def test_every_module_says_what_it_is_for() -> None:
    def documented(text: str) -> bool:
        return bool(ast.get_docstring(ast.parse(text)))

    silent = [p for p in product_files("*.py") if not documented(p.read_text(encoding="utf-8"))]
    assert [str(p.relative_to(ROOT)) for p in silent] == []


def test_no_module_is_named_for_nothing() -> None:
    """Modules are domain nouns: a bucket gathers what belongs elsewhere."""
    buckets = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "base"}
    assert [str(p.relative_to(ROOT)) for p in product_files("*.py", "*.pyx") if p.stem in buckets] == []
