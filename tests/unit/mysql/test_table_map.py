"""TABLE_MAP events made by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from cdc.model import TableId
from cdc_source_mysql.schema import column_types as types
from cdc_source_mysql.schema.charsets import Collation
from cdc_source_mysql.schema.history.event_definitions import definition_of
from cdc_source_mysql.schema.table_map import parse_table_map
from tests.support.mysql.table_map_bytes import field, lenenc, lenenc_bytes, table_map_body

_INT = (types.LONG, b"")
_UTF8MB4, _LATIN1, _BINARY = 45, 8, 63
_COLLATIONS = {
    _UTF8MB4: Collation(_UTF8MB4, "utf8mb4_general_ci", "utf8mb4", 4),
    _LATIN1: Collation(_LATIN1, "latin1_swedish_ci", "latin1", 1),
}


def _varchar(size: int) -> tuple[int, bytes]:
    return types.VARCHAR, size.to_bytes(2, "little")


def _names(*names: str) -> bytes:
    return b"".join(lenenc_bytes(name.encode()) for name in names)


def test_a_table_map_without_metadata_has_types_and_nulls() -> None:
    body = table_map_body([_INT, _varchar(40), (types.NEWDECIMAL, b"\x0a\x02")], nullable=b"\x06")
    table_map = parse_table_map(body, "mysql")
    assert table_map.table == TableId("shop", "orders")
    assert table_map.table_id == 77
    assert table_map.types == (types.LONG, types.VARCHAR, types.NEWDECIMAL)
    assert table_map.metas == (0, 40, 0x0A02)
    assert table_map.nullable == (False, True, True)
    assert table_map.names is None
    assert table_map.unsigned is None
    assert table_map.collation_ids is None
    assert table_map.key is None


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        (b"\xfe\x14", (types.STRING, 20)),
        # CHAR(255) in utf8mb4: 1020 bytes, whose upper bits are in the type, inverted.
        (b"\xce\xfc", (types.STRING, 1020)),
        (b"\xee\x00", (types.STRING, 256)),
        (b"\xf7\x01", (types.ENUM, 1)),
        (b"\xf7\x02", (types.ENUM, 2)),
        (b"\xf8\x08", (types.SET, 8)),
    ],
)
def test_strings_hide_lengths_enums_and_sets(meta: bytes, expected: tuple[int, int]) -> None:
    table_map = parse_table_map(table_map_body([(types.STRING, meta)]), "mysql")
    assert (table_map.types[0], table_map.metas[0]) == expected


def test_signedness_counts_numbers_from_the_top_bit() -> None:
    columns = [_INT, _varchar(4), (types.YEAR, b""), (types.BIT, b"\x03\x01"), (types.LONGLONG, b"")]
    table_map = parse_table_map(table_map_body(columns, {1: b"\x60"}), "mysql")
    assert table_map.unsigned == (False, False, True, False, True)
    assert table_map.metas[3] == 1 << 8 | 3


def test_a_default_character_set_has_exceptions() -> None:
    columns = [_varchar(4), _INT, _varchar(4), (types.BLOB, b"\x02")]
    fields = {2: lenenc(_UTF8MB4) + lenenc(1) + lenenc(_LATIN1) + lenenc(2) + lenenc(_BINARY)}
    table_map = parse_table_map(table_map_body(columns, fields), "mysql")
    assert table_map.collation_ids == (_UTF8MB4, 0, _LATIN1, _BINARY)


def test_a_vector_counts_as_a_character_column_on_mysql() -> None:
    columns = [(types.VECTOR, b"\x04"), _varchar(4)]
    fields = {3: lenenc(_BINARY) + lenenc(_LATIN1), 13: lenenc(3)}
    table_map = parse_table_map(table_map_body(columns, fields), "mysql")
    assert table_map.collation_ids == (_BINARY, _LATIN1)
    assert table_map.dimensions == (3, 0)


def test_geometries_and_compressed_columns_count_as_character_columns_on_mariadb() -> None:
    columns = [
        (types.GEOMETRY, b"\x04"),
        (types.VARCHAR_COMPRESSED, b"\x15\x00"),
        (types.BLOB_COMPRESSED, b"\x02"),
    ]
    fields = {3: lenenc(_BINARY) + lenenc(_LATIN1) + lenenc(_UTF8MB4), 7: lenenc(1)}
    table_map = parse_table_map(table_map_body(columns, fields), "mariadb")
    assert table_map.collation_ids == (_BINARY, _LATIN1, _UTF8MB4)
    assert table_map.geometries == (1, 0, 0)


def test_full_metadata_gives_a_definition() -> None:
    columns = [_INT, _varchar(40), (types.STRING, b"\xf7\x01"), (types.STRING, b"\xf8\x01")]
    enum_labels = lenenc(2) + lenenc_bytes(b"a") + lenenc_bytes(b"\xe9")
    fields = {
        1: b"\x80",
        3: lenenc(_UTF8MB4),
        4: _names("id", "name", "e", "s"),
        5: lenenc(1) + lenenc_bytes(b"x"),
        6: enum_labels,
        8: lenenc(0),
        11: lenenc(_LATIN1) + lenenc(_UTF8MB4),
        12: b"\xb0",
    }
    table_map = parse_table_map(table_map_body(columns, fields, nullable=b"\x0e"), "mysql")
    definition = definition_of(table_map, _COLLATIONS, "mysql")
    assert definition is not None
    assert definition.key == ("id",)
    assert [column.column_type for column in definition.columns] == [
        "int unsigned",
        "varchar(10)",
        "enum('a','é')",
        "set('x')",
    ]
    assert [column.charset for column in definition.columns] == [None, "utf8mb4", "latin1", "utf8mb4"]
    assert [column.invisible for column in definition.columns] == [False, True, False, False]
    assert [column.nullable for column in definition.columns] == [False, True, True, True]


def test_a_key_of_prefixes_is_a_key() -> None:
    fields = {4: _names("a", "b"), 9: lenenc(1) + lenenc(10) + lenenc(0) + lenenc(0)}
    table_map = parse_table_map(table_map_body([_INT, _varchar(40)], fields), "mysql")
    assert table_map.key == (1, 0)


def test_full_metadata_without_a_key_says_that_there_is_none() -> None:
    assert parse_table_map(table_map_body([_INT], {4: _names("a")}), "mysql").key == ()


def test_unknown_metadata_is_skipped() -> None:
    body = table_map_body([_INT], {99: b"anything", 4: _names("a"), 200: b""})
    assert parse_table_map(body, "mysql").names == ("a",)


def test_padding_bits_of_the_null_bitmap_are_ignored() -> None:
    assert parse_table_map(table_map_body([_INT], nullable=b"\xff"), "mysql").nullable == (True,)


def test_a_wide_table_has_its_count_in_more_bytes() -> None:
    table_map = parse_table_map(table_map_body([_INT] * 300), "mysql")
    assert len(table_map.types) == 300


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        ([(200, b"")], {}),
        ([(types.STRING, b"\x0a\x01")], {}),
        ([_INT], {1: b""}),
        ([_INT], {4: b"\x05ab"}),
        ([_INT], {4: _names("a", "b")}),
        ([_INT], {4: b"\x01\xff"}),
        ([_INT], {8: lenenc(1)}),
        ([_varchar(4)], {2: lenenc(_UTF8MB4) + lenenc(3) + lenenc(_LATIN1)}),
        ([_varchar(4)], {3: b""}),
        ([_INT], {12: b""}),
        ([(types.STRING, b"\xf7\x01")], {6: lenenc(5)}),
    ],
)
def test_metadata_that_contradicts_itself_is_refused(
    columns: list[tuple[int, bytes]], fields: dict[int, bytes]
) -> None:
    with pytest.raises(DecodeError):
        parse_table_map(table_map_body(columns, fields), "mysql")


def test_metadata_bytes_beyond_the_columns_are_refused() -> None:
    body = table_map_body([_INT, (types.NEWDECIMAL, b"\x0a\x02\x00")])
    with pytest.raises(DecodeError):
        parse_table_map(body, "mysql")


def test_a_table_map_cut_anywhere_is_refused_or_whole_without_its_last_fields() -> None:
    fields = {1: b"\x80", 4: _names("id", "name"), 8: lenenc(0)}
    body = table_map_body([_INT, _varchar(40)], fields)
    ends = {len(body), len(body) - 3}
    ends |= {len(body) - 3 - len(field(4, fields[4])), len(body) - 6 - len(field(4, fields[4]))}
    for end in range(len(body)):
        if end in ends:
            parse_table_map(body[:end], "mysql")
            continue
        with pytest.raises(DecodeError):
            parse_table_map(body[:end], "mysql")


@given(st.binary(max_size=80), st.sampled_from(["mysql", "mariadb"]))
def test_any_bytes_are_parsed_or_refused(tail: bytes, flavour: str) -> None:
    body = table_map_body([_INT, (types.STRING, b"\xf7\x01"), _varchar(9)]) + tail
    try:
        table_map = parse_table_map(body, flavour)
        definition_of(table_map, _COLLATIONS, flavour)
    except DecodeError:
        pass


def test_an_unknown_collation_is_refused() -> None:
    fields = {3: lenenc(999), 4: _names("a"), 1: b""}
    table_map = parse_table_map(table_map_body([_varchar(4)], fields), "mysql")
    with pytest.raises(DecodeError):
        definition_of(table_map, _COLLATIONS, "mysql")
