"""An audience is a set of sinks, and behaves as one."""

from __future__ import annotations

import itertools

from cdc.model import Audience
from cdc.model.batch import EVERYONE

SINKS = ("a", "b", "c")
ALL = [
    Audience(frozenset(chosen), excluded)
    for size in range(len(SINKS) + 1)
    for chosen in itertools.combinations(SINKS, size)
    for excluded in (False, True)
]


def members(audience: Audience) -> set[str]:
    return {sink for sink in (*SINKS, "unknown") if audience.includes(sink)}


def test_a_union_includes_what_either_does_and_others_what_it_leaves_out() -> None:
    everyone = {*SINKS, "unknown"}
    for one in ALL:
        assert members(one.others) == everyone - members(one)
        assert Audience.from_json(one.to_json()) == one
        for other in ALL:
            assert members(one | other) == members(one) | members(other)
            assert one.covers(other) == (members(one) >= members(other))


def test_everyone_is_the_default_and_takes_no_room() -> None:
    assert Audience() == EVERYONE
    assert EVERYONE.to_json() is None
    assert (EVERYONE.is_everyone, Audience.only(["a"]).is_everyone) == (True, False)
