"""What `make test` leaves to `make test-all`: combinations of parameters, and servers of the same behaviour.

`@pytest.mark.halved` runs half of the combinations of parameters: the half in which each value meets each
value of another parameter wherever a parameter has two values. A combination stays when the sum of its
parameters' indices is even. `@pytest.mark.halved(other=True)` runs the other half: for a second test of a
kind, on the server that the first leaves out.

Every other test that takes each server of a fixture in `ONE_OF` runs on one of them, drawn by the test's name
and its other parameters: all servers meet tests of each kind, and a test stays with its server.
`@pytest.mark.every_server` runs it on each, for what servers do in different ways.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence

import pytest

# The fixtures, and the variable by which a developer chooses servers: then tests run on each of them.
ONE_OF: Mapping[str, str] = {"postgres": "CDC_TEST_POSTGRES", "mysql": "CDC_TEST_MYSQL"}


def leave_to_test_all(items: Iterable[pytest.Item]) -> None:
    """Mark `slow` what `make test` leaves out."""
    # The values of each parameter of each test, in their order. pytest's own indices count combinations where
    # a fixture has parameters too.
    known: dict[tuple[str, str], list[object]] = {}
    drawn: dict[str, list[pytest.Item]] = {}
    for item in items:
        parameters = getattr(item, "callspec", None)
        if parameters is None:
            continue
        values = _indices(item.nodeid.partition("[")[0], parameters.params, known)
        mark = item.get_closest_marker("halved")
        if mark is not None:
            kept = 1 if mark.kwargs.get("other") else 0
            if sum(values.values()) % 2 != kept:
                item.add_marker(pytest.mark.slow)
        elif _is_drawn(item, parameters.params):
            rest = [f"{name}={index}" for name, index in sorted(values.items()) if name not in ONE_OF]
            drawn.setdefault(" ".join([item.nodeid.partition("[")[0], *rest]), []).append(item)
    for name, group in drawn.items():
        stays = zlib.crc32(name.encode()) % len(group)
        for item in (*group[:stays], *group[stays + 1 :]):
            item.add_marker(pytest.mark.slow)


def _indices(
    test: str, parameters: Mapping[str, object], known: dict[tuple[str, str], list[object]]
) -> dict[str, int]:
    """The index of each parameter's value among those of the test."""
    found = {}
    for name, value in parameters.items():
        values = known.setdefault((test, name), [])
        if value not in values:
            values.append(value)
        found[name] = values.index(value)
    return found


def _is_drawn(item: pytest.Item, parameters: Mapping[str, object]) -> bool:
    """Whether its servers are those of a fixture, and nobody has said that each counts."""
    if item.get_closest_marker("every_server") is not None:
        return False
    named = {name for mark in item.iter_markers("parametrize") for name in _names(mark.args[0])}
    return any(
        fixture in parameters and fixture not in named and not os.environ.get(variable)
        for fixture, variable in ONE_OF.items()
    )


def _names(given: str | Sequence[str]) -> Sequence[str]:
    return given.replace(" ", "").split(",") if isinstance(given, str) else given
