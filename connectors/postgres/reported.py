"""The history of definitions where event triggers report DDL: each statement is a step of its own.

Looks go on as before. A look's entry is *watched* when the event triggers stood unaltered since the look
before: then the messages of the stream account for all DDL in between, and what they don't account for was
none, or was reported without a description. Messages can be forged, so the chain that they make has to end in
exactly what the next look finds; else the table is copied again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cdc.spi.selection import TableSelection
from connectors.postgres.definition import ColumnDefinition, Definition
from connectors.postgres.entries import Entry, Known, Place
from connectors.postgres.history import OUTSIDE, History
from connectors.postgres.looks import Look, Seen
from connectors.postgres.steps import Circumstances, Step

# The version of the event triggers, and the position of the first look that saw it.
MEMORY_TRIGGERS = "ddl-triggers"
UNCONFIRMED = "the catalog differs from what the event triggers reported"


class ReportedHistory(History):
    """`listens` says whether the stream brings messages at all."""

    def __init__(self, selection: TableSelection) -> None:
        super().__init__(selection)
        self.listens = False
        self._triggers, self._since = "", 0

    def restore(self, memory: Mapping[str, str], resumed: int = 0) -> None:
        """`resumed` is the position that the stream goes on from."""
        with self._lock:
            super().restore(memory)
            version, _, since = memory.get(MEMORY_TRIGGERS, "|0").rpartition("|")
            self._triggers, self._since = version, int(since)
            for entries in self._entries.values():
                # They stood already where the stream goes on.
                entries[0].triggers = version if self._since <= resumed else None

    @property
    def is_reported(self) -> bool:
        """Whether the event triggers stood at the newest look."""
        return self.listens and bool(self._triggers)

    def sees_triggers(self, look: Look) -> None:
        """Note what the look found of the event triggers. To be called before what it found of tables."""
        with self._lock:
            if look.triggers is not None and look.triggers != self._triggers and look.lsn >= self._since:
                self._triggers, self._since = look.triggers, look.lsn
                self._unsaved[MEMORY_TRIGGERS] = f"{look.triggers}|{look.lsn}"

    def observe(self, seen: Seen) -> None:
        with self._lock:
            self.sees_triggers(seen.look)
            super().observe(seen)

    def current(self, relid: int, place: Place) -> Definition | None:
        """What a known table was right before this place of the stream; None where it does not matter: a
        copy, or a look that is all we know of the table, contains the place.
        """
        with self._lock:
            entry = self._at(relid, place)
            return entry.known.definition if entry is not None else None

    def told(self, place: Place, definition: Definition, *, rewriting: int = 0, must: bool = False) -> bool:
        """Take in what the table is from here on, inside of its transaction; to be called in the order of the
        stream. `rewriting` are the reason bits of a `table_rewrite` event. False when a look at the table is
        needed first: call again after it, with `must` if need be.
        """
        with self._lock:
            relid = definition.relid
            base = self._at(relid, place)
            if base is None or base.blind:
                return True
            entries = self._entries[relid]
            known = Known(definition, base.known.sent, self._is_selected(definition))
            step = self._step(base.known, known, Circumstances(watched=True, rewriting=rewriting))
            reason = step.reason or (self._doubts.get(relid, "") if known.selected else "")
            newest = entries[-1]
            is_seen = newest.last is not None and newest.last.contains(*place)
            if known == base.known and not reason:
                return True
            if reason and not is_seen and not must:
                return False
            if reason and is_seen:
                self._copy_of_newest(relid, reason, place)
                return True
            entries[0] = replace(base, known=known, last=None, touched=place, told=True)
            self._save(relid, entries[0])
            if reason:
                self._doubts.pop(relid, None)
                self._ask(relid, entries, 0, reason, Look(place.commit_lsn))
            return True

    def unexplained(self, relids: Iterable[int], place: Place) -> None:
        """Something happened to these tables here that no message describes."""
        with self._lock:
            for relid in relids:
                base = self._at(relid, place)
                if base is not None:
                    base.touched, base.blind, base.last = place, True, None
                    self._save(relid, base)

    def _at(self, relid: int, place: Place) -> Entry | None:
        """The entry that holds at this place, which is then the first one."""
        entries = self._entries.get(relid)
        if entries is None:
            return None
        while len(entries) > 1 and entries[1].first is not None and not entries[1].first.contains(*place):
            self._advance(relid, entries)
        base = entries[0]
        # A look behind this place found the table still like this, or is the first that we know of it.
        settled = [look for look in (base.first, base.last) if look is not None and look.contains(*place)]
        return None if settled else base

    def _copy_of_newest(self, relid: int, reason: str, place: Place) -> None:
        """A copy begins behind the newest look, so it contains whatever happened up to it."""
        entries = self._entries[relid]
        newest = entries[-1]
        if newest.known.selected:
            self._doubts.pop(relid, None)
            self._ask(relid, entries, len(entries) - 1, reason, newest.last)
        else:
            # It is copied when it is selected again.
            self._doubts[relid], self._doubted_at[relid] = reason or OUTSIDE, place
            self._save(relid, entries[0])

    def _is_watched(self, _before: Entry, _look: Look) -> bool:
        return self.listens and bool(_look.triggers) and _look.triggers == _before.triggers

    def _step_between(self, before: Entry, after: Entry) -> Step:
        then, now = before.known.definition, after.known.definition
        if before.told and _described(then) != _described(now):
            return Step(UNCONFIRMED) if after.known.selected else Step()
        if not after.watched or before.blind:
            return super()._step_between(before, after)
        same = _meanings(then) == _meanings(now)
        if same and now.persistence == then.persistence:
            # Rows of the catalog moved by what is no DDL of the table: a GRANT, VACUUM FULL.
            known = replace(after.known, definition=replace(now, columns=then.columns))
            return self._step(before.known, known, Circumstances(watched=True, empty=after.empty))
        return super()._step_between(before, after)


def _described(definition: Definition) -> tuple[object, ...]:
    """What a message says of a table that only DDL of the table changes."""
    return (definition.attributes, definition.persistence, definition.columns)


def _meanings(definition: Definition) -> tuple[int, tuple[ColumnDefinition, ...]]:
    columns = tuple(replace(c, missing=None, version="", default_version="") for c in definition.columns)
    return definition.attributes, columns
