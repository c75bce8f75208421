"""What changes a table's state is committed first, and memory follows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from cdc import failpoints
from cdc.engine.ledger import Ledger, LedgerEntry, Phase, TableBook, TableState
from cdc.engine.routing import Router
from cdc.errors import LogFull, LogUnavailable
from cdc.log import LocalLogs
from cdc.log.buffers import Buffers
from cdc.model import ChangeSet, Commit, Resnapshot
from cdc.spi import LogTransaction, LogWriter
from cdc.testing.events import position, table, transaction

ORDERS = table("public.orders", {"id": pa.int64()}, relation=1)
CHANGES = transaction(10, [(ORDERS, "c", {"id": i}) for i in range(4)], part_rows=2)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(LocalLogs(tmp_path).writer("shop")) as log:
        with log.begin() as first:
            first.commit(position(1))
        yield Ledger(log)


def take(entry: LedgerEntry, changes: ChangeSet) -> None:
    """What capture does with a set."""
    for number, batches in Router("initial").route(entry, changes).buffered.items():
        entry.buffer(number, ChangeSet(tuple(batches), None, changes.changes))


def test_states_are_seen_when_they_are_committed(ledger: Ledger) -> None:
    with ledger.begin() as entry:
        for part in CHANGES:
            take(entry, part)
            assert entry.tables[ORDERS.table].phase is Phase.WAITING
            assert ledger.tables.unfinished() == []
        entry.commit(position(11))
        assert ledger.tables.unfinished() == [ORDERS.table]
    assert states(TableBook.from_metadata(ledger.log.metadata)) == states(ledger.tables)


def test_a_transaction_that_breaks_off_leaves_the_states_of_before(ledger: Ledger) -> None:
    before = states(ledger.tables)

    def break_off() -> None:
        with ledger.begin() as entry:
            take(entry, CHANGES[0])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert states(ledger.tables) == before


def test_a_commit_that_fails_leaves_the_states_of_before(ledger: Ledger) -> None:
    def full(_name: str) -> None:
        raise LogFull("no room")

    before = states(ledger.tables)
    request = Resnapshot(ORDERS.table, "rewritten", 1)
    with failpoints.watched(full), ledger.begin() as entry:
        take(entry, ChangeSet(CHANGES[0].batches, position(11), 2, resnapshot=(request,)))
        with pytest.raises(LogFull):
            entry.commit(position(11))
        assert states(ledger.tables) == before
    assert states(ledger.tables) == before
    assert ledger.requests(ORDERS.table) == 0
    assert states(TableBook.from_metadata(ledger.log.metadata)) == before


def test_a_commit_that_happened_in_spite_of_an_error_is_followed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(_buffers: Buffers, _numbers: object) -> None:
        raise ConnectionError

    with ledger.begin() as entry:
        take(entry, CHANGES[0])
        entry.commit(position(11))
    monkeypatch.setattr(Buffers, "remove", break_off)
    with ledger.begin() as entry:
        request = Resnapshot(ORDERS.table, "rewritten", 1)
        take(entry, ChangeSet((), position(20), resnapshot=(request,)))
        entry.tables.put(ORDERS.table, TableState(Phase.LIVE, relation=1))
        with pytest.raises(ConnectionError):
            entry.commit(position(20))
    assert ledger.tables.unfinished() == []
    assert ledger.requests(ORDERS.table) == 1
    assert states(TableBook.from_metadata(ledger.log.metadata)) == states(ledger.tables)


class LostAnswers:
    """A log in another place: the answer to a commit is lost, and until the next transaction so is the way
    there.
    """

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self.loses_answers = False
        self._is_lost = False

    def begin(self) -> LogTransaction:
        transaction = self._log.begin()
        self._is_lost = False
        commit = transaction.commit

        def lose(*arguments: Any) -> Commit:
            done = commit(*arguments)
            if self.loses_answers:
                self._is_lost = True
                raise LogUnavailable("no answer")
            return done

        transaction.commit = lose  # type: ignore[method-assign, assignment]
        return transaction

    def __getattr__(self, name: str) -> Any:
        if self._is_lost and name in ("end", "metadata"):
            raise LogUnavailable("out of reach")
        return getattr(self._log, name)


def test_a_commit_whose_answer_is_lost_is_followed_before_the_next_one(ledger: Ledger) -> None:
    log = LostAnswers(ledger.log)
    far = Ledger(cast("LogWriter", log))
    log.loses_answers = True
    with far.begin() as entry:
        request = Resnapshot(ORDERS.table, "rewritten", 1)
        take(entry, ChangeSet(CHANGES[0].batches, position(11), 2, resnapshot=(request,)))
        with pytest.raises(LogUnavailable, match="no answer"):
            entry.commit(position(11))
    assert (states(far.tables), far.requests(ORDERS.table)) == ({}, 0)
    log.loses_answers = False
    with far.begin() as entry:
        assert entry.tables.unfinished() == [ORDERS.table]
    assert far.requests(ORDERS.table) == 1
    assert states(TableBook.from_metadata(ledger.log.metadata)) == states(far.tables)


def test_a_number_that_a_commit_frees_is_not_given_again_in_it(ledger: Ledger) -> None:
    with ledger.begin() as entry:
        take(entry, CHANGES[0])
        entry.commit(position(11))
    with ledger.begin() as entry:
        freed = entry.tables[ORDERS.table].buffer
        entry.tables.remove(ORDERS.table)
        assert entry.tables.unused_buffers == {freed}
        assert entry.tables.new_buffer() != freed


def states(book: TableBook) -> dict[object, TableState]:
    return dict(book.items())
