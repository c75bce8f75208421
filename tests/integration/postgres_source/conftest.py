"""Followers of fresh databases, closed before their database is dropped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from tests.support.follower import Follower
from tests.support.postgres import Database


class FollowerFactory(Protocol):
    """`follow(database, tables=[…])`: an open follower of all tables that are there."""

    def __call__(self, database: Database, **options: Any) -> Follower: ...


@pytest.fixture
def make_follower() -> Iterator[FollowerFactory]:
    """Followers that are not opened yet."""
    with contextlib.ExitStack() as stack:

        def make(database: Database, **options: Any) -> Follower:
            follower = Follower(database, **options)
            stack.callback(follower.close)
            return follower

        yield make


@pytest.fixture
def follow(make_follower: FollowerFactory) -> FollowerFactory:
    """Open followers."""

    def make(database: Database, **options: Any) -> Follower:
        return make_follower(database, **options).open()

    return make
