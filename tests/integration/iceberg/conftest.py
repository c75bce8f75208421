"""Iceberg sinks of one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.iceberg import FedIceberg

OpenIceberg = Callable[..., FedIceberg]


@pytest.fixture
def open_iceberg(tmp_path: Path) -> Iterator[OpenIceberg]:
    """`open_iceberg(mode="append")`: sinks with one catalog, closed after the test."""
    with ExitStack() as stack:

        def make(**options: Any) -> FedIceberg:
            made = FedIceberg(tmp_path / "lake", **options)
            stack.callback(made.sink.close)
            return made

        yield make
