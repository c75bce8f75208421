"""Runs the preflight check against real servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cdc.spi.finding import Finding
from cdc_source_postgres.check import run_checks
from cdc_source_postgres.options import PostgresOptions
from tests.support.findings import Check, Findings, statements_of


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
    for statement in statements or statements_of(finding):
        execute(statement)
