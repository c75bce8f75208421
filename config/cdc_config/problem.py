"""Problem in a file, with its place: file, line and key path, never a value that may be secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from cdc.errors import ConfigError

# A key that needs no quotes in a path; all others are shown as ["public.orders"].
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Path = tuple[str | int, ...]


class InvalidConfig(ConfigError):
    """The file has one problem or more; `problems` holds each with its own place."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        self._problems = tuple(problems)
        first = problems[0]
        super().__init__(first.message, where=first.where, remedy=first.remedy)

    @property
    def problems(self) -> tuple[ConfigError, ...]:
        return self._problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def format_path(path: Path) -> str:
    """`("sinks", "lake", "from", 0)` as `sinks.lake.from[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A remedy that names the nearest candidate, or all of them when none is near."""
    names = sorted(set(candidates))
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known here: {', '.join(names)}." if names else ""
