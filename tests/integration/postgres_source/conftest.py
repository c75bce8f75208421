"""Followers of fresh databases, closed before their database is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from tests.support.follower import closing_followers
from tests.support.postgres import Database
from tests.support.postgres_follower import PostgresFollower


class FollowerFactory(Protocol):
    """`follow(database, tables=[…])`: an open follower of all tables that are there."""

    def __call__(self, database: Database, **options: Any) -> PostgresFollower: ...


@pytest.fixture
def make_follower() -> Iterator[FollowerFactory]:
    """Followers that are not opened yet."""
    with closing_followers(PostgresFollower) as make:
        yield make


@pytest.fixture
def follow(make_follower: FollowerFactory) -> FollowerFactory:
    """Open followers."""

    def make(database: Database, **options: Any) -> PostgresFollower:
        return make_follower(database, **options).open()

    return make
