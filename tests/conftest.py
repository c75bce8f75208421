"""Fixtures for all tests; each concern is a module of tests/support."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.halving import leave_to_test_all
from tests.support.preloaded import Forks
from tests.support.processes import forking

# How long generated input takes says nothing about the code on a machine that others use too.
settings.register_profile("loaded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded")


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Collect the tests without garbage collections: what each worker makes here stays to the end."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# Fixtures of servers that take processor time while they wait: one worker runs all tests with one of them.
SERVERS_OF_ONE_WORKER = ("clickhouse_server", "seaweed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m "not slow"` takes its share, and before xdist reads the groups."""
    leave_to_test_all(items)
    for item in items:
        for fixture in SERVERS_OF_ONE_WORKER:
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(fixture))


pytest_plugins = [
    "tests.support.buckets",
    "tests.support.clickhouse",
    "tests.support.mysql.fixtures",
    "tests.support.postgres.fixtures",
]


@pytest.fixture(scope="session", autouse=True)
def forked_processes() -> Iterator[None]:
    """Fork `cdc` from an interpreter that has imported everything, unless CDC_TEST_FRESH is set."""
    with Forks() as forks, forking(None if os.environ.get("CDC_TEST_FRESH") else forks):
        yield


@pytest.fixture
def fresh_processes() -> Iterator[None]:
    """Start an interpreter for each `cdc` of the test."""
    with forking(None):
        yield


@pytest.fixture(autouse=True)
def logging_of_the_process() -> Iterator[None]:
    """A command run in this process takes over its logging: to a stream that ends with the test."""
    yield
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not type(one).__module__.startswith("cdc.")]


@pytest.fixture(autouse=True)
def umask_of_the_process() -> Iterator[None]:
    """Restore the umask after a test that runs a command in this process: servers run as another account and
    must be able to read what later tests make.
    """
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    os.umask(mask)
