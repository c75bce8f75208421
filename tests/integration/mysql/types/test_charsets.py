"""Every character of every character set, against the servers' own conversion to utf8mb4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest

from cdc_source_mysql.schema.catalog import read_collations
from cdc_source_mysql.schema.charsets import MAX_BYTES, decode_text, is_known
from tests.support.mysql.server import MysqlDatabase

_ROWS_OF_ONE_INSERT = 8192
_HIGH = range(0x80, 0x100)
_ONE = [bytes([code]) for code in range(0x100)]
_TWO = [bytes(pair) for pair in product(_HIGH, range(0x100))]
_SHIFTED = [bytes([0x8F, *pair]) for pair in product(_HIGH, _HIGH)]
_FOUR = [
    bytes([first, second, third, fourth])
    for first, second, third, fourth in product(
        (0x81, 0x82, 0x84, 0x90, 0xE3), range(0x30, 0x3A), range(0x81, 0xFF, 5), range(0x30, 0x3A)
    )
]
_WIDE = [code.to_bytes(2, "big") for code in range(0, 0x10000, 7)]
_FROM_UNICODE = ["a", "é", "€", "中", "\ue000", "😀", "\U0010ffff"]


class _Converter:
    """Lets a server convert codes; None where it has no character."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        cursor.execute("set sql_mode = ''")
        cursor.execute("create temporary table codes (code varbinary(4) primary key)")

    def fill(self, codes: Sequence[bytes]) -> None:
        self._cursor.execute("delete from codes")
        for start in range(0, len(codes), _ROWS_OF_ONE_INSERT):
            values = ",".join(f"(0x{code.hex()})" for code in codes[start : start + _ROWS_OF_ONE_INSERT])
            self._cursor.execute(f"insert into codes values {values}")

    def convert(self, charset: str) -> Iterator[tuple[bytes, str | None]]:
        self._cursor.execute(
            f"select code, cast(convert(convert(code using {charset}) using utf8mb4) as binary), "
            f"cast(convert(code using {charset}) as binary) from codes"
        )
        for code, text, kept in self._cursor.fetchall():
            # Codes that are no text in this set are changed by the server.
            yield code, _valid(text) if text is not None and kept == code else None


def _valid(text: bytes) -> str | None:
    """MariaDB makes UTF-8 that is none of the surrogates in ucs2."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return None


def _is_undefined(code: bytes, text: str | None, charset: str) -> bool:
    """The servers' signs for bytes without a character."""
    if text is None or text == "" or text.count("?") > code.count(b"?"):
        return True
    has_replacement_character = charset.startswith(("utf", "ucs", "gb18030"))
    return "\ufffd" in text and not has_replacement_character


@pytest.fixture
def converter(mysql_database: MysqlDatabase) -> Iterator[_Converter]:
    with mysql_database.connect() as connection, connection.cursor() as cursor:
        yield _Converter(cursor)


def _differences(converter: _Converter, charset: str) -> list[str]:
    wrong = []
    for code, text in converter.convert(charset):
        expected = None if _is_undefined(code, text, charset) else text
        if decode_text(code, charset) != expected:
            wrong.append(code.hex())
    return wrong


def test_every_character_set_of_the_server_is_known(mysql_database: MysqlDatabase) -> None:
    with mysql_database.connect() as connection, connection.cursor() as cursor:
        collations = read_collations(cursor)
    assert {
        collation.charset for collation in collations.values() if not is_known(collation.charset)
    } == set()
    for collation in collations.values():
        assert MAX_BYTES.get(collation.charset, 1) == collation.max_bytes, collation.charset


def test_sets_of_one_byte_read_as_the_server_reads_them(
    converter: _Converter, mysql_database: MysqlDatabase
) -> None:
    query = "select character_set_name from information_schema.character_sets where maxlen = 1"
    converter.fill(_ONE)
    for (charset,) in mysql_database.query(query):
        if charset not in ("binary", "ascii"):
            assert _differences(converter, charset) == [], charset


def test_sets_of_two_bytes_read_as_the_server_reads_them(converter: _Converter) -> None:
    converter.fill([*_ONE, *_TWO])
    for charset in ("big5", "sjis", "euckr", "gb2312", "gbk", "cp932", "ujis", "eucjpms"):
        assert _differences(converter, charset) == [], charset


def test_japanese_sets_of_three_bytes_read_as_the_server_reads_them(converter: _Converter) -> None:
    converter.fill(_SHIFTED)
    for charset in ("ujis", "eucjpms"):
        assert _differences(converter, charset) == [], charset


def test_gb18030_reads_as_the_server_reads_it(mysql9_database: MysqlDatabase) -> None:
    with mysql9_database.connect() as connection, connection.cursor() as cursor:
        converter = _Converter(cursor)
        converter.fill([*_ONE, *_TWO])
        assert _differences(converter, "gb18030") == []
        converter.fill(_FOUR)
        assert _differences(converter, "gb18030") == []


def test_wide_sets_read_as_the_server_reads_them(converter: _Converter) -> None:
    converter.fill(_WIDE)
    for charset in ("ucs2", "utf16", "utf16le"):
        assert _differences(converter, charset) == [], charset
    converter.fill([character.encode("utf-32-be") for character in _FROM_UNICODE])
    assert _differences(converter, "utf32") == []
    converter.fill([character.encode("utf-16-be") for character in _FROM_UNICODE])
    assert _differences(converter, "utf16") == []
