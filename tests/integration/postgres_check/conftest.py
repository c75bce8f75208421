"""Runs the preflight check against real servers and looks its findings up by code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cdc.spi.finding import Finding, Severity
from connectors.postgres.check import run_checks
from connectors.postgres.options import PostgresOptions


class Findings(list[Finding]):
    """The findings of one check, in order."""

    def of(self, code: str) -> Finding:
        """The only finding of that code."""
        found = [finding for finding in self if finding.code == code]
        assert len(found) == 1, f"{code}: {found or [f.code for f in self]}"
        return found[0]

    def all_of(self, code: str) -> list[Finding]:
        return [finding for finding in self if finding.code == code]

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
        return Findings(run_checks(PostgresOptions.model_validate({"url": url, **options}), "shop"))

    return run


def apply_fix(
    execute: Callable[[str], Any], finding: Finding, statements: Sequence[str] | None = None
) -> None:
    """Run what a finding says, to prove that it is SQL that mends."""
    for statement in statements or [part for part in finding.fix.split(";") if part.strip()]:
        execute(statement)
