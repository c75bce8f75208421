"""Findings of a preflight check, each with the statement that fixes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`error`: the daemon would not work; `warning`: it works, with a risk; `ok`: no problem."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of `cdc check`.

    `code` is a stable slug (`wal-level`), `message` one sentence, `fix` the statement or action that
    fixes it, `docs` a section of the documentation.
    """

    severity: Severity
    code: str
    message: str
    fix: str = ""
    docs: str = ""
