"""Each mask over every Arrow type that a source gives: what comes out, and that nulls stay nulls."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import hmac
import uuid
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.native.calendar import MICROSECONDS_PER_DAY, days_from_civil
from cdc.transform import canonical
from cdc.transform.masks import KeyedHash, make_mask
from cdc.transform.settings import KeepLast, Mask, TruncateMask

SECRET = b"k" * 40
KEY = KeyedHash(SECRET)
SOME = uuid.UUID("0b1f4a52-7a1c-4d0e-8d7e-0a4f7f3b9c11")
MASKS: dict[str, Mask] = {
    "hash": "hash",
    "redact": "redact",
    "tokenise": "tokenise",
    "keep_last": KeepLast(keep_last=2),
    "truncate": TruncateMask(truncate=3),
    "year": TruncateMask(truncate="year"),
}
# A type, a value, its canonical text, what keep_last makes of it (None: refused), and the year (likewise).
CASES: dict[str, tuple[pa.DataType, Any, bytes, str | None, Any]] = {
    "text": (pa.string(), "Grüße 12", "Grüße 12".encode(), "***12", None),
    "large": (pa.large_string(), "abc", b"abc", "***bc", None),
    "short": (pa.string(), "ab", b"ab", "***", None),
    "empty": (pa.string(), "", b"", "***", None),
    "int8": (pa.int8(), -5, b"-5", "***", None),
    "int16": (pa.int16(), 517, b"517", "***17", None),
    "int64": (pa.int64(), -(2**63), str(-(2**63)).encode(), "***08", None),
    "uint64": (pa.uint64(), 2**64 - 1, str(2**64 - 1).encode(), "***15", None),
    "float32": (pa.float32(), 1.5, b"1.5", None, None),
    "float64": (pa.float64(), -0.0, b"0", None, None),
    "nan": (pa.float64(), float("nan"), b"nan", None, None),
    "decimal": (pa.decimal128(9, 4), decimal.Decimal("1.5000"), b"1.5", "***.5", None),
    "decimal256": (pa.decimal256(60, 2), decimal.Decimal("100.00"), b"100", "***00", None),
    "bool": (pa.bool_(), True, b"true", None, None),
    "date": (pa.date32(), datetime.date(1984, 5, 6), b"1984-05-06", "***06", datetime.date(1984, 1, 1)),
    "timestamp": (
        pa.timestamp("us"),
        datetime.datetime(1984, 5, 6, 7, 8, 9, 120000),  # noqa: DTZ001
        b"1984-05-06 07:08:09.12",
        "***12",
        datetime.datetime(1984, 1, 1),  # noqa: DTZ001
    ),
    "timestamptz": (
        pa.timestamp("us", "UTC"),
        datetime.datetime(1984, 5, 6, tzinfo=datetime.UTC),
        b"1984-05-06 00:00:00Z",
        "***0Z",
        datetime.datetime(1984, 1, 1, tzinfo=datetime.UTC),
    ),
    "time": (pa.time64("us"), datetime.time(7, 8, 9), b"07:08:09", "***09", None),
    "binary": (pa.binary(), b"\xff\x00", b"\xff\x00", None, None),
    "fixed": (pa.binary(2), b"ab", b"ab", None, None),
    "uuid": (pa.uuid(), SOME.bytes, str(SOME).encode(), "***11", None),
    "json": (pa.json_(), '{"a": 1}', b'{"a": 1}', None, None),
    "list": (pa.list_(pa.string()), ["a", None], b'["a", null]', None, None),
    "floats": (pa.list_(pa.float32()), [1.0], b"[1.0]", None, None),
}


def column(type_: pa.DataType, *values: Any) -> pa.Array:
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    made = pa.array(values, storage)
    return pa.ExtensionArray.from_storage(type_, made) if storage != type_ else made


def apply(mask: Mask, values: pa.Array) -> list[Any]:
    made = make_mask(mask, values.type, KEY)
    found = made.apply(values)
    assert found.type == made.type
    assert len(found) == len(values)
    return list(found.to_pylist())


@pytest.mark.parametrize("name", CASES)
def test_a_hash_is_the_hmac_of_the_canonical_text(name: str) -> None:
    type_, value, text, _, _ = CASES[name]
    expected = hmac.new(SECRET, text, hashlib.sha256).hexdigest()
    values = column(type_, None, value, value, None, value)
    assert apply("hash", values) == [None, expected, expected, None, expected]
    assert apply("hash", values.slice(1, 2)) == [expected, expected]
    assert apply("hash", values.slice(0, 0)) == []


@pytest.mark.parametrize("name", CASES)
def test_redacted_texts_are_one_word_and_all_else_is_null(name: str) -> None:
    type_, value, *_ = CASES[name]
    is_text = pa.types.is_string(type_) or pa.types.is_large_string(type_)
    assert apply("redact", column(type_, value, None)) == ["REDACTED" if is_text else None, None]


@pytest.mark.parametrize("name", CASES)
def test_keep_last_and_truncate_show_a_part_of_what_has_a_text(name: str) -> None:
    type_, value, text, expected, _ = CASES[name]
    for mask in ("keep_last", "truncate"):
        if expected is None:
            with pytest.raises(ValueError, match=f"{mask} works on"):
                make_mask(MASKS[mask], type_, KEY)
    if expected is not None:
        assert apply(MASKS["keep_last"], column(type_, value, None)) == [expected, None]
        assert apply(MASKS["truncate"], column(type_, value, None)) == [text.decode()[:3], None]


@pytest.mark.parametrize("name", CASES)
def test_dates_are_truncated_to_a_unit(name: str) -> None:
    type_, value, _, _, year = CASES[name]
    if year is None:
        with pytest.raises(ValueError, match="truncate: year works on"):
            make_mask(MASKS["year"], type_, KEY)
    else:
        assert apply(MASKS["year"], column(type_, value, None)) == [year, None]


def test_a_date_beyond_the_calendar_becomes_null_and_never_another_date() -> None:
    values = pa.array([2**30, -(2**30), 0], pa.int32()).cast(pa.date32())
    assert apply(MASKS["year"], values) == [None, None, datetime.date(1970, 1, 1)]
    moments = pa.array([2**63 - 1, -(2**63), 0]).cast(pa.timestamp("us"))
    assert make_mask(MASKS["year"], moments.type, KEY).apply(moments).is_null().to_pylist() == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_token_has_the_shape_of_its_text(name: str) -> None:
    type_, value, *_ = CASES[name]
    if not (pa.types.is_string(type_) or pa.types.is_large_string(type_)):
        with pytest.raises(ValueError, match="tokenise works on texts"):
            make_mask("tokenise", type_, KEY)
        return
    token, again, null = apply("tokenise", column(type_, value, value, None))
    assert (null, token) == (None, again)
    shape = [(c.isdigit(), c.isalpha(), c.isupper(), c if not c.isalnum() else "") for c in value]
    assert [(c.isdigit(), c.isalpha(), c.isupper(), c if not c.isalnum() else "") for c in token] == shape


def test_equal_values_of_different_types_hash_alike() -> None:
    same = [
        *(column(type_, 5) for type_ in (pa.int8(), pa.int64(), pa.uint32())),
        *(column(type_, "5") for type_ in (pa.string(), pa.large_string())),
        column(pa.decimal128(9, 4), decimal.Decimal(5)),
        column(pa.float64(), 5.0),
    ]
    assert len({apply("hash", values)[0] for values in same}) == 1
    assert apply("hash", column(pa.uuid(), SOME.bytes)) == apply("hash", column(pa.string(), str(SOME)))


@given(st.lists(st.one_of(st.none(), st.text()), max_size=30), st.binary(min_size=1, max_size=100))
def test_hashes_are_consistent_and_keyed(values: list[str | None], secret: bytes) -> None:
    def found(key: bytes) -> list[str | None]:
        array = pa.array(values, pa.string())
        made = make_mask("hash", array.type, KeyedHash(key)).apply(array)
        return list(made.to_pylist())

    hashes = found(secret)
    assert hashes == found(secret)
    for value, one in zip(values, hashes, strict=True):
        expected = value if value is None else hmac.new(secret, value.encode(), hashlib.sha256).hexdigest()
        assert one == expected
    assert len(set(hashes)) == len(set(values))


@given(
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9)
    )
)
def test_a_wider_decimal_keeps_its_hash(values: list[decimal.Decimal]) -> None:
    narrow, wide = pa.array(values, pa.decimal128(20, 3)), pa.array(values, pa.decimal256(60, 9))
    assert apply("hash", narrow) == apply("hash", wide)


def test_dates_of_every_year_inside_of_lists_have_a_text() -> None:
    """Python's own dates end at the year 9999."""
    far = days_from_civil(40010, 11, 30)
    days = pa.array([[far, None], None, [0]], pa.list_(pa.date32()))
    assert canonical.texts(days.filter(days.is_valid()), days.type) == [
        b'["40010-11-30", null]',
        b'["1970-01-01"]',
    ]
    moments = pa.array([[far * MICROSECONDS_PER_DAY, 500_000]], pa.list_(pa.timestamp("us", "UTC")))
    assert canonical.texts(moments, moments.type) == [b'["40010-11-30 00:00:00Z", "1970-01-01 00:00:00.5Z"]']
