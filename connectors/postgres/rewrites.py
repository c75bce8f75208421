"""Notices what changes a table's rows without a row event: a rewrite by ALTER TABLE, or a time outside the
publication.

A table's fingerprint has three parts. Its files change with every rewrite, but also with TRUNCATE and VACUUM
FULL; its pg_attribute rows change with ALTER TABLE. Both changed at once means that ALTER TABLE rewrote the
rows, unless all it did was to drop columns or to add some that need no rewrite. Looking often keeps apart
what happened apart; a false alarm costs a copy of the table, a missed one would cost its truth. Its
membership in the publication gets a new number when it was dropped from it and added again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cdc.model import Resnapshot, TableId
from connectors.postgres.connection import Connection

MEMORY_PREFIX = "rewrite:"

# A generated column's expression can change with a rewrite and no new pg_attribute row, so its pg_attrdef row
# counts too.
_FINGERPRINTS = """
    with recursive tree (root, relid) as (
        select c.oid, c.oid from pg_class c where c.oid = any(%(relids)s::oid[])
        union all
        select t.root, i.inhrelid
          from tree t join pg_inherits i on i.inhparent = t.relid
          join pg_class c on c.oid = i.inhrelid and c.relispartition
    )
    select r.oid::int8, n.nspname, r.relname,
           (select jsonb_object_agg(a.attnum, a.xmin::text || coalesce('+' || d.xmin::text, ''))
              from pg_attribute a
              left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated <> ''
             where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped),
           (select array_agg(a.attnum::int)
              from pg_attribute a
             where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
               and (a.atthasmissing or not (a.atthasdef or a.attidentity <> ''))),
           (select md5(string_agg(c.oid || ':' || c.relfilenode, ',' order by c.oid))
              from tree t join pg_class c on c.oid = t.relid
             where t.root = r.oid and c.relfilenode <> 0),
           coalesce((select pr.oid::int8
                       from pg_publication_rel pr join pg_publication p on p.oid = pr.prpubid
                      where p.pubname = %(publication)s and pr.prrelid = r.oid), 0)
      from pg_class r join pg_namespace n on n.oid = r.relnamespace
     where r.oid = any(%(relids)s::oid[])
"""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What changes when rows change without events.

    `attributes` gives the version of each live column's catalog rows, by attnum; `harmless` are those whose
    rows before them need no rewrite (no default, or one kept in the catalog). `member` is 0 for a table that
    the publication does not list by name.
    """

    attributes: Mapping[int, str]
    files: str
    member: int
    harmless: frozenset[int] = field(default=frozenset(), compare=False)

    def text(self) -> str:
        return f"{self.attributes_text}|{self.files}|{self.member}"

    @property
    def attributes_text(self) -> str:
        """Columns grouped by version, `730=1,2,3;735=4`: most tables have one group."""
        groups: dict[str, list[str]] = {}
        for attnum, version in sorted(self.attributes.items()):
            groups.setdefault(version, []).append(str(attnum))
        return ";".join(f"{version}={','.join(attnums)}" for version, attnums in groups.items())

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        groups, files, member = text.split("|")
        attributes = {}
        for group in filter(None, groups.split(";")):
            version, _, attnums = group.partition("=")
            attributes.update(dict.fromkeys(map(int, attnums.split(",")), version))
        return cls(attributes, files, int(member))

    def same_storage(self, other: Fingerprint) -> bool:
        return (self.attributes, self.files) == (other.attributes, other.files)

    def why_stale(self, before: Fingerprint) -> str:
        """Why rows copied and streamed under `before` may not be the table's; empty when they are."""
        if self.files != before.files and self._altered_since(before):
            return "ALTER TABLE rewrote its rows"
        if before.member and self.member != before.member:
            return "it was out of the publication for a while"
        return ""

    def _altered_since(self, before: Fingerprint) -> bool:
        return any(
            version != before.attributes[attnum]
            if attnum in before.attributes
            else attnum not in self.harmless
            for attnum, version in self.attributes.items()
        )


def read_fingerprints(
    conn: Connection, publication: str, relids: Iterable[int]
) -> dict[int, tuple[TableId, Fingerprint]]:
    """Names and fingerprints as this connection's snapshot has them; dropped tables are left out."""
    parameters = {"relids": list(relids), "publication": publication}
    return {
        relid: (
            TableId(schema, name),
            Fingerprint(_by_number(versions), files or "", member, frozenset(harmless or ())),
        )
        for relid, schema, name, versions, harmless, files, member in conn.execute(_FINGERPRINTS, parameters)
    }


@dataclass(frozen=True, slots=True)
class News:
    """What a ChangeSet has to carry of a watch: facts for its `memory`, and tables to copy again."""

    memory: dict[str, str | None]
    stale: tuple[Resnapshot, ...]


class Watch:
    """The fingerprints of the rows that we hold. The coordinator learns them with a snapshot, the capture
    thread compares.

    What the next ChangeSet has to carry stays until `delivered` says that the log has it.
    """

    def __init__(self) -> None:
        self._known: dict[int, Fingerprint] = {}
        self._unsaved: dict[int, Fingerprint | None] = {}
        self._stale: dict[TableId, Resnapshot] = {}
        self._lock = threading.Lock()

    def restore(self, memory: Mapping[str, str]) -> None:
        """Begin from what the log remembers; what was learned and is not in it yet stays on top."""
        with self._lock:
            saved = {
                int(key.removeprefix(MEMORY_PREFIX)): Fingerprint.parse(text)
                for key, text in memory.items()
                if key.startswith(MEMORY_PREFIX)
            }
            self._known = {**saved, **{k: v for k, v in self._unsaved.items() if v is not None}}

    def relids(self) -> list[int]:
        with self._lock:
            return sorted(self._known)

    def knows(self, relid: int) -> bool:
        with self._lock:
            return relid in self._known

    def learn(self, relid: int, found: Fingerprint) -> None:
        """The rows that we are about to copy are of this fingerprint."""
        with self._lock:
            self._keep(relid, found)

    def compare(self, relid: int, table: TableId, found: Fingerprint) -> None:
        """Notice a difference to what is known; a table seen for the first time is learned."""
        with self._lock:
            before = self._known.get(relid)
            reason = found.why_stale(before) if before is not None else ""
            if reason:
                self._stale[table] = Resnapshot(table, reason, relid)
            self._keep(relid, found)

    def forget(self, relids: Iterable[int]) -> None:
        """The tables were dropped."""
        with self._lock:
            for relid in relids:
                if self._known.pop(relid, None) is not None:
                    self._unsaved[relid] = None

    @property
    def has_news(self) -> bool:
        return bool(self._unsaved or self._stale)

    def news(self) -> News:
        """What the next ChangeSet carries."""
        with self._lock:
            memory = {_key(relid): found.text() if found else None for relid, found in self._unsaved.items()}
            return News(memory, tuple(self._stale.values()))

    def delivered(self, news: News) -> None:
        """The log has it; what came up since stays."""
        with self._lock:
            for relid, found in list(self._unsaved.items()):
                text = found.text() if found else None
                if _key(relid) in news.memory and news.memory[_key(relid)] == text:
                    del self._unsaved[relid]
            for stale in news.stale:
                if self._stale.get(stale.table) is stale:
                    del self._stale[stale.table]

    def _keep(self, relid: int, found: Fingerprint) -> None:
        if self._known.get(relid) != found:
            self._known[relid] = found
            self._unsaved[relid] = found


def _by_number(versions: Mapping[str, str] | None) -> dict[int, str]:
    return {int(attnum): version for attnum, version in (versions or {}).items()}


def _key(relid: int) -> str:
    return f"{MEMORY_PREFIX}{relid}"
