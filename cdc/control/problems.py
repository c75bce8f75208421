"""Errors of a configuration or of a start, as log lines; and errors that another process has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from cdc import errors
from cdc.errors import CdcError, ConfigError
from cdc_config import InvalidConfig

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


def parse_problem(document: Mapping[str, str]) -> CdcError:
    """The error of a document; a plain CdcError if its kind is not known here."""
    kind = getattr(errors, document["kind"], CdcError)
    known = kind if isinstance(kind, type) and issubclass(kind, CdcError) else CdcError
    return known(document["message"], where=document["where"], remedy=document["remedy"])


def together(problems: Sequence[CdcError]) -> CdcError:
    """The one error to raise for these: all that are of the configuration, else the first."""
    wrong = [one for one in problems if isinstance(one, ConfigError)]
    return InvalidConfig(wrong) if len(wrong) > 1 else problems[0]
