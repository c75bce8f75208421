"""The connections that the chunks of a snapshot are read from."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from cdc.errors import SourceUnavailable
from cdc.kit.readers import Readers


class Connection:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def opened() -> list[Connection]:
    return []


@pytest.fixture
def readers(opened: list[Connection]) -> Readers[Connection]:
    def connect() -> Connection:
        opened.append(Connection())
        return opened[-1]

    return Readers(connect, "source shop")


def test_a_connection_serves_one_chunk_after_the_other(
    readers: Readers[Connection], opened: list[Connection]
) -> None:
    for _ in range(3):
        with readers.lend() as connection:
            assert connection is opened[0]
    assert [each.closed for each in opened] == [0]


def test_chunks_that_are_read_at_once_have_a_connection_each(
    readers: Readers[Connection], opened: list[Connection]
) -> None:
    with readers.lend() as one, readers.lend() as other:
        assert one is not other
    assert len(opened) == 2


def test_a_connection_on_which_a_chunk_failed_is_closed(
    readers: Readers[Connection], opened: list[Connection]
) -> None:
    with pytest.raises(KeyError), readers.lend():
        raise KeyError
    with readers.lend():
        pass
    assert [each.closed for each in opened] == [1, 0]


def test_a_connection_whose_chunk_was_not_read_to_its_end_is_closed(
    readers: Readers[Connection], opened: list[Connection]
) -> None:
    def rows() -> Generator[int, None, None]:
        with readers.lend():
            yield 1

    reading = rows()
    assert next(reading) == 1
    reading.close()
    assert [each.closed for each in opened] == [1]


def test_a_closed_snapshot_lends_none_and_keeps_none(
    readers: Readers[Connection], opened: list[Connection]
) -> None:
    with readers.lend():
        with readers.lend():
            pass
        readers.close()
        readers.close()
        assert [each.closed for each in opened] == [0, 1]
    assert [each.closed for each in opened] == [1, 1]
    with pytest.raises(SourceUnavailable, match="the snapshot is closed"), readers.lend():
        pass
    with pytest.raises(SourceUnavailable, match="the snapshot is closed"):
        readers.require_open()
