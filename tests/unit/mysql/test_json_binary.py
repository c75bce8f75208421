"""MySQL's binary JSON and its partial updates: what is damaged is refused, paths are understood."""

from __future__ import annotations

from types import ModuleType

import pytest

from cdc.errors import DecodeError
from cdc_source_mysql.wire.json_binary import Leg, parse_path, patched_text
from tests.support.mysql.fields import decoded, field_modules, json_plan
from tests.support.mysql.json_binary import encode
from tests.support.plain_arrow import plain

REPLACE, INSERT, REMOVE = b"\0", b"\1", b"\2"


@pytest.fixture(params=field_modules(), ids=lambda module: module.__name__.rpartition(".")[2])
def wire(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def read(wire: ModuleType, document: bytes) -> str:
    text: str = plain(decoded(wire, json_plan(), [len(document).to_bytes(4, "little") + document]))[0]
    return text


def diff(operation: bytes, path: str, value: object = None) -> bytes:
    data = operation + bytes([len(path.encode())]) + path.encode()
    if operation == REMOVE:
        return data
    encoded = encode(value)
    return data + bytes([len(encoded)]) + encoded


def nested(levels: int) -> bytes:
    """Arrays in arrays, each in the small form."""
    body = bytes.fromhex("0000 0400")
    for _ in range(levels - 1):
        body = bytes.fromhex("0100") + (7 + len(body)).to_bytes(2, "little") + bytes.fromhex("02 0700") + body
    return b"\2" + body


def test_a_hundred_levels_are_read(wire: ModuleType) -> None:
    assert read(wire, nested(100)) == "[" * 100 + "]" * 100


def test_parts_need_not_be_contiguous(wire: ModuleType) -> None:
    hole = bytes.fromhex("02 0200 1300 0c0d00 0c1100") + b"???" + bytes.fromhex("0261 62") + b"?" + b"\x01c"
    assert read(wire, hole) == '["ab", "c"]'


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(nested(101), id="too_deep"),
        pytest.param(bytes.fromhex("02 0100 0700 02 0000"), id="contains_itself"),
        pytest.param(bytes.fromhex("02 0200 0f00 0c0a00 0c0a00 0361 6263"), id="shares_a_text"),
        pytest.param(bytes.fromhex("02 0100 0900 0c0700"), id="longer_than_its_place"),
        pytest.param(bytes.fromhex("02 0100 0700 0cffff"), id="points_beyond"),
        pytest.param(bytes.fromhex("04 03"), id="unknown_literal"),
        pytest.param(bytes.fromhex("0e 00"), id="unknown_type"),
        pytest.param(bytes.fromhex("0c 8080808080 01"), id="endless_length"),
        pytest.param(bytes.fromhex("0b 000000000000f07f"), id="infinity"),
        pytest.param(bytes.fromhex("0f 0b 07 00000000000000"), id="short_time"),
        pytest.param(bytes.fromhex("0f f6 01 05"), id="decimal_without_scale"),
        pytest.param(bytes.fromhex("05 01"), id="short_number"),
    ],
)
def test_a_damaged_document_is_refused(wire: ModuleType, damaged: bytes) -> None:
    with pytest.raises(DecodeError):
        read(wire, damaged)


@pytest.mark.parametrize(
    ("path", "legs"),
    [
        ("$", []),
        ("$.a", [b"a"]),
        ("$.a[3]", [b"a", (3, False)]),
        ('$.a[3]."k x"', [b"a", (3, False), b"k x"]),
        ('$."q\\"\\\\\\u0001é".b', [b'q"\\\x01\xc3\xa9', b"b"]),
        ('$.""', [b""]),
        ("$[last]", [(0, True)]),
        ("$[last-2]", [(2, True)]),
        ("$.é[0][1]", ["é".encode(), (0, False), (1, False)]),
    ],
)
def test_a_path_is_read_as_its_legs(path: str, legs: list[Leg]) -> None:
    assert parse_path(path.encode()) == legs


@pytest.mark.parametrize(
    "path", ["", "a", "$.", "$a", "$[", "$[]", "$[x]", "$.*", '$."a', "$**.a", '$."\\q"']
)
def test_a_path_of_another_form_is_refused(path: str) -> None:
    with pytest.raises(DecodeError):
        parse_path(path.encode())


def test_every_diff_of_a_sequence_is_applied() -> None:
    before = encode({"a": 1, "b": [1, 2], "k x": {"y": True}})
    diffs = diff(REPLACE, "$.a", "new") + diff(INSERT, "$.b[1]", None) + diff(INSERT, "$.b[9]", 3)
    diffs += diff(REMOVE, '$."k x".y') + diff(INSERT, "$.ab", 5) + diff(INSERT, "$.B", 6)
    expected = b'{"B": 6, "a": "new", "b": [1, null, 2, 3], "ab": 5, "k x": {}}'
    assert patched_text(before, diffs) == expected


def test_the_whole_document_can_be_replaced_between_diffs() -> None:
    diffs = diff(REPLACE, "$", {"c": 1}) + diff(REMOVE, "$.c")
    assert patched_text(encode([1]), diffs) == b"{}"


def test_no_diff_leaves_the_document_as_it_was() -> None:
    assert patched_text(encode({"a": 1.0}), b"") == b'{"a": 1.0}'


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(diff(REPLACE, "$.x", 1), id="replaces_nothing"),
        pytest.param(diff(REPLACE, "$.a.b", 1), id="goes_through_a_number"),
        pytest.param(diff(INSERT, "$.a", 1), id="inserts_what_is_there"),
        pytest.param(diff(INSERT, "$.a[1]", 1), id="inserts_into_a_number"),
        pytest.param(diff(REMOVE, "$.l[2]"), id="removes_beyond_the_end"),
        pytest.param(diff(REMOVE, "$"), id="removes_the_document"),
        pytest.param(diff(INSERT, "$", 1), id="inserts_the_document"),
        pytest.param(diff(b"\3", "$.a", 1), id="unknown_operation"),
        pytest.param(diff(REPLACE, "$.a", 1)[:-1], id="cut"),
        pytest.param(b"\0\xff", id="unknown_length"),
    ],
)
def test_a_diff_that_does_not_fit_the_document_is_refused(wrong: bytes) -> None:
    with pytest.raises(DecodeError):
        patched_text(encode({"a": 1, "l": [1, 2]}), wrong)
