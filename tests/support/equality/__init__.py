"""Compares a source with what the sinks hold, value by value."""

from __future__ import annotations

from tests.support.equality.verdict import assert_all_equal

__all__ = ["assert_all_equal"]
