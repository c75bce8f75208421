"""Followers of fresh databases, closed before their database is dropped, and the preflight check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest

from cdc.spi.finding import Finding
from cdc_source_postgres.checks.preflight import run_checks
from cdc_source_postgres.limits import DEFAULTS, Limits
from cdc_source_postgres.options import PostgresOptions
from tests.support.findings import Check, Findings, statements_of
from tests.support.follower import closing_followers
from tests.support.postgres.follower import PostgresFollower
from tests.support.postgres.server import Database


class FollowerFactory(Protocol):
    """`follow(database, tables=[…])`: an open follower of all tables that are there."""

    def __call__(self, database: Database, **options: Any) -> PostgresFollower: ...


@pytest.fixture
def limits() -> Limits:
    """What the followers' sources take at once and how long they wait; a module may have others."""
    return DEFAULTS


@pytest.fixture
def make_follower(limits: Limits) -> Iterator[FollowerFactory]:
    """Followers that are not opened yet; `limits=` for one with its own."""
    with closing_followers(PostgresFollower) as make:
        yield lambda database, **options: make(database, **{"limits": limits, **options})


@pytest.fixture
def check() -> Check:
    """`check(url, tables=[...])`: the findings for a source named shop."""

    def run(url: str, *, limits: Limits = DEFAULTS, **options: Any) -> Findings:
        given = PostgresOptions.model_validate({"url": url, **options})
        return Findings(run_checks(given, "shop", limits=limits))

    return run


def apply_fix(
    execute: Callable[[str], Any], finding: Finding, statements: Sequence[str] | None = None
) -> None:
    """Run what a finding says, to prove that it is SQL that mends."""
    for statement in statements or statements_of(finding):
        execute(statement)
