from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cdc.units import Duration, Size, format_duration, format_size, parse_duration, parse_size


class Model(BaseModel):
    pause: Duration = timedelta(seconds=30)
    size: Size = 128 << 20


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("5m", 300), ("1.5h", 5400), ("7d", 604_800), ("0", 0), (" 2 s ", 2)],
)
def test_duration_reads_number_and_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512B", 512),
        ("64KiB", 65_536),
        ("128mib", 128 << 20),
        ("20GiB", 20 << 30),
        ("1.5MB", 1_500_000),
        ("0", 0),
    ],
)
def test_size_reads_number_and_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", "'30' has no unit: write it with ms, s, m, h or d, such as 30s"),
        ("30x", "'30x' has the unknown unit 'x': use ms, s, m, h or d"),
        ("soon", "'soon' is not a duration: write a number and a unit, such as 30s, 5m, 1h or 7d"),
        ("-5s", "'-5s' is not a duration: write a number and a unit, such as 30s, 5m, 1h or 7d"),
        ("40000d", "the duration '40000d' is longer than 100 years"),
    ],
)
def test_duration_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "128",
            "'128' has no unit: write it with B, KiB, MiB, GiB or TiB (or KB, MB, GB, TB), such as 128MiB",
        ),
        ("1PiB", "'1PiB' has the unknown unit 'PiB': use B, KiB, MiB, GiB or TiB (or KB, MB, GB, TB)"),
        ("99999999TiB", "the size '99999999TiB' is over 8 EiB"),
    ],
)
def test_size_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_duration_survives_its_own_text(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


@given(st.integers(min_value=0, max_value=2**40))
def test_size_survives_its_own_text(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_model_reads_units_and_writes_them_back() -> None:
    model = Model.model_validate({"pause": "5m", "size": "1GiB"})
    assert (model.pause, model.size) == (timedelta(minutes=5), 1 << 30)
    assert model.model_dump() == {"pause": "5m", "size": "1GiB"}


@pytest.mark.parametrize("value", [{"pause": 5}, {"size": 5}, {"pause": True}, {"size": ["1MiB"]}])
def test_model_refuses_bare_numbers(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Model.model_validate(value)


def test_model_schema_shows_units_as_text() -> None:
    properties = Model.model_json_schema()["properties"]
    assert properties["pause"]["type"] == "string"
    assert properties["size"]["examples"] == ["128MiB", "20GiB"]
