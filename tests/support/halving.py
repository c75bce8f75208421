"""What `make test` leaves to `make test-all`: combinations of parameters, and servers of the same behaviour.

`@pytest.mark.halved` runs half of the combinations of parameters: those of which the sum of the indices is
even. Each value stays, and with three parameters of two values each value meets each value of another one.
`@pytest.mark.halved(other=True)` runs the other half: for a second test of a kind, on the server that the
first leaves out. Where a test has two parameters beside its server, those are halved and the servers take
turns.

Every other test that takes each server of a fixture in `ONE_OF` runs on one of them, drawn by the test's name
and its other parameters: all servers meet tests of each kind, and a test stays with its server.
`@pytest.mark.every_server` runs it on each, for what servers do in different ways.

`@pytest.mark.variant(n)` numbers classes that run one suite on variants of one plug-in (the modes of a sink):
each test of the suite runs on the even or on the odd ones, drawn by the test's name.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence

import pytest

# The fixtures, and the variable by which a developer chooses servers: then tests run on each of them.
ONE_OF: Mapping[str, str] = {
    "postgres": "CDC_TEST_POSTGRES",
    "mysql": "CDC_TEST_MYSQL",
    "mysql_name": "CDC_TEST_MYSQL",
}
# Beside the server: with fewer parameters, a half has one value of each.
_ENOUGH_TO_HALVE = 2
# A test runs on every second of them.
_VARIANTS = 2


def leave_to_test_all(items: Sequence[pytest.Item]) -> None:
    """Mark `slow` what `make test` leaves out."""
    combinations = [_Combination(item) for item in items if getattr(item, "callspec", None) is not None]
    # The values of each parameter of each test, in their order. pytest's own indices count combinations where
    # a fixture has parameters too.
    values: dict[tuple[str, str], list[object]] = {}
    for one in combinations:
        for name, value in one.parameters.items():
            known = values.setdefault((one.test, name), [])
            if value not in known:
                known.append(value)
    for one in combinations:
        indices = {n: values[one.test, n].index(v) for n, v in one.parameters.items()}
        counts = {name: len(values[one.test, name]) for name in indices}
        if not one.stays(indices, counts):
            one.item.add_marker(pytest.mark.slow)
    for item in items:
        mark = item.get_closest_marker("variant")
        if mark is not None and (_draw(item.name, _VARIANTS) + mark.args[0]) % _VARIANTS:
            item.add_marker(pytest.mark.slow)


class _Combination:
    """A test with one value of each of its parameters."""

    def __init__(self, item: pytest.Item) -> None:
        self.item = item
        self.test = item.nodeid.partition("[")[0]
        self.parameters: Mapping[str, object] = item.callspec.params  # type: ignore[attr-defined]

    def stays(self, indices: Mapping[str, int], counts: Mapping[str, int]) -> bool:
        """Whether `make test` runs it. The index of each value, and how many values there are."""
        server = self._drawn_server()
        others = [name for name in sorted(indices) if name != server and counts[name] > 1]
        mark = self.item.get_closest_marker("halved")
        if mark is None:
            rest = " ".join([self.test, *(f"{name}={indices[name]}" for name in others)])
            return server is None or indices[server] == _draw(rest, counts[server])
        kept = 1 if mark.kwargs.get("other") else 0
        if server is None or len(others) < _ENOUGH_TO_HALVE:
            return sum(indices.values()) % 2 == kept
        drawn = (_draw(self.test, counts[server]) + indices[others[0]]) % counts[server]
        return sum(indices[name] for name in others) % 2 == kept and indices[server] == drawn

    def _drawn_server(self) -> str | None:
        """The fixture whose servers it runs on, if nobody has said that each of them counts."""
        if self.item.get_closest_marker("every_server") is not None:
            return None
        named = {name for mark in self.item.iter_markers("parametrize") for name in _names(mark.args[0])}
        for fixture, variable in ONE_OF.items():
            if fixture in self.parameters and fixture not in named and not os.environ.get(variable):
                return fixture
        return None


def _draw(name: str, count: int) -> int:
    return zlib.crc32(name.encode()) % count


def _names(given: str | Sequence[str]) -> Sequence[str]:
    return given.replace(" ", "").split(",") if isinstance(given, str) else given
