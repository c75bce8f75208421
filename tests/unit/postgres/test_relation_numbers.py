"""Which numbers the columns of a Relation message get from the definitions around it."""

from __future__ import annotations

from dataclasses import replace

from cdc_source_postgres.schema.definition import Definition, Membership, Sent
from cdc_source_postgres.schema.relations import as_good_as_possible, between, exact, sent_columns
from cdc_source_postgres.schema.shapes import UNKNOWN_ATTNUM
from cdc_source_postgres.schema.steps import Reading
from cdc_source_postgres.wire.messages import Relation, RelationColumn
from tests.support.postgres.definitions import INT, RELID, TEXT, VARCHAR, column, sent, table

BASE = table(column(1, "id"), column(2, "a", TEXT), column(3, "g", generated="s"), column(4, "b", TEXT))
WIDER = table(*BASE.columns, column(5, "c"), column(6, "d"))
NARROWER = table(*(c for c in BASE.columns if c.name != "a"), attributes=4)


def shown(*columns: tuple[str, int], typmod: int = -1) -> Relation:
    found = tuple(RelationColumn(int(i == 0), name, oid, typmod) for i, (name, oid) in enumerate(columns))
    return Relation(RELID, "public", "t", "d", found)


def listed(columns: str | None, relid: int = RELID) -> Sent:
    return sent(members={str(relid): Membership("901:700", columns, None, "rest")})


def names(definition: Definition, found: Sent) -> list[str] | None:
    columns = sent_columns(definition, found)
    return None if columns is None else [c.name for c in columns]


def test_generated_columns_are_sent_only_where_the_publication_says_so() -> None:
    assert names(BASE, sent()) == ["id", "a", "b"]
    assert names(BASE, sent(generated="s")) == ["id", "a", "g", "b"]


def test_a_column_list_decides_what_is_sent() -> None:
    assert names(BASE, listed("[1, 4]")) == ["id", "b"]
    assert names(BASE, listed("1 4")) == ["id", "b"]
    assert names(BASE, listed(None)) == ["id", "a", "b"]
    assert names(BASE, listed("1 4", relid=999)) is None


def test_a_message_is_exact_only_with_the_same_names_types_and_order() -> None:
    assert exact(shown(("id", INT), ("a", TEXT), ("b", TEXT)), BASE, sent()) == [1, 2, 4]
    for other in (
        shown(("id", INT), ("b", TEXT), ("a", TEXT)),
        shown(("id", INT), ("a", TEXT)),
        shown(("id", INT), ("a", TEXT), ("x", TEXT)),
        shown(("id", INT), ("a", INT), ("b", TEXT)),
        shown(("id", INT), ("a", TEXT), ("b", TEXT), typmod=8),
    ):
        assert exact(other, BASE, sent()) is None


def test_appended_columns_are_read_by_their_place() -> None:
    for message, numbers in (
        (shown(("id", INT), ("a", TEXT), ("b", TEXT)), [1, 2, 4]),
        (shown(("id", INT), ("a", TEXT), ("b", TEXT), ("early", INT)), [1, 2, 4, 5]),
        (shown(("id", INT), ("x", TEXT), ("y", TEXT), ("c", INT), ("d", INT)), [1, 2, 4, 5, 6]),
    ):
        assert between(message, BASE, WIDER, sent(), Reading.BY_PLACE) == numbers


def test_a_message_that_does_not_fit_between_two_definitions_has_no_numbers() -> None:
    for message in (
        shown(("id", INT), ("a", TEXT)),
        shown(("id", INT), ("a", INT), ("b", TEXT)),
        shown(("id", INT), ("a", TEXT), ("b", TEXT), ("c", TEXT)),
        shown(("id", INT), ("a", TEXT), ("b", TEXT), ("c", INT), ("d", INT), ("e", INT)),
    ):
        assert between(message, BASE, WIDER, sent(), Reading.BY_PLACE) is None


def test_a_column_that_came_and_went_has_no_number() -> None:
    message = shown(("id", INT), ("a", TEXT), ("b", TEXT), ("gone", INT))
    after = replace(BASE, attributes=5)
    assert between(message, BASE, after, sent(), Reading.BY_PLACE) == [1, 2, 4, UNKNOWN_ATTNUM]


def test_dropped_columns_are_read_by_name() -> None:
    whole = shown(("id", INT), ("a", TEXT), ("b", TEXT))
    assert between(whole, BASE, NARROWER, sent(), Reading.BY_NAME) == [1, 2, 4]
    assert between(shown(("id", INT), ("b", TEXT)), BASE, NARROWER, sent(), Reading.BY_NAME) == [1, 4]
    assert between(shown(("id", INT), ("x", TEXT)), BASE, NARROWER, sent(), Reading.BY_NAME) is None


def test_a_length_that_changed_without_a_rewrite_fits_either_way() -> None:
    before = table(column(1, "id"), column(2, "v", VARCHAR, typmod=24))
    after = table(column(1, "id"), column(2, "v", TEXT, "701"))
    for oid, typmod in ((VARCHAR, 24), (VARCHAR, 44), (TEXT, -1)):
        message = replace(
            shown(("id", INT), ("v", oid)),
            columns=(RelationColumn(1, "id", INT, -1), RelationColumn(0, "v", oid, typmod)),
        )
        assert between(message, before, after, sent(), Reading.BY_PLACE) == [1, 2]


def test_rows_that_are_copied_anyway_are_read_as_well_as_names_and_types_allow() -> None:
    assert as_good_as_possible(shown(("id", INT), ("a", INT), ("b", TEXT)), BASE) == [1, UNKNOWN_ATTNUM, 4]
    assert as_good_as_possible(shown(("b", TEXT), ("a", TEXT)), BASE) == [UNKNOWN_ATTNUM] * 2
    assert as_good_as_possible(shown(("id", INT)), None) == [UNKNOWN_ATTNUM]
