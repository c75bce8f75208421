"""How numbers, sizes, times and spans read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cdc.readable import show_bytes, show_count, show_seconds, show_time


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
    ],
)
def test_size_is_shown_in_its_unit(value: int | None, shown: str) -> None:
    assert show_bytes(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.44, "0.4 s"), (45.0, "45 s"), (600.0, "10 min"), (7200.0, "2 h"), (400000.0, "5 d")],
)
def test_span_is_shown_in_its_unit(value: float | None, shown: str) -> None:
    assert show_seconds(value) == shown


def test_count_and_time_are_shown() -> None:
    assert show_count(1234567) == "1,234,567"
    assert show_count(None) == "–"
    assert show_time(datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)) == "2026-11-23 01:02:03Z"
    assert show_time(None) == "–"
