"""`@pytest.mark.halved`: `make test` runs half of the combinations of parameters, `make test-all` all.

The half is the one in which each value meets each value of another parameter wherever a parameter has two
values: a combination stays when the sum of its parameters' indices is even.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def put_off_every_second(items: Iterable[pytest.Item]) -> None:
    """Mark the other half `slow`."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        halved = item.get_closest_marker("halved") is not None
        if halved and parameters is not None and sum(parameters.indices.values()) % 2:
            item.add_marker(pytest.mark.slow)
