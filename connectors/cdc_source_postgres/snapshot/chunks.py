"""How a snapshot is cut into chunks, and what lets a later process continue from the finished ones. Plain
values, no connection.

A chunk is a range of pages of one physical table. Under one snapshot a row version lies in one chunk. Under a
later snapshot the rows of a finished chunk are still those that were read, except for versions written since:
their xmin is at or after the first snapshot's xmin. Reading only these again from the same pages, after all
changes up to the later snapshot, completes the copy exactly: deleted versions went by their events, moved
ones are found where they are now. It needs a key (rows read twice must meet), the same files (a rewrite gives
old rows new places), columns and row filter, and less than half the circle of transaction ids since. Columns
that were added or dropped without a rewrite are no hindrance: rows copied before get the fill of a new column
as those of a live table do.

A later snapshot need not be the last one. Its new chunks are whole as of itself, and the versions since the
first snapshot's xmin are read again under the last one, whose chunks are all whole or read again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cdc.model import TableId
from cdc_source_postgres.limits import Limits

# Large tables are cut more coarsely than into `Limits.chunk_bytes`, so that each has some thousand chunks, up
# to MAX_CHUNK_BYTES: 16,000 chunks a terabyte.
MAX_CHUNK_BYTES = 64 * 1024 * 1024
CHUNKS_A_TABLE = 2000
# Ages compare correctly below 2^31 transactions; the margin is what may happen while we read.
RESUMABLE_TRANSACTIONS = 2**31 - 100_000_000
AGAIN = "again:"


@dataclass(frozen=True, slots=True)
class LeafSize:
    """A physical table as the snapshot found it."""

    relid: int
    table: TableId
    filenode: int
    main_bytes: int
    total_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """How a physical table is cut: `count` chunks of `pages` pages, the last without an end."""

    filenode: int
    pages: int
    count: int


@dataclass(frozen=True, slots=True)
class PageRange:
    """One chunk: pages first ≤ page < end of one physical table. `since` (an xmin) reads only row versions
    from there on.
    """

    id: str
    leaf: TableId
    first: int
    end: int | None
    rows: int
    since: int | None = None


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """Token by which a later process continues: the rows that the finished chunks' ids cover.

    `xmin` is of the first snapshot; `attributes` are all live columns, attnum → all that decides how a stored
    value reads; `columns` are the attnums of those that are copied.
    """

    relid: int
    xmin: int
    attributes: Mapping[int, str]
    columns: tuple[int, ...]
    key: tuple[str, ...]
    row_filter: str | None
    layouts: Mapping[int, ChunkLayout]

    def text(self) -> str:
        layouts = {
            str(relid): [layout.filenode, layout.pages, layout.count]
            for relid, layout in self.layouts.items()
        }
        values = {
            "relid": self.relid,
            "xmin": self.xmin,
            "attributes": {str(number): text for number, text in self.attributes.items()},
            "columns": self.columns,
            "key": self.key,
            "row_filter": self.row_filter,
        }
        return json.dumps({**values, "leaves": layouts})

    @classmethod
    def parse(cls, text: str) -> ResumeToken | None:
        """The token of that text; None for one of an earlier release, whose chunks are not gone on with."""
        values = json.loads(text)
        layouts = {int(relid): ChunkLayout(*layout) for relid, layout in values["leaves"].items()}
        if "key" not in values:
            return None
        attributes = {int(number): text for number, text in values["attributes"].items()}
        columns, key = tuple(values["columns"]), tuple(values["key"])
        return cls(values["relid"], values["xmin"], attributes, columns, key, values["row_filter"], layouts)

    def holds_for(self, now: ResumeToken, next_xid: int) -> bool:
        """Return whether finished chunks of this token are good under the snapshot that `now` describes."""
        same_table = (self.relid, self.key, self.row_filter) == (now.relid, now.key, now.row_filter)
        same_files = all(
            relid in now.layouts and now.layouts[relid].filenode == layout.filenode
            for relid, layout in self.layouts.items()
        )
        is_young = next_xid - self.xmin < RESUMABLE_TRANSACTIONS
        return same_table and same_files and is_young and self._has_same_columns(now)

    def _has_same_columns(self, now: ResumeToken) -> bool:
        """Return whether columns only came or went: in the same files a new one is its fill in every old row.

        Whatever else ALTER TABLE does without a rewrite (a default, NOT NULL, statistics) changes no stored
        value.
        """
        stayed = self.attributes.keys() & now.attributes.keys()
        last = max(self.attributes, default=0)
        return (
            all(self.attributes[number] == now.attributes[number] for number in stayed)
            and all(number > last for number in now.attributes.keys() - stayed)
            and {n for n in self.columns if n in stayed} == {n for n in now.columns if n in stayed}
        )


def layout_of(leaf: LeafSize, page_bytes: int, limits: Limits, *, ranges: bool) -> ChunkLayout:
    """Cut a physical table into chunks of `limits.chunk_bytes` or somewhat more, TOAST included; in one piece
    when the server can't read ranges of pages.
    """
    pages = leaf.main_bytes // page_bytes
    if not ranges or pages == 0:
        return ChunkLayout(leaf.filenode, max(pages, 1), 1)
    share = leaf.main_bytes / max(leaf.total_bytes, leaf.main_bytes)
    wanted = max(limits.chunk_bytes, min(leaf.total_bytes // CHUNKS_A_TABLE, MAX_CHUNK_BYTES))
    size = max(limits.min_chunk_pages, int(wanted * share) // page_bytes)
    return ChunkLayout(leaf.filenode, size, -(-pages // size))


def plan(
    leaves: Sequence[LeafSize],
    layouts: Mapping[int, ChunkLayout],
    finished: Collection[str],
    since: int | None,
) -> Iterator[PageRange]:
    """The chunks of a table: whole ones, and for each finished one what was written `since`."""
    for leaf in leaves:
        layout = layouts[leaf.relid]
        for number in range(layout.count):
            chunk_id = f"{leaf.relid}:{number}"
            first = number * layout.pages
            end = None if number == layout.count - 1 else first + layout.pages
            if since is not None and chunk_id in finished:
                yield PageRange(f"{AGAIN}{chunk_id}", leaf.table, first, end, 0, since)
            else:
                yield PageRange(chunk_id, leaf.table, first, end, leaf.rows // layout.count)
