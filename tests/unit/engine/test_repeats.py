"""Copies that are due again and again wait longer each time."""

from __future__ import annotations

from cdc.engine import repeats
from cdc.engine.repeats import Repeats
from cdc.model import Position, Resnapshot, TableId

T = TableId("shop", "orders")
CURED = Resnapshot(T, "a statement", remedy="Run: something;")


def pauses(made: list[float]) -> list[bool]:
    """Whether the copy waits right after each request, and the clock's time when it waits no longer."""
    clock = [1000.0]
    found, kept = [], Repeats(lambda: clock[0])
    for seconds in made:
        clock[0] += seconds
        kept.note(T, CURED)
        found.append(kept.pause(T) is not None)
    return found


def test_the_first_copy_begins_at_once_and_the_later_ones_wait() -> None:
    assert pauses([0, 1, 1]) == [False, True, True]
    assert pauses([0, repeats.CALM_SECONDS + 1]) == [False, False]


def test_pauses_double_up_to_an_hour() -> None:
    clock = [0.0]
    kept = Repeats(lambda: clock[0])
    for count in range(40):
        kept.note(T, CURED)
        pause = (
            0.0
            if count == 0
            else min(repeats.FIRST_PAUSE_SECONDS * 2 ** (count - 1), repeats.LONGEST_PAUSE_SECONDS)
        )
        if pause:
            clock[0] += pause - 0.5
            error = kept.pause(T)
            assert error is not None
            assert error.remedy == CURED.remedy
            clock[0] += 0.5
        assert kept.pause(T) is None


def test_requests_that_outrun_their_copies_make_the_table_wait_after_a_few() -> None:
    kept = Repeats()
    kept.note(T, CURED)
    for _ in range(repeats.OUTRUN_COPIES - 1):
        kept.note_outrun(T, CURED)
        assert kept.pause(T) is None
    kept.note_outrun(T, CURED)
    assert kept.pause(T) is not None


def test_what_has_no_remedy_never_waits_and_an_operators_request_ends_a_wait() -> None:
    kept = Repeats()
    for _ in range(3):
        kept.note(T, Resnapshot(T, "an ALTER"))
    assert kept.pause(T) is None
    for _ in range(3):
        kept.note(T, CURED)
    assert kept.pause(T) is not None
    kept.forget(T)
    assert kept.pause(T) is None


def test_a_copy_begins_when_the_stream_is_where_the_source_was() -> None:
    kept = Repeats()
    assert not kept.is_behind(T, Position(9, "9"), Position(1, "1"))
    kept.note(T, CURED)
    assert kept.is_behind(T, Position(5, "5"), Position(4, "4"))
    assert kept.is_behind(T, Position(9, "9"), Position(4, "4"))
    assert not kept.is_behind(T, Position(9, "9"), Position(5, "5"))
