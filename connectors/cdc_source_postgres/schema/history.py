"""The history of definitions of the tables that we hold: what each was at which place of the stream.

An entry is a definition and the looks between which it held. Two entries that follow each other make a step
(`cdc_source_postgres.schema.steps`). A Relation message is read by the entry, or the step, that its
transaction falls into, never by what the catalog has now: the stream may be hours behind. The entry that the
stream has reached is durable in the source's memory; later ones are looked up again after a restart.

What is not proven asks for a copy of the table (`Resnapshot`), once: the entry behind it is then the first,
and everything before its look is contained in the copy that follows.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from cdc.kit.selection import TableSelection
from cdc.model import Resnapshot
from cdc_source_postgres.schema import relations
from cdc_source_postgres.schema.catalog_looks import Look, Seen
from cdc_source_postgres.schema.definition import Definition
from cdc_source_postgres.schema.history_entries import (
    AlteredTable,
    Entry,
    Known,
    News,
    Place,
    RelationMeaning,
)
from cdc_source_postgres.schema.steps import Circumstances, DefinitionStep, classify, why_moved, why_unsent
from cdc_source_postgres.wire.messages import Relation as Message

MEMORY_PREFIX = "definition:"
# What releases before this one remembered of a table.
LEGACY_PREFIX = "rewrite:"
OUTSIDE = "the table was not among `tables` for a while"
UNREADABLE = "changes were skipped: its columns could not be delivered"
UNPROVEN = "some changes have other columns than the catalog had when they were made"
ATTACHED = "the table became a partition of another table"
REKEYED = "the key of the table was changed"
LEGACY = "the log was written by a release that did not store its definition"


class History:
    """Fed by looks (capture thread, and the coordinator with a snapshot) and by the stream; guards itself.

    What the next ChangeSet has to carry stays until `delivered` says that the log has it.

    What looks find while event triggers report DDL (`Entry.watched`) is judged only when the stream has
    reached them, against what was reported by then: see `cdc_source_postgres.schema.reported_history`.
    """

    def __init__(self, selection: TableSelection) -> None:
        self._selection = selection
        self._entries: dict[int, list[Entry]] = {}
        self._unsaved: dict[str, str | None] = {}
        # What snapshots taught of tables that the memory does not have yet.
        self._learned: dict[int, str] = {}
        # Tables with entries that the stream has yet to reach.
        self._ahead: set[int] = set()
        self._stale: dict[int, Resnapshot] = {}
        # Tables that the log has of a release without definitions.
        self._legacy: set[int] = set()
        self._gone: dict[int, Look] = {}
        # Why rows of a table that is not selected just now are not what we hold.
        self._doubts: dict[int, str] = {}
        self._doubted_at: dict[int, Place] = {}
        # What tables became, until the stream tells it; and where it showed each table last.
        self._altered: dict[int, AlteredTable] = {}
        self._shown: dict[int, Place] = {}
        # Keys that rows came with, where the catalog had another.
        self._foreign_keys: dict[int, object] = {}
        self._lock = threading.RLock()

    def restore(self, memory: Mapping[str, str]) -> None:
        """Begin from what the log remembers. What a snapshot taught of a table that is not in it yet stays;
        all else is found again, and with it what was asked for and did not become durable.
        """
        with self._lock:
            saved = _by_relid(memory, MEMORY_PREFIX)
            self._learned = {k: v for k, v in self._learned.items() if k not in saved}
            self._unsaved = {f"{MEMORY_PREFIX}{relid}": text for relid, text in self._learned.items()}
            self._stale, self._gone, self._doubts, self._doubted_at = {}, {}, {}, {}
            self._entries, self._ahead = {}, set()
            self._altered, self._shown = {}, {}
            for relid, text in {**saved, **self._learned}.items():
                self._restore_one(relid, text)
            self._legacy = set(_by_relid(memory, LEGACY_PREFIX))

    def relids(self) -> list[int]:
        """The tables to look at."""
        with self._lock:
            return sorted(self._entries.keys() | self._legacy)

    def knows(self, relid: int) -> bool:
        with self._lock:
            return relid in self._entries

    def leaves(self) -> dict[int, Collection[int]]:
        """The partitions that each table has as far as we know."""
        with self._lock:
            return {
                relid: entries[-1].known.definition.files.keys() for relid, entries in self._entries.items()
            }

    def leaves_of(self, relid: int) -> Collection[int]:
        """The partitions that the table has as far as we know."""
        with self._lock:
            entries = self._entries.get(relid)
            return entries[-1].known.definition.files.keys() if entries else ()

    def definition(self, relid: int) -> Definition | None:
        """The newest one."""
        with self._lock:
            entries = self._entries.get(relid)
            return entries[-1].known.definition if entries else None

    def root_of(self, relid: int) -> int | None:
        """The known table under which this one stores rows; None for a table of its own."""
        with self._lock:
            for root, entries in self._entries.items():
                if root != relid and any(node.relid == relid for node in entries[-1].known.definition.tree):
                    return root
        return None

    def learn(self, seen: Seen) -> None:
        """Take in what a snapshot sees of a table that is copied from it."""
        with self._lock:
            relid = seen.definition.relid
            is_new = relid not in self._entries
            self.observe(seen)
            if is_new:
                self._learned[relid] = str(self._unsaved[f"{MEMORY_PREFIX}{relid}"])

    def observe(self, seen: Seen) -> None:
        """Take in what a look found of one table; of a new one its rows from now on."""
        with self._lock:
            relid = seen.definition.relid
            known = Known(seen.definition, seen.sent, self._is_selected(seen.definition))
            entries = self._entries.get(relid)
            if entries is None:
                self._begin(relid, known, seen)
            elif entries[-1].is_behind(seen.look):
                return
            elif entries[-1].known == known:
                entries[-1].confirm(seen.look)
            else:
                watched = self._is_watched(entries[-1], seen.look)
                entry = Entry(known, seen.look, seen.look, None, seen.empty, watched, seen.look.triggers)
                entries.append(entry)
                self._ahead.add(relid)
                if not watched:
                    self._judge(relid, len(entries) - 1)
            self._settle_doubt(relid, seen.look)

    def confirm(self, relids: Iterable[int], look: Look) -> None:
        """Nothing has moved of these tables."""
        with self._lock:
            for relid in relids:
                for entry in self._entries.get(relid, ())[-1:]:
                    entry.confirm(look)
                if relid in self._doubts:
                    self._settle_doubt(relid, look)

    def copy_again(self, relids: Iterable[int], reason: str, look: Look) -> None:
        """Have these tables copied again: rows read up to this look, which found them, are not right."""
        with self._lock:
            for relid in relids:
                entries = self._entries.get(relid)
                if entries:
                    self._doubts[relid] = reason
                    self._doubted_at.pop(relid, None)
                    self._settle_doubt(relid, look)
                    self._save(relid, entries[0])

    def dropped(self, relids: Iterable[int], look: Look) -> None:
        """A look no longer found these tables."""
        with self._lock:
            for relid in relids:
                self._gone.setdefault(relid, look)

    def meaning(self, message: Message, place: Place) -> RelationMeaning | None:
        """Return the meaning of a Relation message of a known table; None if a newer look is needed first."""
        with self._lock:
            self._shown[message.relid] = place
            entries = self._entries[message.relid]
            following = next(
                (i for i, e in enumerate(entries) if e.first is not None and e.first.contains(*place)),
                len(entries),
            )
            if following == 0:
                return self._moot(message, entries[0])
            entry = entries[following - 1]
            if entry.last is not None and entry.last.contains(*place):
                return self._by_entry(message, place, entry)
            if following < len(entries):
                return self._by_step(message, place, following)
            return None

    def meaning_dropped(self, message: Message) -> RelationMeaning:
        """The same for a table that is gone: its last definition, or the message alone. The drop makes good
        what is not proven.
        """
        with self._lock:
            entries = self._entries.get(message.relid)
            if entries:
                return self._moot(message, entries[-1])
            return RelationMeaning(relations.as_good_as_possible(message, None), ())

    def meaning_unseen(self, message: Message, place: Place) -> RelationMeaning:
        """The same for a transaction that no look can see yet (it waits for a synchronous standby): by the
        newest definition, which the next look confirms or replaces.
        """
        with self._lock:
            entries = self._entries[message.relid]
            meaning = self._by_entry(message, place, entries[-1])
            assert meaning is not None
            return meaning

    def keyed(self, relid: int, key: Collection[int | None], place: Place) -> None:
        """Rows that the key with these columns identifies came here; none: all columns do. When the newest
        look has another key, it was changed for a while, whatever became of it.
        """
        with self._lock:
            entries = self._entries.get(relid)
            if not entries or not key or (entries[0].first is not None and entries[0].first.contains(*place)):
                return
            known = entries[-1].known
            found = (frozenset(key), known.definition.row_key, known.definition.keys)
            # Once for a key that the catalog has in another form permanently.
            if found[0] == set(entries[-1].row_key) or self._foreign_keys.get(relid) == found:
                return
            self._foreign_keys[relid] = found
            if known.selected:
                self._ask_for_another_copy(relid, REKEYED, place)

    def left_out(self, relid: int, place: Place) -> None:
        """The stream showed the table under a name that is not selected: what follows is not captured."""
        with self._lock:
            if relid in self._entries:
                self._doubts[relid], self._doubted_at[relid] = OUTSIDE, place
                self._save(relid, self._entries[relid][0])

    def unreadable(self, relid: int, place: Place) -> None:
        """Rows came here that no schema can hold. The table is copied again once the catalog shows one that
        can, which is behind all rows that were skipped.
        """
        with self._lock:
            if relid in self._entries:
                self._ask_for_another_copy(relid, UNREADABLE, place)

    def take_altered(self) -> tuple[AlteredTable, ...]:
        """Return the definitions changed since the last call, for sinks to follow without a row."""
        with self._lock:
            altered, self._altered = self._altered, {}
            return tuple(altered.values())

    def passed(self, lsn: int) -> None:
        """The stream is here: forget what was before."""
        with self._lock:
            for relid in list(self._ahead):
                entries = self._entries.get(relid, [])
                while len(entries) > 1 and (entries[1].first is None or entries[1].first.lsn <= lsn):
                    self._advance(relid, entries)
                if entries and entries[0].first is not None and entries[0].first.lsn <= lsn:
                    entries[0].first = None
                    self._save(relid, entries[0])
                if len(entries) <= 1 and not (entries and entries[0].first):
                    self._ahead.discard(relid)
            for relid, look in list(self._gone.items()):
                if look.lsn <= lsn:
                    del self._gone[relid]
                    self._entries.pop(relid, None)
                    self._legacy.discard(relid)
                    self._unsaved[f"{MEMORY_PREFIX}{relid}"] = None

    @property
    def has_changes(self) -> bool:
        return bool(self._unsaved or self._stale)

    def news(self) -> News:
        """Return the news for the next ChangeSet."""
        with self._lock:
            return News(dict(self._unsaved), tuple(self._stale.values()))

    def delivered(self, news: News) -> None:
        """The log has it, or with `memory` empty, will have it with the rest of the transaction."""
        with self._lock:
            for key, text in news.memory.items():
                if key in self._unsaved and self._unsaved[key] == text:
                    del self._unsaved[key]
                if key.startswith(MEMORY_PREFIX):
                    self._learned.pop(int(key.removeprefix(MEMORY_PREFIX)), None)
            for stale in news.stale:
                if stale.relation is not None and self._stale.get(stale.relation) is stale:
                    del self._stale[stale.relation]

    def _begin(self, relid: int, known: Known, seen: Seen) -> None:
        entry = Entry(known, seen.look, seen.look, triggers=seen.look.triggers)
        self._entries[relid] = [entry]
        self._ahead.add(relid)
        self._save(relid, entry)
        if relid in self._legacy:
            self._legacy.discard(relid)
            self._unsaved[f"{LEGACY_PREFIX}{relid}"] = None
            self._stale[relid] = Resnapshot(known.definition.table, LEGACY, relid)

    def _advance(self, relid: int, entries: list[Entry]) -> None:
        """The stream has passed the second entry's look."""
        if entries[1].step is None:
            self._judge(relid, 1)
        if len(entries) > 1:
            self._note_altered(relid, entries[0].known, entries[1])
            del entries[0]
            entries[0].first, entries[0].step = None, DefinitionStep()
        self._save(relid, entries[0])

    def _note_altered(self, relid: int, before: Known, after: Entry) -> None:
        """Return whether rows after the catalog was read have shown this definition, or a newer one."""
        shown, look = self._shown.get(relid), after.first
        if look is not None and (shown is None or look.contains(*shown)):
            self._note_known(relid, before, after.known, look.lsn)

    def _note_known(self, relid: int, before: Known, after: Known, lsn: int) -> None:
        if after.selected and _names(before.definition) != _names(after.definition):
            self._altered[relid] = AlteredTable(after, lsn)

    def _is_watched(self, _before: Entry, _look: Look) -> bool:
        """Return whether all DDL between the two is reported."""
        return False

    def _judge(self, relid: int, index: int) -> None:
        entries = self._entries[relid]
        entry = entries[index]
        entry.step = self._step_between(entries[index - 1], entry)
        if entry.step.reason:
            self._ask(relid, entries, index, entry.step.reason, entry.first)

    def _step_between(self, before: Entry, after: Entry) -> DefinitionStep:
        circumstances = Circumstances(empty=after.empty, triggers=bool(after.triggers))
        step = self._step(before.known, after.known, circumstances)
        return step if step.reason else self._rekeyed(before, after, step)

    def _rekeyed(self, before: Entry, after: Entry, step: DefinitionStep) -> DefinitionStep:
        """Changes under another key can't be put together with those before, where a sink keeps them all."""
        former = before.row_key
        return (
            DefinitionStep(REKEYED) if former and former != after.row_key and after.known.selected else step
        )

    def _step(self, before: Known, after: Known, circumstances: Circumstances) -> DefinitionStep:
        if not after.selected:
            return DefinitionStep()
        if not before.selected:
            return DefinitionStep(OUTSIDE)
        if before.sent is not None and after.sent is not None:
            reason = why_unsent(before.sent, after.sent)
            if reason and after.definition.ancestors and not before.definition.ancestors:
                # The publication lists it by another table from then on, without having been altered.
                reason = ATTACHED
            if not reason and after.sent.is_by_schema:
                reason = why_moved(before.definition, after.definition, circumstances)
            if reason:
                return DefinitionStep(reason)
        listed = all(k.sent and str(k.definition.relid) in k.sent.members for k in (before, after))
        return classify(before.definition, after.definition, replace(circumstances, listed=listed))

    def _ask(self, relid: int, entries: list[Entry], index: int, reason: str, until: Look | None) -> None:
        """Have the table copied again; what came before `until` is contained in the copy."""
        entry = entries[index]
        self._altered.pop(relid, None)
        self._stale[relid] = Resnapshot(entry.known.definition.table, reason, relid)
        del entries[:index]
        entry.first, entry.step = until, DefinitionStep()
        self._ahead.add(relid)
        self._save(relid, entry)

    def _settle_doubt(self, relid: int, look: Look) -> None:
        """A table in doubt that is selected, as a look after the doubt shows it, is copied again."""
        entries, place = self._entries[relid], self._doubted_at.get(relid)
        is_later = place is None or look.contains(*place)
        if relid in self._doubts and entries[-1].known.selected and is_later:
            reason = self._doubts.pop(relid)
            self._ask(relid, entries, len(entries) - 1, reason, look)

    def _moot(self, message: Message, entry: Entry) -> RelationMeaning:
        """Rows that a copy contains."""
        definition = entry.known.definition
        numbers = relations.exact(message, definition, entry.known.sent)
        return RelationMeaning(numbers or relations.as_good_as_possible(message, definition), (definition,))

    def _by_entry(
        self, message: Message, place: Place, entry: Entry, *, must: bool = True
    ) -> RelationMeaning | None:
        definition = entry.known.definition
        numbers = relations.exact(message, definition, entry.known.sent)
        if numbers is not None:
            return RelationMeaning(numbers, (definition,))
        return self._unproven(message, place) if must else None

    def _by_step(self, message: Message, place: Place, index: int) -> RelationMeaning:
        entries = self._entries[message.relid]
        before, entry = entries[index - 1].known, entries[index]
        if entry.watched and not entries[index - 1].blind:
            meaning = self._by_entry(message, place, entries[index - 1], must=False)
            if meaning is not None:
                return meaning
        if entry.step is None:
            self._judge(message.relid, index)
        if entry.step is not None and not entry.step.reason and entries[0] is not entry:
            definitions = (before.definition, entry.known.definition)
            numbers = relations.between(message, *definitions, entry.known.sent, entry.step.reading)
            if numbers is not None:
                return RelationMeaning(numbers, definitions)
            return self._unproven(message, place)
        return self._moot(message, entry)

    def _unproven(self, message: Message, place: Place) -> RelationMeaning:
        """A message that no definition explains: whatever follows in its transaction is copied again."""
        self._ask_for_another_copy(message.relid, UNPROVEN, place)
        return self._moot(message, self._entries[message.relid][-1])

    def _ask_for_another_copy(self, relid: int, reason: str, place: Place) -> None:
        """Have the table copied again, with what follows in the transaction at this place."""
        entries = self._entries[relid]
        newest = entries[-1]
        until = newest.last if newest.last is not None and newest.last.contains(*place) else None
        self._ask(relid, entries, len(entries) - 1, reason, until or Look(place.commit_lsn + 1))

    def _is_selected(self, definition: Definition) -> bool:
        return self._selection.matches(definition.table)

    def _save(self, relid: int, entry: Entry) -> None:
        self._unsaved[f"{MEMORY_PREFIX}{relid}"] = entry.text(self._doubts.get(relid))

    def _restore_one(self, relid: int, text: str) -> None:
        entry, doubt = Entry.from_text(text)
        self._entries[relid] = [entry]
        if entry.first is not None:
            self._ahead.add(relid)
        if doubt:
            self._doubts[relid] = doubt


def _names(definition: Definition) -> tuple[object, ...]:
    """The names that sinks have of a table, and what they name: rows may have shown a column that came and
    went. Another key has the table copied again.
    """
    columns = tuple(column.meaning for column in definition.columns)
    return definition.table, columns, definition.attributes


def _by_relid(memory: Mapping[str, str], prefix: str) -> dict[int, str]:
    return {int(key.removeprefix(prefix)): text for key, text in memory.items() if key.startswith(prefix)}
