"""Entries of the history of definitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from cdc.model import Resnapshot
from cdc_source_postgres.schema.catalog_looks import Look
from cdc_source_postgres.schema.definition import Definition, Sent
from cdc_source_postgres.schema.steps import DefinitionStep


class Place(NamedTuple):
    """A transaction of the stream: its number and where its commit begins."""

    xid: int
    commit_lsn: int


@dataclass(frozen=True, slots=True)
class Known:
    """A table as it was for a while; `selected` says whether the config selects it under that name."""

    definition: Definition
    sent: Sent | None
    selected: bool


@dataclass(slots=True)
class Entry:
    """`first` is the look that found it first; what came before that look is contained in a copy, when the
    entry is the first one. `last` is the newest look that found it still. `step` leads here from the entry
    before; None when it is not judged yet.

    `triggers` is the version of the event triggers at the newest look that counts here; `watched`: since the
    entry before, they reported all DDL. `touched` is the newest transaction whose DDL messages count here and
    that no look has confirmed; `told`: they described the table. `blind`: one of them did not, so that what
    follows is left to the next look. `looked_key` is the key at the newest look, where messages changed it.
    """

    known: Known
    first: Look | None
    last: Look | None = None
    step: DefinitionStep | None = field(default_factory=DefinitionStep)
    empty: frozenset[int] = frozenset()
    watched: bool = False
    triggers: str | None = None
    touched: Place | None = None
    told: bool = False
    blind: bool = False
    looked_key: tuple[int, ...] | None = None

    @property
    def row_key(self) -> tuple[int, ...]:
        """The key that the newest look found."""
        return self.known.definition.row_key if self.looked_key is None else self.looked_key

    def is_behind(self, look: Look) -> bool:
        """Return whether the look is older than what we know."""
        unseen = self.touched is not None and not look.contains(*self.touched)
        return unseen or (self.last is not None and look.order < self.last.order)

    def confirm(self, look: Look) -> None:
        """The look found the table like this."""
        if self.last is None or self.last.order <= look.order:
            self.last, self.triggers = look, look.triggers
        if self.touched is not None and look.contains(*self.touched):
            self.touched, self.told, self.blind = None, False, False

    def text(self, doubt: str | None) -> str:
        """For the log's memory, with why the table is in doubt."""
        values = {
            "definition": self.known.definition.text(),
            "sent": self.known.sent.text() if self.known.sent else None,
            "selected": self.known.selected,
            "until": self.first.text() if self.first else None,
            "doubt": doubt,
            "touched": self.touched,
            "told": self.told,
            "blind": self.blind,
            "key": self.looked_key,
        }
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> tuple[Self, str | None]:
        """The entry and its doubt."""
        values = json.loads(text)
        definition, sent, until = values["definition"], values["sent"], values["until"]
        known = Known(
            Definition.from_text(definition), Sent.from_text(sent) if sent else None, values["selected"]
        )
        entry = cls(known, Look.from_text(until) if until else None)
        # Older logs have none of these.
        touched = values.get("touched")
        entry.touched = Place(*touched) if touched else None
        entry.told, entry.blind = values.get("told", False), values.get("blind", False)
        key = values.get("key")
        entry.looked_key = None if key is None else tuple(key)
        return entry, values["doubt"]


class AlteredTable(NamedTuple):
    """New definition of a table without a reason to copy it; `lsn` is the place from which it was so."""

    known: Known
    lsn: int


class RelationMeaning(NamedTuple):
    """The numbers of a message's columns, and the definitions around its place."""

    numbers: Sequence[int]
    around: tuple[Definition, ...]


@dataclass(frozen=True, slots=True)
class News:
    """News that a ChangeSet carries: facts for its `memory`, and tables to copy again."""

    memory: dict[str, str | None]
    stale: tuple[Resnapshot, ...]
    altered: tuple[AlteredTable, ...] = ()
