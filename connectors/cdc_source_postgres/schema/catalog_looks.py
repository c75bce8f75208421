"""Looks at the catalog: what tables are, and at which place of the stream they are that.

A look is one MVCC snapshot of the catalog. Whether a transaction of the stream came before it is asked of the
snapshot itself, by the transaction's number: positions would not do, because a commit is in the WAL for a
moment (with synchronous replication, for long) before anybody can see it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg

from cdc_source_postgres.connection import Connection
from cdc_source_postgres.schema.catalog import one_view
from cdc_source_postgres.schema.ddl_objects import standing_version
from cdc_source_postgres.schema.definition import Definition, PublicationDefinition, Sent
from cdc_source_postgres.schema.definition_sql import definition_query, publication_query
from cdc_source_postgres.wire.messages import lsn_int, lsn_text

# Transaction ids in the stream have 32 bits.
_EPOCH = 1 << 32
# A partition that somebody has locked for longer is not asked for its size: it then counts as one with rows.
_SIZE_TIMEOUT = "100ms"

_SNAPSHOT = "select pg_current_snapshot()::text"
# At or after every commit that a snapshot taken before can see.
_REACHED = """
    select case when pg_is_in_recovery()
                then greatest(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn())
                else pg_current_wal_insert_lsn() end::text
"""
_SIZES = "select r.relid::int8 from unnest(%s::oid[]) as r (relid) where pg_relation_size(r.relid) = 0"
# Moves whenever the definition of one of the tables does, and costs a pass over the catalog instead of a
# dozen lookups a table. pg_class rows are updated in place for statistics alone.
_MARKS = """
    with recursive tree (root, relid) as (
        select w.relid, w.relid from unnest(%(relids)s::oid[]) as w (relid)
        union all
        select t.root, i.inhrelid
          from tree t
          join pg_inherits i on i.inhparent = t.relid
          join pg_class c on c.oid = i.inhrelid and c.relispartition
    ), classes as (
        select t.root,
               sum(hashtextextended(
                   concat_ws(':', c.oid, c.xmin, c.relfilenode, n.nspname, i.xmin), 0)) as mark
          from tree t join pg_class c on c.oid = t.relid
          join pg_namespace n on n.oid = c.relnamespace
          left join pg_inherits i on i.inhrelid = c.oid
         group by t.root
    ), attributes as (
        select a.attrelid, sum(hashint8extended(a.attnum, a.xmin::text::int8)) as mark
          from pg_attribute a
         where a.attnum > 0 and a.attrelid = any(%(relids)s::oid[])
         group by a.attrelid
    ), defaults as (
        select d.adrelid, sum(hashint8extended(d.adnum, d.xmin::text::int8)) as mark
          from pg_attrdef d where d.adrelid = any(%(relids)s::oid[]) group by d.adrelid
    ), indexes as (
        select x.indrelid, sum(hashint8extended(x.indexrelid::int8, x.xmin::text::int8)) as mark
          from pg_index x
         where x.indrelid = any(%(relids)s::oid[]) and (x.indisprimary or x.indisreplident)
         group by x.indrelid
    ), members as (
        select m.prrelid, sum(hashint8extended(m.oid::int8, m.xmin::text::int8)) as mark
          from pg_publication_rel m join pg_publication p on p.oid = m.prpubid
         where p.pubname = %(publication)s group by m.prrelid
    )
    select c.root::int8, concat_ws(',', c.mark, a.mark, d.mark, x.mark, m.mark)
      from classes c
      left join members m on m.prrelid = c.root
      left join attributes a on a.attrelid = c.root
      left join defaults d on d.adrelid = c.root
      left join indexes x on x.indrelid = c.root
"""


def is_since(number: int, other: int) -> bool:
    """Return whether the transaction of that 32-bit number is the other one, or began after it."""
    return (number - other) % _EPOCH < _EPOCH // 2


@dataclass(frozen=True, slots=True)
class Look:
    """One view of the catalog: `lsn` is at or after every commit that it contains, `snapshot` is the
    server's text `xmin:xmax:xip,xip`; without one the position alone counts. `triggers` is the version of the
    event triggers that report DDL, empty when they don't, None when nobody looked.
    """

    lsn: int
    snapshot: str = ""
    _running: frozenset[int] = field(default=frozenset(), compare=False, repr=False)
    triggers: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, lsn: int, snapshot: str, triggers: str | None = None) -> Self:
        running = snapshot.rpartition(":")[2]
        return cls(lsn, snapshot, frozenset(map(int, filter(None, running.split(",")))), triggers)

    def contains(self, xid: int, commit_lsn: int) -> bool:
        """Return whether the transaction was over for whoever looked."""
        if commit_lsn >= self.lsn:
            return False
        if not self.snapshot:
            return True
        oldest, following = map(int, self.snapshot.split(":")[:2])
        distance = (xid - following) % _EPOCH
        full = following + (distance if distance < _EPOCH // 2 else distance - _EPOCH)
        return full < oldest or (full < following and full not in self._running)

    @property
    def order(self) -> tuple[int, int, int]:
        """Orders looks by what they can see: later ones see more."""
        following = int(self.snapshot.split(":")[1]) if self.snapshot else 0
        return (following, -len(self._running), self.lsn)

    def text(self) -> str:
        return f"{lsn_text(self.lsn)} {self.snapshot}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        lsn, _, snapshot = text.partition(" ")
        return cls.of(lsn_int(lsn), snapshot)


@dataclass(frozen=True, slots=True)
class Seen:
    """Findings of a look on one table; `sent` is None without a publication. `empty` are the partitions that
    have no rows.
    """

    look: Look
    definition: Definition
    sent: Sent | None
    empty: frozenset[int] = frozenset()

    def same_storage(self, other: Seen) -> bool:
        """Return whether both read the same rows: nothing was altered, rewritten or truncated between the
        two.
        """
        return self.definition == other.definition


def read_seen(conn: Connection, publication: str, relids: Iterable[int]) -> dict[int, Seen]:
    """Read the relations in this connection's snapshot; skip those that are gone."""
    with one_view(conn):
        view, published, definitions = _read(conn, publication, list(relids))
    look = Look.of(_reached(conn), *view)
    return {relid: _seen(look, published, found) for relid, found in definitions.items()}


class Looker:
    """Looks at many tables again and again, and reads only those that moved. Used by one thread."""

    def __init__(self, publication: str) -> None:
        self._publication = publication
        self._marks: dict[int, str] = {}
        # Tables whose definition depends on more than their marks: on types, or on tables above them.
        self._reaching: dict[int, bool] = {}
        self._general: PublicationDefinition | None = None

    def look(
        self, conn: Connection, relids: Sequence[int], leaves: Mapping[int, Collection[int]]
    ) -> tuple[Look, dict[int, Seen], set[int], PublicationDefinition | None]:
        """One look at all of the relations: those that may have moved, those that are gone, the publication.

        `leaves` are the partitions known of each; the others are asked whether they have rows.
        """
        with one_view(conn):
            parameters = {"relids": list(relids), "publication": self._publication}
            marks: dict[int, str] = dict(conn.execute(_MARKS, parameters).fetchall())
            general = _read_publication(conn, self._publication, [])
            if general != self._general:
                self._marks = {}
            moved = [relid for relid in relids if relid in marks and self._has_moved(relid, marks[relid])]
            view, published, definitions = _read(conn, self._publication, moved)
        look = Look.of(_reached(conn), *view)
        empty = _empty(conn, definitions.values(), leaves)
        self._marks.update(marks)
        self._general = general
        self._reaching.update((r, bool(found.types or found.ancestors)) for r, found in definitions.items())
        seen = {relid: _seen(look, published, found, empty) for relid, found in definitions.items()}
        return look, seen, set(relids) - marks.keys(), published

    def forget(self) -> None:
        """Read everything at the next look."""
        self._marks, self._reaching, self._general = {}, {}, None

    def _has_moved(self, relid: int, mark: str) -> bool:
        return self._reaching.get(relid, True) or mark != self._marks.get(relid)


def look_at(conn: Connection, publication: str, relid: int, leaves: Collection[int]) -> Seen | None:
    """One table, now; None when it is gone."""
    with one_view(conn):
        view, published, definitions = _read(conn, publication, [relid])
    look = Look.of(_reached(conn), *view)
    if relid not in definitions:
        return None
    empty = _empty(conn, definitions.values(), {relid: leaves})
    return _seen(look, published, definitions[relid], empty)


def _read(
    conn: Connection, publication: str, relids: Sequence[int]
) -> tuple[tuple[str, str], PublicationDefinition | None, dict[int, Definition]]:
    """The snapshot and the version of the event triggers in it, the publication, the tables."""
    version = conn.info.server_version
    view = (_value(conn, _SNAPSHOT), standing_version(conn))
    query = (
        f"select w.relid::int8, ({definition_query(version, 'w.relid')}) from unnest(%s::oid[]) as w (relid)"
    )
    found = conn.execute(query.encode(), (list(relids),)).fetchall() if relids else []
    definitions = {relid: Definition.parse(document) for relid, document in found if document}
    above = {ancestor for definition in definitions.values() for ancestor in definition.ancestors}
    return view, _read_publication(conn, publication, [*relids, *above]), definitions


def _read_publication(
    conn: Connection, publication: str, relids: Sequence[int]
) -> PublicationDefinition | None:
    """The publication with those of its members: it may have thousands."""
    query = publication_query(conn.info.server_version, "%s", "%s::oid[]")
    row = conn.execute(query.encode(), (list(relids), publication)).fetchone()
    return PublicationDefinition.parse(row[0]) if row else None


def _seen(
    look: Look,
    publication: PublicationDefinition | None,
    definition: Definition,
    empty: frozenset[int] = frozenset(),
) -> Seen:
    return Seen(look, definition, publication.sent(definition) if publication else None, empty)


def _empty(
    conn: Connection, definitions: Iterable[Definition], leaves: Mapping[int, Collection[int]]
) -> frozenset[int]:
    """Partitions that are not known yet and have no rows. After the look: a partition that is empty now,
    with the file that it was created with, was empty at the look.
    """
    new = [
        relid for d in definitions if d.kind == "p" for relid in set(d.files) - set(leaves.get(d.relid, ()))
    ]
    if not new or not any(leaves.values()):
        return frozenset()
    try:
        with conn.transaction():
            conn.execute(f"set local lock_timeout = '{_SIZE_TIMEOUT}'".encode())
            return frozenset(relid for (relid,) in conn.execute(_SIZES, (new,)))
    except psycopg.errors.LockNotAvailable:
        return frozenset()


def _reached(conn: Connection) -> int:
    return lsn_int(_value(conn, _REACHED))


def _value(conn: Connection, query: Any) -> str:
    row = conn.execute(query).fetchone()
    assert row is not None
    return str(row[0])
