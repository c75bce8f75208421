"""A snapshot that died is gone on with under a new one: exact whatever happened to the rows between."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from cdc.model import Envelope, Position, TableId
from cdc.spi.source import EarlierSnapshot, SnapshotChunk
from cdc.testing.fold import fold
from connectors.postgres import chunks
from connectors.postgres.chunks import RESUMABLE_TRANSACTIONS, Layout, Token
from connectors.postgres.messages import lsn_int
from tests.integration.postgres_source.conftest import FollowerFactory
from tests.support.follower import Follower, Row, position_of, read_chunks
from tests.support.postgres import Database

T = TableId("public", "t")
# Too long for one page and not compressible to less: stored out of line. {0} makes it another value.
LONG = "(select string_agg(md5((s * {0})::text), '') from generate_series(1, 300) s)"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 2 * 8192)
    monkeypatch.setattr(chunks, "MIN_CHUNK_PAGES", 2)


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

    def attempt(self, share: float, seed: int = 1) -> Copying:
        """Open a snapshot, read that share of its chunks, close it; a table that can't go on starts again."""
        schemas = [s for s in self.follower.source.discover() if s.table == T]
        earlier = {}
        if self.position is not None:
            earlier[T] = EarlierSnapshot(self.token, self.position, frozenset(self.finished))
        snapshot = self.follower.source.snapshot(schemas, earlier)
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
        chosen = sample(snapshot.chunks, share, seed)
        self.rows += read_chunks(snapshot, chosen)
        self.finished |= {chunk.id for chunk in chosen}
        self.token, self.position = snapshot.tokens[T], position_of(snapshot)
        snapshot.close()
        return self

    def state(self, key: Sequence[str] = ("id",)) -> list[Row]:
        """The table as a mirror has it once the copy is whole and all changes are in."""
        history = [*self.rows, *self.held, *self.follower.rows("public.t")]
        own = [
            {k: v for k, v in row.items() if k != "table"} | {Envelope.SEQ: i}
            for i, row in enumerate(history)
        ]
        return sorted(fold(own, list(key)), key=lambda row: [row[name] for name in key])


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


@pytest.mark.parametrize("change", CHANGES)
def test_a_resumed_copy_is_exact_after(database: Database, follow: FollowerFactory, change: str) -> None:
    filled(database)
    copying = Copying(follow(database)).attempt(0.5)
    database.execute(*CHANGES[change])
    assert copying.attempt(1).state() == expected(database)
    assert copying.resumed == [False, True]


def test_finished_chunks_are_read_again_only_for_what_was_written_since(
    database: Database, follow: FollowerFactory
) -> None:
    filled(database)
    copying = Copying(follow(database)).attempt(0.5)
    database.execute("update t set n = -1 where id in (1, 300, 600)")
    before = len(copying.rows)
    copying.attempt(1)
    reads = [row for row in copying.rows[before:] if row[Envelope.OP] == "r"]
    assert before + len(reads) <= 600 + 3
    assert copying.state() == expected(database)


def test_a_copy_may_die_any_number_of_times(database: Database, follow: FollowerFactory) -> None:
    filled(database)
    copying = Copying(follow(database))
    for seed, change in enumerate(CHANGES.values()):
        copying.attempt(0.3, seed)
        database.execute(*change)
        if seed % 3 == 0:
            copying.follower.restart()
    assert copying.attempt(1).state() == expected(database)
    assert copying.resumed == [False] + [True] * len(CHANGES)


@pytest.mark.parametrize(
    "change",
    [
        "truncate t",
        "vacuum full t",
        "alter table t alter n type bigint",
        "alter table t add x int default 4",
        "alter table t rename n to m",
    ],
)
def test_a_table_whose_places_or_columns_changed_starts_again(
    database: Database, follow: FollowerFactory, change: str
) -> None:
    filled(database, 300)
    copying = Copying(follow(database)).attempt(0.5)
    database.execute(change, "insert into t (id) values (9999)")
    columns = ", ".join(column.name for column in copying.follower.schema("public.t").columns)
    assert copying.attempt(1).state() == expected(database, columns)
    assert copying.resumed == [False, False]


def test_a_table_without_key_starts_again(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        "create table t (id int, n int)",
        "alter table t replica identity full",
        "insert into t select g, g from generate_series(1, 1000) g",
    )
    copying = Copying(follow(database)).attempt(0.5)
    database.execute("update t set n = 0 where id = 1")
    copying.attempt(1)
    assert copying.resumed == [False, False]
    assert sorted(copying.state(()), key=lambda row: row["id"]) == expected(database, "id, n")


def test_partitions_may_come_but_not_go(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        "create table t (id int primary key, n int) partition by range (id)",
        "create table t1 partition of t for values from (0) to (1000)",
        "insert into t select g, g from generate_series(1, 900) g",
    )
    copying = Copying(follow(database)).attempt(0.5)
    database.execute(
        "create table t2 partition of t for values from (1000) to (2000)",
        "insert into t select g, g from generate_series(1000, 1100) g",
        "update t set id = id + 500 where id between 700 and 720",
    )
    copying.attempt(0.4)
    database.execute("update t set n = 0 where id > 1000")
    assert copying.attempt(1).state() == expected(database, "id, n")
    assert copying.resumed == [False, True, True]
    database.execute("drop table t2")
    copying.attempt(1)
    assert copying.resumed[-1] is False


def test_a_token_is_good_for_less_than_half_the_circle_of_transaction_ids() -> None:
    token = Token(1, 1000, "730=1,2", ("a", "b"), {1: Layout(1, 4, 3)})
    assert Token.parse(token.text()) == token
    assert token.holds_for(token, 1000 + RESUMABLE_TRANSACTIONS - 1)
    assert not token.holds_for(token, 1000 + RESUMABLE_TRANSACTIONS)
