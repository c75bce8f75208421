"""Fixtures for all tests; each concern is a module of tests/support."""

from __future__ import annotations

pytest_plugins = ["tests.support.fixtures", "tests.support.mysql_fixtures"]
