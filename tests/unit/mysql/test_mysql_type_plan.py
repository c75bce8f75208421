"""Column types, their canonical text, and the plans made of them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from cdc.errors import StateError, UnsupportedSchema
from cdc.model import TableId
from cdc_source_mysql.schema.column_types import canonical, is_compressed, is_legacy_temporal, parse_type
from cdc_source_mysql.schema.ddl.changes import Default
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition
from cdc_source_mysql.schema.type_plan import ColumnPlan, plan_table, schema_of

_TABLE = TableId("shop", "orders")


def _definition(*columns: ColumnDefinition) -> TableDefinition:
    return TableDefinition(_TABLE, columns, key=(columns[0].name,))


def _plan(column: ColumnDefinition, flavour: str = "mysql", policy: str = "error") -> ColumnPlan:
    (plan,) = plan_table(_definition(column), None, flavour, policy)
    return plan


def _text(column_type: str, charset: str = "utf8mb4") -> ColumnDefinition:
    labels = parse_type(column_type).labels
    return ColumnDefinition("c", column_type, charset, f"{charset}_general_ci", labels=labels)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("int(11)", "int"),
        ("int(5) unsigned zerofill", "int unsigned"),
        ("tinyint(1)", "tinyint"),
        ("bigint(20) unsigned", "bigint unsigned"),
        ("float(7,3) unsigned", "float unsigned"),
        ("double(10,2)", "double"),
        ("decimal(10,2) unsigned zerofill", "decimal(10,2) unsigned"),
        ("year(4)", "year"),
        ("year(2)", "year(2)"),
        ("geomcollection", "geometrycollection"),
        ("datetime(3) /* mariadb-5.3 */", "datetime(3)"),
        ("timestamp /* 5.5 binary format */", "timestamp"),
        ("varchar(20) /*M!100301 COMPRESSED*/", "varchar(20)"),
        ("vector(3)", "vector(3)"),
        ("enum('A','b''c','x\\\\y','n\\nl','/* no comment */')",) * 2,
        ("SET('Up','DOWN')", "set('Up','DOWN')"),
    ],
)
def test_widths_and_comments_are_left_out_of_types(shown: str, expected: str) -> None:
    assert canonical(shown) == expected
    assert canonical(expected) == expected


def test_labels_are_unquoted() -> None:
    labels = parse_type("enum('a','b''c','x\\\\y','n\\nl','','a,b','(')").labels
    assert labels == ("a", "b'c", "x\\y", "n\nl", "", "a,b", "(")


def test_comments_tell_of_compression_and_old_formats() -> None:
    assert is_compressed("text /*M!100301 COMPRESSED*/")
    assert not is_compressed("enum('/* COMPRESSED */')")
    assert is_legacy_temporal("time(6) /* mariadb-5.3 */")
    assert not is_legacy_temporal("time(6)")


_PLAIN = [
    ("tinyint", "int8", pa.int8()),
    ("tinyint unsigned", "int8", pa.uint8()),
    ("smallint", "int16", pa.int16()),
    ("mediumint unsigned", "int24", pa.uint32()),
    ("int", "int32", pa.int32()),
    ("bigint unsigned", "int64", pa.uint64()),
    ("float", "float32", pa.float32()),
    ("double unsigned", "float64", pa.float64()),
    ("decimal(38,10)", "decimal", pa.decimal128(38, 10)),
    ("decimal(65,30)", "decimal", pa.decimal256(65, 30)),
    ("year", "year", pa.int16()),
    ("bit(1)", "bool", pa.bool_()),
    ("bit(11)", "bit", pa.uint64()),
    ("date", "date", pa.date32()),
    ("datetime(3)", "datetime", pa.timestamp("us")),
    ("timestamp(6)", "timestamp", pa.timestamp("us", "UTC")),
    ("time(2)", "time", pa.string()),
    ("binary(7)", "binary", pa.binary()),
    ("varbinary(300)", "bytes", pa.binary()),
    ("longblob", "bytes", pa.binary()),
    ("json", "json", pa.json_()),
    ("multipolygon", "geometry", pa.binary()),
    ("vector(3)", "vector", pa.list_(pa.float32())),
    ("uuid", "uuid", pa.uuid()),
    ("inet4", "inet4", pa.string()),
    ("inet6", "inet6", pa.string()),
]


@pytest.mark.parametrize(("column_type", "kind", "arrow"), _PLAIN)
def test_a_type_has_one_arrow_type(column_type: str, kind: str, arrow: pa.DataType) -> None:
    plan = _plan(ColumnDefinition("c", column_type))
    assert (plan.kind, plan.arrow, plan.source_type) == (kind, arrow, column_type)
    assert plan.unsigned == column_type.endswith("unsigned")


@pytest.mark.parametrize(
    "column_type", ["char(3)", "varchar(10)", "tinytext", "longtext", "enum('a')", "set('a')"]
)
def test_text_types_are_strings(column_type: str) -> None:
    plan = _plan(_text(column_type, "gbk"))
    assert plan.arrow == pa.string()
    assert plan.charset == "gbk"


def test_sizes_are_planned_in_bytes() -> None:
    assert _plan(ColumnDefinition("c", "bit(11)")).size == 2
    assert _plan(ColumnDefinition("c", "binary(7)")).size == 7
    assert _plan(ColumnDefinition("c", "uuid")).size == 16
    assert _plan(_text("varchar(10)")).size == 40
    assert _plan(_text(f"set({','.join(repr(str(n)) for n in range(20))})")).size == 3
    assert _plan(_text(f"enum({','.join(repr(str(n)) for n in range(256))})")).size == 2
    assert _plan(ColumnDefinition("c", "time(5)")).fsp == 5


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (_text("char(63)"), 1),
        (_text("char(64)"), 2),
        (_text("varchar(255)", "latin1"), 1),
        (_text("varchar(256)", "latin1"), 2),
        (_text("tinytext"), 1),
        (_text("mediumtext"), 3),
        (ColumnDefinition("c", "blob"), 2),
        (ColumnDefinition("c", "geometry"), 4),
        (ColumnDefinition("c", "json"), 4),
        (ColumnDefinition("c", "vector(3)"), 4),
        (ColumnDefinition("c", "inet6"), 1),
        (ColumnDefinition("c", "bigint"), 0),
        (ColumnDefinition("c", "datetime(6)"), 0),
    ],
)
def test_lengths_have_a_width(column: ColumnDefinition, expected: int) -> None:
    assert _plan(column).prefix_bytes == expected


def test_a_vector_of_mariadb_is_a_varbinary_in_the_binlog() -> None:
    plan = _plan(ColumnDefinition("c", "vector(100)"), "mariadb")
    assert (plan.kind, plan.type_code, plan.meta, plan.prefix_bytes) == ("vector", 15, 400, 2)


def test_json_of_mariadb_is_a_text_that_is_json() -> None:
    plan = _plan(replace(_text("longtext"), is_json=True), "mariadb")
    assert (plan.kind, plan.arrow, plan.charset, plan.source_type) == ("string", pa.json_(), "utf8", "json")


@pytest.mark.parametrize("column_type", ["date", "datetime(3)", "timestamp"])
def test_the_policy_string_delivers_dates_as_text(column_type: str) -> None:
    plan = _plan(ColumnDefinition("c", column_type), policy="string")
    assert plan.as_text
    assert plan.arrow == pa.string()
    assert not _plan(ColumnDefinition("c", column_type), policy="null").as_text


def test_the_policy_string_leaves_other_types_alone() -> None:
    for column_type, _, arrow in _PLAIN:
        if parse_type(column_type).base not in ("date", "datetime", "timestamp"):
            assert _plan(ColumnDefinition("c", column_type), policy="string").arrow == arrow


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (ColumnDefinition("_cdc_op", "int"), "_cdc_op: the name begins with _cdc_"),
        (ColumnDefinition("c", "sometype"), "sometype"),
        (ColumnDefinition("c", "datetime(3)", legacy_temporal=True), "alter table `shop`.`orders` force"),
        (ColumnDefinition("c", "year(2)"), "year\\(4\\)"),
        (_text("varchar(3)", "klingon"), "klingon.*utf8mb4"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_a_remedy(column: ColumnDefinition, words: str) -> None:
    with pytest.raises(UnsupportedSchema, match=words) as caught:
        _plan(column, "mariadb")
    assert caught.value.where == f"shop.orders, column {column.name}"
    assert caught.value.remedy


def test_mysqls_old_temporals_are_read() -> None:
    assert _plan(ColumnDefinition("c", "datetime", legacy_temporal=True)).kind == "datetime_old"
    assert _plan(ColumnDefinition("c", "timestamp", legacy_temporal=True)).type_code == 7


def test_a_schema_has_the_key_and_whole_old_images() -> None:
    definition = _definition(ColumnDefinition("id", "int unsigned", nullable=False), _text("varchar(3)"))
    schema = schema_of(definition, plan_table(definition, None, "mysql", "error"))
    assert schema.key == ("id",)
    assert schema.identity == "full"
    assert [(column.name, column.source_type, column.nullable) for column in schema.columns] == [
        ("id", "int unsigned", False),
        ("c", "varchar(3)", True),
    ]


def test_a_definition_comes_back_from_its_line() -> None:
    definition = TableDefinition(
        TableId("sh`op", "o\nrders"),
        (
            ColumnDefinition("id", "int", nullable=False),
            ColumnDefinition(
                *("e", "enum('a','é')", "latin1", "latin1_swedish_ci"),
                labels=("a", "é"),
                default=Default("text", "a"),
                has_unsure_labels=True,
                invisible=True,
                generated=True,
                is_json=True,
                compressed=True,
                legacy_temporal=True,
                srid=4326,
            ),
        ),
        key=("id",),
        engine="InnoDB",
        period=("s", "e"),
    )
    line = definition.to_json()
    assert "\n" not in line
    assert TableDefinition.from_json(line) == definition


def test_a_definition_of_a_later_version_is_read() -> None:
    line = _definition(ColumnDefinition("id", "int")).to_json().replace('"name":"id"', '"name":"id","new":1')
    assert TableDefinition.from_json(line).names == ("id",)


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", '{"schema":"a","name":"b","columns":[{}],"key":[],"engine":""}']
)
def test_a_line_that_is_no_definition_is_refused(line: str) -> None:
    with pytest.raises(StateError):
        TableDefinition.from_json(line)
