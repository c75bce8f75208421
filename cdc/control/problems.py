"""Errors of a configuration or of a start, as log lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cdc.errors import CdcError

REFUSED = "the configuration is refused, and the one before stays in force"


def log_problems(log: Callable[..., None], event: str, problems: Iterable[CdcError]) -> None:
    """Write an error line for each problem."""
    for problem in problems:
        log(
            event,
            level="error",
            kind=type(problem).__name__,
            where=problem.where,
            error=problem.message,
            remedy=problem.remedy,
        )
