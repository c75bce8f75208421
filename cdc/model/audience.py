"""Which sinks see a batch of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_ONLY, _BUT = "only", "but"


@dataclass(frozen=True, slots=True)
class Audience:
    """A set of sinks of one source: those in `sinks`, or all but those with `excluded`.

    The default is every sink, also one that is configured later. Names are those of the configuration.
    """

    sinks: frozenset[str] = frozenset()
    excluded: bool = True

    @classmethod
    def only(cls, sinks: Iterable[str]) -> Audience:
        return cls(frozenset(sinks), excluded=False)

    @property
    def is_everyone(self) -> bool:
        return self.excluded and not self.sinks

    @property
    def others(self) -> Audience:
        """Exactly the sinks that this audience leaves out."""
        return Audience(self.sinks, not self.excluded)

    def includes(self, sink: str) -> bool:
        return (sink in self.sinks) != self.excluded

    def covers(self, other: Audience) -> bool:
        """Whether every sink of `other` is in this audience."""
        return self | other == self

    def __or__(self, other: Audience) -> Audience:
        if self.excluded and other.excluded:
            return Audience(self.sinks & other.sinks)
        if self.excluded:
            return Audience(self.sinks - other.sinks)
        if other.excluded:
            return Audience(other.sinks - self.sinks)
        return Audience(self.sinks | other.sinks, excluded=False)

    def to_json(self) -> dict[str, Any] | None:
        """A JSON-able form, `None` for every sink; `from_json` returns an equal value."""
        if self.is_everyone:
            return None
        return {_BUT if self.excluded else _ONLY: sorted(self.sinks)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Audience:
        if value is None:
            return EVERYONE
        return cls(frozenset(value.get(_ONLY, value.get(_BUT, ()))), excluded=_BUT in value)


EVERYONE = Audience()
