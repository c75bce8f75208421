"""Conversion of stored bytes to text."""

from __future__ import annotations

import pytest

from cdc.errors import UnsupportedSchema
from cdc_source_mysql.schema.charsets import ONE_BYTE, SAME, WALKED, decode_text, wire_charset


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (b"\x80\x81\x8d\x8f\x90\x9d\xe9", "latin1", "€\x81\x8d\x8f\x90\x9dé"),
        ("Grüße 中 😀".encode(), "utf8mb4", "Grüße 中 😀"),
        ("Grüße 中".encode(), "utf8mb3", "Grüße 中"),
        (b"\x20\xac\xd8\x3d\xde\x00", "utf16", "€😀"),
        (b"\xac\x20", "utf16le", "€"),
        (b"\x00\x01\xf6\x00", "utf32", "😀"),
        (b"\x20\xac", "ucs2", "€"),
        (b"a\x81\x5fb", "sjis", "a\\b"),
        (b"a\xa1\xc0\x8f\xb0\xa1", "ujis", "a\\丂"),
        (b"\xa1\xc1\xad\xa1\x8f\xf4\xfe", "eucjpms", "～①黑"),
        (b"\xf9\xd6a\xa4\x40", "big5", "碁a一"),
        (b"\xa8\xbc", "gb18030", "ḿ"),
        (b"\x81\x41", "euckr", "갂"),
        (b"]\x7b", "swe7", "Åä"),
        (b"", "eucjpms", ""),
    ],
)
def test_text_is_read_as_the_server_reads_it(data: bytes, charset: str, text: str) -> None:
    assert decode_text(data, charset) == text


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        (b"\xff", "utf8mb4"),
        (b"\x80", "ascii"),
        (b"\xd8\x3d", "utf16"),
        (b"\xd8\x3d\xde\x00", "ucs2"),
        (b"\x20", "ucs2"),
        (b"\xa4", "greek"),
        (b"\xa2\xcc", "big5"),
        (b"a\xa1", "big5"),
        (b"\x8f\xa1", "ujis"),
        (b"\xff\xa1", "eucjpms"),
        (b"\xa0", "cp932"),
    ],
)
def test_bytes_without_a_character_are_told(data: bytes, charset: str) -> None:
    assert decode_text(data, charset) is None


def test_names_of_native_sets_are_the_plans() -> None:
    assert [wire_charset(name) for name in ("utf8mb4", "utf8mb3", "utf8", "latin1", "ascii", "gbk")] == [
        *["utf8"] * 3,
        "latin1",
        "ascii",
        "gbk",
    ]


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(UnsupportedSchema, match="filename"):
        wire_charset("filename")


def test_no_set_is_read_in_two_ways() -> None:
    assert not set(SAME) & ONE_BYTE
    assert not WALKED & (set(SAME) | ONE_BYTE)
