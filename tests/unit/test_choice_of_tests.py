"""`make test` runs each test on one server at least, and what differs between servers on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.halving import leave_to_test_all


@dataclass
class Parameters:
    params: Mapping[str, object]


@dataclass
class Item:
    """What the choice asks an item of pytest for."""

    nodeid: str
    callspec: Parameters | None
    marks: list[pytest.Mark] = field(default_factory=list)
    is_slow: bool = False

    @property
    def name(self) -> str:
        return self.nodeid.rpartition("::")[2]

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return next(self.iter_markers(name), None)

    def iter_markers(self, name: str) -> Any:
        return (mark for mark in self.marks if mark.name == name)

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        assert mark.name == "slow"
        self.is_slow = True


def kept(
    test: str, parameters: Sequence[Mapping[str, object]], *marks: pytest.MarkDecorator
) -> list[Mapping[str, object]]:
    items: list[Any] = [
        Item(f"{test}[{n}]", Parameters(params), [mark.mark for mark in marks])
        for n, params in enumerate(parameters)
    ]
    leave_to_test_all(items)
    return [item.callspec.params for item in items if not item.is_slow]


@pytest.fixture(autouse=True)
def no_choice_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDC_TEST_POSTGRES", raising=False)
    monkeypatch.delenv("CDC_TEST_MYSQL", raising=False)


SERVERS: list[dict[str, object]] = [{"postgres": 15}, {"postgres": 18}]


def test_a_test_runs_on_one_server_and_all_servers_meet_tests() -> None:
    chosen = [kept(f"test_{n}", SERVERS) for n in range(20)]
    assert all(len(one) == 1 for one in chosen)
    assert {one[0]["postgres"] for one in chosen} == {15, 18}


def test_each_of_the_other_parameters_stays() -> None:
    modes = [{"postgres": major, "ddl": ddl} for major in (15, 18) for ddl in ("watch", "trigger", "auto")]
    assert {one["ddl"] for one in kept("test", modes)} == {"watch", "trigger", "auto"}


def test_servers_that_count_all_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept("test", SERVERS, pytest.mark.every_server) == SERVERS
    assert kept("test", SERVERS, pytest.mark.parametrize("postgres", [15, 18], indirect=True)) == SERVERS
    monkeypatch.setenv("CDC_TEST_POSTGRES", "15,18")
    assert kept("test", SERVERS) == SERVERS


def test_halves_are_complements() -> None:
    ways = [
        {"mysql": name, "running": running} for name in ("mysql9", "mariadb10") for running in (True, False)
    ]
    one, other = (kept("test", ways, mark) for mark in (pytest.mark.halved, pytest.mark.halved(other=True)))
    assert len(one) == len(other) == 2
    assert all(way in one or way in other for way in ways)


def test_beside_a_server_two_parameters_are_halved_and_the_servers_take_turns() -> None:
    ways = [
        {"postgres": major, "ddl": ddl, "running": running}
        for major in (15, 18)
        for ddl in ("watch", "trigger")
        for running in (True, False)
    ]
    chosen = kept("test", ways, pytest.mark.halved)
    assert len(chosen) == 2
    for name in ("postgres", "ddl", "running"):
        assert chosen[0][name] != chosen[1][name]


def test_each_test_of_a_suite_runs_on_every_second_variant() -> None:
    items: list[Any] = [
        Item(f"{mode}::test_{n}", None, [pytest.mark.variant(number).mark])
        for number, mode in enumerate(("mirror", "soft", "append", "history"))
        for n in range(20)
    ]
    leave_to_test_all(items)
    chosen: dict[str, list[str]] = {f"test_{n}": [] for n in range(20)}
    for item in items:
        if not item.is_slow:
            chosen[item.name].append(item.nodeid.partition("::")[0])
    assert sorted({tuple(modes) for modes in chosen.values()}) == [("mirror", "append"), ("soft", "history")]
