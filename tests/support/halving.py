"""`@pytest.mark.halved`: `make test` runs half of the combinations of parameters, `make test-all` all.

`@pytest.mark.halved(other=True)` runs the other half: for a second test of a kind, on the server that the
first leaves out.

The half is the one in which each value meets each value of another parameter wherever a parameter has two
values: a combination stays when the sum of its parameters' indices is even.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def put_off_every_second(items: Iterable[pytest.Item]) -> None:
    """Mark the other half `slow`."""
    # The values of each parameter of each test, in their order. pytest's own indices count combinations where
    # a fixture has parameters too.
    known: dict[tuple[str, str], list[object]] = {}
    for item in items:
        parameters = getattr(item, "callspec", None)
        mark = item.get_closest_marker("halved")
        if mark is None or parameters is None:
            continue
        index_sum = 0
        for name, value in parameters.params.items():
            values = known.setdefault((item.nodeid.partition("[")[0], name), [])
            if value not in values:
                values.append(value)
            index_sum += values.index(value)
        kept = 1 if mark.kwargs.get("other") else 0
        if index_sum % 2 != kept:
            item.add_marker(pytest.mark.slow)
