"""A table's copy as the log has it, over any number of snapshots that end early."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cdc.errors import SnapshotYielded
from cdc.model import Envelope, Position, TableId, TableSchema
from cdc.spi.source import EarlierSnapshot, Snapshot, SnapshotChunk
from cdc.testing.fold import fold
from cdc_source_postgres.wire.messages import lsn_int
from tests.support.follower import Follower, Row, position_of
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until

T = TableId("public", "t")
# Too long for one page and not compressible to less: stored out of line. {0} makes it another value.
LONG = "(select string_agg(md5((s * {0})::text), '') from generate_series(1, 300) s)"


@dataclass
class Copying:
    """What the log has of one table's copy, over any number of attempts that die."""

    follower: Follower
    rows: list[Row] = field(default_factory=list)
    held: list[Row] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    token: str = ""
    position: Position | None = None
    resumed: list[bool] = field(default_factory=list)

    def open(self) -> Snapshot:
        """A snapshot that goes on from the finished chunks; a table that can't go on starts again."""
        schemas = [s for s in self.follower.source.discover() if s.table == T]
        earlier = {}
        if self.position is not None:
            earlier[T] = EarlierSnapshot(self.token, self.position, frozenset(self.finished))
        snapshot = wait_until(lambda: self._covering(schemas, earlier), "a snapshot of the table")
        assert snapshot is not None
        resumes = T in snapshot.resumed
        self.resumed.append(resumes)
        self.held += self.follower.rows("public.t")
        if resumes:
            before = [
                row for row in self.held if lsn_int(row[Envelope.POSITION]) < position_of(snapshot).order
            ]
            self.rows += before
        else:
            self.rows, self.finished = [], set()
        self.held = [
            row for row in self.held if lsn_int(row[Envelope.POSITION]) >= position_of(snapshot).order
        ]
        self.token, self.position = snapshot.tokens[T], position_of(snapshot)
        return snapshot

    def _covering(
        self, schemas: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]
    ) -> Snapshot | None:
        """A snapshot of the table; None while the table has to wait."""
        snapshot = self.follower.source.snapshot(schemas, earlier)
        if T in snapshot.positions:
            return snapshot
        snapshot.close()
        return None

    def read(
        self, snapshot: Snapshot, chunk: SnapshotChunk, between: Callable[[], object] = lambda: None
    ) -> bool:
        """Read one chunk, `between` its first batch and the rest; False when the snapshot gave way."""
        batches = snapshot.read(chunk)
        try:
            for batch in batches:
                self.rows += [{"table": str(chunk.table), **row} for row in batch.rows()]
                between()
                between = lambda: None  # noqa: E731
        except SnapshotYielded:
            return False
        self.finished.add(chunk.id)
        return True

    def attempt(self, share: float, seed: int = 1) -> Copying:
        """Open a snapshot, read that share of its chunks, close it."""
        snapshot = self.open()
        for chunk in sample(snapshot.chunks, share, seed):
            self.read(snapshot, chunk)
        snapshot.close()
        return self

    def state(self, key: Sequence[str] = ("id",)) -> list[Row]:
        """The table as a mirror has it once the copy is whole and all changes are in."""
        history = [*self.rows, *self.held, *self.follower.rows("public.t")]
        columns = self.follower.schema("public.t").columns
        fills = {column.name: column.fill.as_py() if column.fill else None for column in columns}
        own = [_as_of_now(row, fills) | {Envelope.SEQ: i} for i, row in enumerate(history)]
        return sorted(fold(own, list(key)), key=lambda row: [row[name] for name in key])


def _as_of_now(row: Row, fills: dict[str, object]) -> Row:
    """The row with the columns that the table has now: later ones filled, dropped ones gone."""
    return {k: v for k, v in {**fills, **row}.items() if k in fills or k.startswith("_cdc_")}


def sample(found: Sequence[SnapshotChunk], share: float, seed: int) -> list[SnapshotChunk]:
    return random.Random(seed).sample(list(found), max(1, round(len(found) * share)))


def expected(database: Database, columns: str = "id, n, long") -> list[Row]:
    names = columns.split(", ")
    return [
        dict(zip(names, row, strict=True)) for row in database.query(f"select {columns} from t order by id")
    ]


def filled(database: Database, rows: int = 600) -> None:
    """A table of many pages, with room to update in place, some values of it out of line."""
    database.execute(
        "create table t (id int primary key, n int, long text) with (fillfactor = 60)",
        f"insert into t select g, g, case when g % 50 = 0 then {LONG.format('g')} else repeat('x', 60) end"
        f" from generate_series(1, {rows}) g",
    )


CHANGES = {
    "rows moved to other pages": ["update t set long = repeat('y', 900) where id % 7 = 0"],
    "rows updated in place": ["update t set n = n + 1"],
    "rows deleted": ["delete from t where id % 3 = 0"],
    "rows deleted and their places taken": [
        "delete from t where id % 2 = 0",
        "vacuum t",
        "insert into t select 10000 + g, g, 'new' from generate_series(1, 300) g",
    ],
    "keys changed": ["update t set id = id + 5000 where id % 5 = 0"],
    "toasted values left alone": ["update t set n = -1 where id % 50 = 0", "delete from t where id = 51"],
    "toasted values changed": [f"update t set long = {LONG.format('7')} where id % 100 = 0"],
    "rows added at the end": [
        "insert into t select 20000 + g, g, repeat('z', 500) from generate_series(1, 300) g"
    ],
    "frozen": ["update t set n = 0 where id < 100", "vacuum (freeze) t"],
    "swapped keys": [
        "update t set id = -1 where id = 10",
        "update t set id = 10 where id = 590",
        "update t set id = 590 where id = -1",
    ],
}
