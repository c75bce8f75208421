"""A history with every kind of change, in commits: for sinks that are stopped anywhere within it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from cdc.model import ChangeBatch, Column, Commit, CopyMark, CopyStep, TableId, TableSchema
from cdc.spi import Delivery
from cdc.testing.events import EPOCH, Change, changes, delivery, position

INT, TEXT = pa.int32(), pa.string()


def _schema(name: str, relation: int, columns: Sequence[Column], *key: str, version: int = 1) -> TableSchema:
    identity: Any = "key" if key else "full"
    return TableSchema(TableId("app", name), tuple(columns), key, identity, relation, version)


_ID = Column("id", INT, id=1, nullable=False)
_A, _B, _N = (
    Column(name, kind, id=i) for i, (name, kind) in enumerate({"a": TEXT, "b": TEXT, "n": INT}.items(), 2)
)
ORDERS = _schema("orders", 1, [_ID, _A, _B, _N], "id")
# A column with a fill, two columns that swap their names, another type, and another key.
WIDER = replace(
    ORDERS, columns=(*ORDERS.columns, Column("extra", INT, id=5, fill=pa.scalar(5, INT))), version=2
)
SWAPPED = replace(
    WIDER,
    columns=(
        _ID,
        replace(_A, name="b"),
        replace(_B, name="a"),
        replace(_N, type=pa.int64()),
        WIDER.columns[4],
    ),
    version=3,
)
KEYED_BY_TWO = replace(SWAPPED, key=("id", "extra"), version=4)
NARROWER = replace(KEYED_BY_TWO, columns=(*SWAPPED.columns[:2], *SWAPPED.columns[3:]), version=5)
RENAMED = replace(NARROWER, table=TableId("shop", "sales"), version=6)
EVENTS = _schema("events", 2, [Column("v", INT, id=1), Column("w", TEXT, id=2)])
BATCHES = _schema("batches", 3, [_ID, _A], "id")


class _History:
    """Numbers changes and commits."""

    def __init__(self) -> None:
        self.commits: list[list[ChangeBatch]] = []
        self._next = 0

    def commit(self, *batches: tuple[TableSchema, Sequence[Change] | CopyStep]) -> None:
        first, made = self._next, []
        for schema, steps in batches:
            if isinstance(steps, CopyStep):
                rows: list[Change] = [("t", None)] if steps is CopyStep.BEGIN else []
                mark = CopyMark(steps, EPOCH, self._next)
                made.append(replace(changes(schema, rows, start=self._next), mark=mark))
                self._next += 1
            else:
                made.append(changes(schema, steps, start=self._next, at=len(self.commits)))
                self._next += len(steps)
        end = self._next
        commit = Commit(first, end, position(end), EPOCH, EPOCH, end - first, sum(b.byte_count for b in made))
        self.commits.append([replace(batch, commit=commit) for batch in made])


def row(i: int, **values: Any) -> dict[str, Any]:
    return {"id": i, "a": f"a{i}", "b": f"b{i}", "n": i} | values


def eventful_history() -> list[list[ChangeBatch]]:
    """The batches of each commit."""
    history = _History()

    history.commit(
        (ORDERS, [("c", row(i)) for i in range(8)]),
        (EVENTS, [("c", {"v": i % 2, "w": None if i == 3 else "w"}) for i in range(6)]),
        (BATCHES, [("c", {"id": i, "a": "old"}) for i in range(4)]),
    )
    history.commit(
        (
            ORDERS,
            [
                ("u", row(2, a=None, n=20), None, ["a"]),
                ("u", row(11, a=None, b=None), {"id": 1}, ["a", "b"]),
                ("d", {"id": 3}),
                ("u", row(12, a=None), {"id": 11}, ["a"]),
            ],
        ),
        (EVENTS, [("d", {"v": 0, "w": "w"}), ("u", {"v": 7, "w": "x"}, {"v": 1, "w": "w"})]),
    )
    history.commit((BATCHES, [("u", {"id": 1, "a": "new"}), ("t", None), ("c", {"id": 9, "a": "kept"})]))
    history.commit(
        (ORDERS, [("c", row(20))]),
        (WIDER, CopyStep.ALTERED),
        (WIDER, [("u", row(4, extra=40)), ("c", row(21, extra=21))]),
        (EVENTS, [("c", {"v": 8, "w": "y"}), ("d", {"v": 7, "w": "x"})]),
        (WIDER, [("u", row(5, a=None, extra=50), None, ["a"])]),
    )
    history.commit((SWAPPED, [("u", row(6, n=2**40, extra=60)), ("d", {"id": 7})]), (EVENTS, [("t", None)]))
    _add_new_key_and_copy(history)
    return history.commits


def _add_new_key_and_copy(history: _History) -> None:
    """A new key, a dropped column, a copy with changes in it, and a new name."""
    history.commit(
        (KEYED_BY_TWO, [("u", row(6, a=None, n=1, extra=61), {"id": 6, "extra": 60}, ["a"])]),
        (EVENTS, [("c", {"v": 1, "w": "w"}), ("c", {"v": 1, "w": "w"}), ("d", {"v": 1, "w": "w"})]),
    )
    narrow = {"id": 4, "b": "B4", "n": 4, "extra": 40}
    history.commit((NARROWER, CopyStep.ALTERED), (NARROWER, [("u", narrow)]))
    history.commit(
        (NARROWER, CopyStep.BEGIN),
        (NARROWER, [("r", {"id": i, "b": f"copied{i}", "n": i, "extra": i}) for i in range(3)]),
    )
    history.commit(
        (NARROWER, [("r", {"id": 4, "b": "copied4", "n": 4, "extra": 4})]),
        (
            NARROWER,
            [("u", {"id": 1, "b": None, "n": 100, "extra": 1}, None, ["b"]), ("d", {"id": 2, "extra": 2})],
        ),
    )
    history.commit((NARROWER, CopyStep.FINISHED))
    history.commit((RENAMED, [("u", {"id": 4, "b": None, "n": 5, "extra": 4}, None, ["b"])]))
    history.commit(
        (RENAMED, [("c", {"id": 50, "b": "last", "n": 50, "extra": 50})]), (BATCHES, [("d", {"id": 9})])
    )


def delivered_from(commits: Sequence[Sequence[ChangeBatch]], offset: int, part_commits: int) -> Delivery:
    """One delivery of all commits from an offset on, with that many commits in each part."""
    rest = [
        batches for batches in commits if batches[0].commit is not None and batches[0].commit.next > offset
    ]

    def parts() -> Iterator[Sequence[ChangeBatch]]:
        for start in range(0, len(rest), part_commits):
            yield [batch for batches in rest[start : start + part_commits] for batch in batches]

    assert commits[-1][0].commit is not None
    return delivery([], first=offset, next=commits[-1][0].commit.next, parts=parts)
