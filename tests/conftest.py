"""Fixtures for all tests; each concern is a module of tests/support."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long generated input takes says nothing about the code on a machine that others use too.
settings.register_profile("loaded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded")

pytest_plugins = ["tests.support.fixtures", "tests.support.mysql_fixtures"]
