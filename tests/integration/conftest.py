"""What followers of every kind of source have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.follower import Follower


@pytest.fixture
def follow(make_follower: Callable[..., Follower]) -> Callable[..., Follower]:
    """`follow(database, tables=[…])`: an open follower of all tables that are there."""

    def make(database: Any, **options: Any) -> Follower:
        return make_follower(database, **options).open()

    return make
