"""Followers of fresh databases, closed before their database is dropped, and the preflight check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from cdc.spi.finding import Finding
from cdc_source_mysql.checks.preflight import run_checks
from cdc_source_mysql.options import DEFAULTS, Limits, MysqlOptions
from tests.support.findings import Check, Findings, statements_of
from tests.support.follower import closing_followers
from tests.support.mysql.binaries import servers_under_test
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase, MysqlServer


class FollowerFactory(Protocol):
    """`follow(database, tables=[…])`: an open follower of all tables that are there."""

    def __call__(self, database: MysqlDatabase, **options: Any) -> MysqlFollower: ...


@pytest.fixture
def limits() -> Limits:
    """What the followers' sources take at once and how long they wait; a module may have others."""
    return DEFAULTS


@pytest.fixture
def make_follower(limits: Limits) -> Iterator[FollowerFactory]:
    """Followers that are not opened yet; `limits=` for one with its own."""
    with closing_followers(MysqlFollower) as make:
        yield lambda database, **options: make(database, **{"limits": limits, **options})


@pytest.fixture(params=servers_under_test())
def mysql_name(request: pytest.FixtureRequest) -> str:
    """Every kind of server, for tests that start their own."""
    return str(request.param)


@pytest.fixture
def check() -> Check:
    """`check(url, tables=[...])`: the findings for a source named shop."""

    def run(url: str, **options: Any) -> Findings:
        return Findings(run_checks(MysqlOptions.model_validate({"url": url, **options}), "shop"))

    return run


def apply_fix(server: MysqlServer, finding: Finding) -> None:
    """Run what a finding says, to prove that it is SQL that mends."""
    server.execute(*statements_of(finding))


def create_account(server: MysqlServer, name: str, *grants: str) -> None:
    """An account of that name with the password `secret-word` and what the grants give it."""
    server.execute(
        f"drop user if exists '{name}'@'%'", f"create user '{name}'@'%' identified by 'secret-word'"
    )
    server.execute(*(f"grant {grant} to '{name}'@'%'" for grant in grants))
