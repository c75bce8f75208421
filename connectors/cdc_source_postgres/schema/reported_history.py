"""The history of definitions where event triggers report DDL: each statement is a step of its own.

Looks continue as before. A look's entry is *watched* if the event triggers were unaltered since the look
before: then the messages of the stream account for all DDL in between, and what they don't account for was
none, or was reported without a description. Messages can be forged, so the chain that they make has to end in
exactly what the next look finds; else the table is copied again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cdc.kit.selection import TableSelection
from cdc_source_postgres.schema.catalog_looks import Look, Seen, is_since
from cdc_source_postgres.schema.definition import Definition
from cdc_source_postgres.schema.history import OUTSIDE, History
from cdc_source_postgres.schema.history_entries import Entry, Known, Place
from cdc_source_postgres.schema.steps import Circumstances, DefinitionStep

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
        """`resumed` is the position that the stream continues from."""
        with self._lock:
            super().restore(memory)
            version, _, since = memory.get(MEMORY_TRIGGERS, "|0").rpartition("|")
            self._triggers, self._since = version, int(since)
            for entries in self._entries.values():
                # They existed already where the stream continues.
                entries[0].triggers = version if self._since <= resumed else None

    @property
    def is_reported(self) -> bool:
        """Whether the event triggers existed at the newest look."""
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
            relid = seen.definition.relid
            super().observe(seen)
            self._settle_key(relid)

    def confirm(self, relids: Iterable[int], look: Look) -> None:
        with self._lock:
            super().confirm(relids, look)
            for relid in relids:
                self._settle_key(relid)

    def current(self, relid: int, place: Place) -> Definition | None:
        """Return the definition of a known table right before this place of the stream; None where it does
        not matter: a copy, or a look that is all we know of the table, contains the place.
        """
        with self._lock:
            entry = self._at(relid, place)
            return entry.known.definition if entry is not None else None

    def report(self, place: Place, definition: Definition, *, rewriting: int = 0, must: bool = False) -> bool:
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
            entries[0] = replace(
                base, known=known, last=None, touched=place, told=True, looked_key=base.row_key
            )
            self._save(relid, entries[0])
            self._shown[relid] = place
            self._altered.pop(relid, None)
            if reason:
                self._doubts.pop(relid, None)
                self._ask(relid, entries, 0, reason, Look(place.commit_lsn))
            else:
                self._note_known(relid, base.known, known, place.commit_lsn)
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
        # A look after this place found the table still like this, or is the first that we know of it.
        settled = [look for look in (base.first, base.last) if look is not None and look.contains(*place)]
        return None if settled else base

    def _copy_of_newest(self, relid: int, reason: str, place: Place) -> None:
        """A copy begins after the newest look, so it contains whatever happened up to it."""
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

    def _step_between(self, before: Entry, after: Entry) -> DefinitionStep:
        then, now = before.known.definition, after.known.definition
        if before.told and not _confirms(now, then):
            return DefinitionStep(UNCONFIRMED) if after.known.selected else DefinitionStep()
        if not after.watched or before.blind or not _same_rows(then, now):
            return super()._step_between(before, after)
        if _may_be_rewritten(then, now):
            return super()._step_between(before, after)
        # Where rows of the catalog moved, it was by what is no DDL of the table: a GRANT, or VACUUM FULL.
        same = replace(after.known, definition=replace(now, columns=then.columns))
        step = self._step(before.known, same, Circumstances(watched=True, empty=after.empty))
        return step if step.reason else self._rekeyed(before, after, step)

    def _settle_key(self, relid: int) -> None:
        """A look has confirmed what messages said of a key."""
        for entry in self._entries.get(relid, ())[-1:]:
            if entry.touched is None and entry.looked_key is not None:
                step = self._rekeyed(entry, replace(entry, looked_key=None), DefinitionStep())
                entry.looked_key = None
                if step.reason:
                    entries = self._entries[relid]
                    self._ask(relid, entries, len(entries) - 1, step.reason, entry.last)


def _confirms(look: Definition, told: Definition) -> bool:
    """Return whether a look finds what messages said: the same meaning, in catalog rows that are no older."""
    return _meaning(look) == _meaning(told) and all(
        is_since(int(seen.version), int(said.version))
        for seen, said in zip(look.columns, told.columns, strict=True)
    )


def _meaning(definition: Definition) -> tuple[object, ...]:
    """Return the parts of a definition that only reported DDL of the table changes."""
    columns = tuple(column.meaning for column in definition.columns)
    return definition.attributes, definition.persistence, columns


def _may_be_rewritten(then: Definition, now: Definition) -> bool:
    """Return whether rows of columns moved and files too: a GRANT and VACUUM FULL do that, but also an ALTER
    that nothing reported, of a superuser who turned event triggers off.
    """
    files = now.files
    moved = any(relid in files and node.file != files[relid].file for relid, node in then.files.items())
    return moved and [(c.version, c.default_version) for c in then.columns] != [
        (c.version, c.default_version) for c in now.columns
    ]


def _same_rows(then: Definition, now: Definition) -> bool:
    """Return whether no DDL lies between the two, and rows older than a column still have what they had:
    VACUUM FULL takes missing values out of the catalog, where sinks find them for rows that they have.
    """
    return _meaning(then) == _meaning(now) and all(
        old.missing in (None, new.missing) for old, new in zip(then.columns, now.columns, strict=True)
    )
