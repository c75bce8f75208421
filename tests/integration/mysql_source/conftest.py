"""Followers of fresh databases, closed before their database is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from tests.support.follower import closing_followers
from tests.support.mysql import MysqlDatabase
from tests.support.mysql_binaries import servers_under_test
from tests.support.mysql_follower import MysqlFollower


class FollowerFactory(Protocol):
    """`follow(database, tables=[…])`: an open follower of all tables that are there."""

    def __call__(self, database: MysqlDatabase, **options: Any) -> MysqlFollower: ...


@pytest.fixture
def make_follower() -> Iterator[FollowerFactory]:
    """Followers that are not opened yet."""
    with closing_followers(MysqlFollower) as make:
        yield make


@pytest.fixture
def follow(make_follower: FollowerFactory) -> FollowerFactory:
    """Open followers."""

    def make(database: MysqlDatabase, **options: Any) -> MysqlFollower:
        return make_follower(database, **options).open()

    return make


@pytest.fixture(params=servers_under_test())
def mysql_name(request: pytest.FixtureRequest) -> str:
    """Every kind of server, for tests that start their own."""
    return str(request.param)
