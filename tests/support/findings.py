"""Findings of a preflight check, looked up by code."""

from __future__ import annotations

from collections.abc import Callable

from cdc.spi.finding import Finding, Severity


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


# `check(url, tables=[...])`: the findings for a source named shop.
Check = Callable[..., Findings]


def statements_of(finding: Finding) -> list[str]:
    """What its fix says to run, where that is SQL."""
    return [part for part in finding.fix.split(";") if part.strip()]
