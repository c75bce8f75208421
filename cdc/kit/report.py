"""The report that the checks of a connector write, and the words that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from cdc.model import shown
from cdc.spi.finding import Finding, Severity

# A message that names more than this is no sentence any more; the fix beside it names all.
NAMES_IN_MESSAGE = 5


@dataclass(slots=True)
class Report:
    """The findings so far, in the order of the checks. A connector with a section of the documentation of its
    own names it in `docs`.
    """

    docs: ClassVar[str] = ""
    findings: list[Finding] = field(default_factory=list)

    def ok(self, code: str, message: str, fix: str = "") -> None:
        self.findings.append(Finding(Severity.OK, code, message, fix))

    def warn(self, code: str, message: str, fix: str = "") -> None:
        self.findings.append(Finding(Severity.WARNING, code, message, fix, self.docs))

    def error(self, code: str, message: str, fix: str = "") -> None:
        self.findings.append(Finding(Severity.ERROR, code, message, fix, self.docs))


def listed(names: Sequence[object]) -> str:
    """`a, b, c` or `a, b, c, d, e and 7 more`."""
    shown = ", ".join(str(name) for name in names[:NAMES_IN_MESSAGE])
    rest = len(names) - NAMES_IN_MESSAGE
    return f"{shown} and {rest} more" if rest > 0 else shown


def named(names: Sequence[str]) -> str:
    """As `listed`, of names that a database gave: columns, schemas, roles."""
    return listed([shown(name) for name in names])


def counted(count: int, noun: str) -> str:
    """`1 table`, `3,000 tables`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
