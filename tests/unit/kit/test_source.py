"""The frame of a source, over sqlite3's connections."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from cdc.errors import SourceGap, SourceUnavailable
from cdc.kit.source import SourceFrame


class _Connector:
    def __init__(self) -> None:
        self.made: list[sqlite3.Connection] = []

    def connect(self, purpose: str) -> sqlite3.Connection:
        del purpose
        self.made.append(sqlite3.connect(":memory:"))
        return self.made[-1]

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SourceUnavailable(doing, where="sources.shop", remedy="-") from error


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return False
    return True


def _framed() -> tuple[SourceFrame[sqlite3.Connection], _Connector]:
    connector = _Connector()
    return SourceFrame(connector, _is_open, sqlite3.Error), connector


def test_the_shared_connection_is_made_at_its_first_use_and_kept() -> None:
    frame, connector = _framed()
    assert connector.made == []
    for _ in range(2):
        with frame.connection("reading the tables") as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert len(connector.made) == 1
    frame.close()
    frame.close()
    assert not _is_open(connector.made[0])


def test_an_error_of_the_driver_is_translated_and_closes_the_connection() -> None:
    frame, connector = _framed()
    with (
        pytest.raises(SourceUnavailable, match="reading the tables"),
        frame.connection("reading the tables") as connection,
    ):
        connection.execute("no statement")
    assert not _is_open(connector.made[0])
    with frame.connection("reading the tables") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_an_error_of_ours_keeps_the_connection() -> None:
    frame, connector = _framed()
    with suppress(KeyError), frame.connection("reading the tables"):
        raise KeyError
    assert _is_open(connector.made[0])


def test_a_gap_is_noted_until_a_history_begins() -> None:
    frame, _ = _framed()
    gap = SourceGap("the slot is gone", where="sources.shop", remedy="-")
    with pytest.raises(SourceGap), frame.noting_gaps():
        raise gap
    assert frame.has_gap
    frame.begin_history()
    assert not frame.has_gap
