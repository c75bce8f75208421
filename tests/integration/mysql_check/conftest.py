"""Runs the preflight check against real servers and looks its findings up by code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cdc.spi.finding import Finding, Severity
from connectors.mysql.check import run_checks
from connectors.mysql.options import MysqlOptions
from tests.support.mysql import MysqlServer


class Findings(list[Finding]):
    """The findings of one check, in order."""

    def of(self, code: str) -> Finding:
        """The only finding of that code."""
        found = self.all_of(code)
        assert len(found) == 1, f"{code}: {found or [f.code for f in self]}"
        return found[0]

    def all_of(self, code: str) -> list[Finding]:
        return [finding for finding in self if finding.code == code]

    def said(self, code: str) -> tuple[Severity, str, str]:
        """Severity, message and fix of the only finding of that code."""
        finding = self.of(code)
        return finding.severity, finding.message, finding.fix

    @property
    def errors(self) -> list[str]:
        return [finding.code for finding in self if finding.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[str]:
        return [finding.code for finding in self if finding.severity is Severity.WARNING]


Check = Callable[..., Findings]


@pytest.fixture
def check() -> Check:
    """`check(url, tables=[...])`: the findings for a source named shop."""

    def run(url: str, **options: Any) -> Findings:
        return Findings(run_checks(MysqlOptions.model_validate({"url": url, **options}), "shop"))

    return run


def apply_fix(server: MysqlServer, finding: Finding) -> None:
    """Run what a finding says, to prove that it is SQL that mends."""
    server.execute(*(part for part in finding.fix.split(";") if part.strip()))


def create_account(server: MysqlServer, name: str, *grants: str) -> None:
    """An account of that name with the password `secret-word` and what the grants give it."""
    server.execute(
        f"drop user if exists '{name}'@'%'", f"create user '{name}'@'%' identified by 'secret-word'"
    )
    server.execute(*(f"grant {grant} to '{name}'@'%'" for grant in grants))
