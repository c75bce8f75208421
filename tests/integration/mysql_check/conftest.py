"""Runs the preflight check against real servers."""

from __future__ import annotations

from typing import Any

import pytest

from cdc.spi.finding import Finding
from cdc_source_mysql.checks.preflight import run_checks
from cdc_source_mysql.options import MysqlOptions
from tests.support.findings import Check, Findings, statements_of
from tests.support.mysql import MysqlServer


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
