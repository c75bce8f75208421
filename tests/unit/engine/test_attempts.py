"""Waits grow while nothing works, and are small again after an attempt that worked."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cdc import errors
from cdc.engine.pacing import Pacing
from cdc.engine.retry import Attempts, Directive, directive
from cdc.errors import CdcError, SinkRefused, SourceBusy, SourceRefused, SourceUnavailable

STEADY = 0.05


class Clock:
    """Time that passes only where a test says so: a loaded machine may stand still anywhere."""

    now = 0.0


QUICK = Pacing(
    first_wait_seconds=0.01,
    longest_wait_seconds=0.04,
    jitter_seconds=0.0,
    operator_wait_seconds=0.02,
    steady_seconds=STEADY,
)


def waits_of(*steps: Callable[[], None], moved: bool = False) -> list[float]:
    """The wait after each step; a body without a step left returns."""
    left, waits = list(steps), []

    def body() -> None:
        if left:
            left.pop(0)()

    attempts = Attempts(
        body,
        threading.Event(),
        progressed=lambda: moved,
        report=lambda _, seconds: waits.append(seconds),
        pacing=QUICK,
        clock=lambda: Clock.now,
    )
    attempts.run()
    return waits


def failing(error: CdcError, after_seconds: float = 0.0) -> Callable[[], None]:
    def step() -> None:
        Clock.now += after_seconds
        raise error

    return step


OUTAGE = failing(SourceUnavailable("no connection"))


def test_waits_grow_to_the_longest_and_begin_anew_after_an_idle_attempt_that_worked() -> None:
    steady = failing(SourceUnavailable("cut"), STEADY)
    assert waits_of(OUTAGE, OUTAGE, OUTAGE, OUTAGE, steady, OUTAGE, OUTAGE) == [
        0.01,
        0.02,
        0.04,
        0.04,
        0.01,
        0.01,
        0.02,
    ]


def test_waits_are_small_after_changes_but_not_for_two_that_take_a_place_from_each_other() -> None:
    assert set(waits_of(OUTAGE, OUTAGE, OUTAGE, moved=True)) == {0.01}
    busy = failing(SourceBusy("another reader"))
    assert waits_of(busy, busy, busy, moved=True) == [0.01, 0.02, 0.04]


def test_what_needs_an_operator_is_looked_at_again() -> None:
    waits = waits_of(failing(SourceRefused("login")), OUTAGE, failing(SinkRefused("file")))
    assert waits == [0.02, 0.01, 0.02]


def test_every_error_of_the_tree_that_a_worker_meets_is_tried_again_and_a_defect_is_not() -> None:
    # The command line meets these before a worker runs.
    before = {errors.ConfigError, errors.PluginError, errors.CdcError}
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in classes if issubclass(kind, CdcError) and kind not in before]
    assert {kind for kind in kinds if directive(kind("")) is Directive.STOP} == set()
    assert directive(RuntimeError("a defect")) is Directive.STOP
