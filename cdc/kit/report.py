"""The report that the checks of a connector write, and the words that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from cdc.errors import CdcError, SourceUnavailable
from cdc.model import shown
from cdc.spi.finding import Finding, Severity

# What to do about a server that does not answer.
UNREACHABLE = (
    "Start the server, or correct host and port in url (inside a container, localhost is the container)."
)
_AGAIN = "Check that the server still runs, then run cdc check again."
# A message that names more than this is hard to read; the finding's fix names all.
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

    @contextmanager
    def until_error(self) -> Iterator[None]:
        """Report an error of the block as the finding that ends the check."""
        try:
            yield
        except CdcError as error:
            # The daemon would try again; a check looks once.
            remedy = _AGAIN if isinstance(error, SourceUnavailable) else error.remedy
            self.error("check", f"the check ended early: {error.message}", remedy)


def listed(names: Sequence[object]) -> str:
    """Return `a, b, c` or `a, b, c, d, e and 7 more`."""
    shown = ", ".join(str(name) for name in names[:NAMES_IN_MESSAGE])
    rest = len(names) - NAMES_IN_MESSAGE
    return f"{shown} and {rest} more" if rest > 0 else shown


def named(names: Sequence[str]) -> str:
    """Return names that a database gave (columns, schemas, roles) as `listed` does."""
    return listed([shown(name) for name in names])


def counted(count: int, noun: str) -> str:
    """Return `1 table` or `3,000 tables`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
